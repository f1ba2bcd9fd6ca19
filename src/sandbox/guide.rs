//! What the page helps people to type. The workspace knows no bot: whoever starts both says it.

use serde::Serialize;
use std::collections::BTreeMap;

/// The commands there are, what may stand in them, and what to try first.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Guide {
    /// In the order in which they are offered.
    pub commands: Vec<CommandHint>,
    /// What may stand for a placeholder of a usage, by its name: `version` for `<version>`.
    pub choices: BTreeMap<String, Vec<String>>,
    /// In the order in which they are best tried.
    pub ideas: Vec<Idea>,
}

/// One command as completion shows it.
#[derive(Debug, Clone, Serialize)]
pub struct CommandHint {
    /// Its name and what follows, such as `rollback <version> [env=…] <reason…>`.
    pub usage: String,
    /// 中文
    pub zh: String,
    /// English
    pub en: String,
}

/// Something to try.
#[derive(Debug, Clone, Serialize)]
pub struct Idea {
    /// As whom.
    pub user: String,
    /// In which channel.
    pub channel: String,
    /// What to type after the slash command.
    pub text: String,
    /// 中文
    pub zh: String,
    /// English
    pub en: String,
}
