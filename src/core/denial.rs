//! Why somebody was denied something, as the journal's entry tells it.

use super::journal::Row;
use super::policy::Standing;
use super::table::cut;
use super::text::Lang;
use serde_json::Value;

/// Of a text without end no group may be made.
const TEXT_WIDTH: usize = 40;

/// Why somebody was denied something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not in this role.
    Role(String),
    /// Nobody could tell whether in this role.
    CannotTell(String),
    /// No active full member, by the journal's word.
    Account(&'static str),
    /// A system user whom the runbook does not know.
    UnknownLogin,
    /// Another workspace's request.
    OtherTeam,
    /// A rule of the runbook denies it to everybody.
    Rule,
    /// Another word of the journal.
    Other(String),
}

/// Whether an entry tells of a denial.
pub fn is_denial(kind: &str) -> bool {
    kind.ends_with(".denied") || kind == "request.other_team"
}

/// What a denied request was about: its command, else its words.
pub fn asked(detail: &Value) -> String {
    let found = [&detail["command"], &detail["action"], &detail["text"]];
    let found = found.iter().find_map(|value| value.as_str()).unwrap_or_default();
    cut(found, TEXT_WIDTH)
}

impl Reason {
    /// Reads it from the entry of a denial.
    pub fn of(row: &Row, detail: &Value) -> Self {
        let role = detail["role"].as_str().unwrap_or_default().to_owned();
        match detail["why"].as_str() {
            _ if row.kind == "request.other_team" => Self::OtherTeam,
            Some("not_a_member") => Self::Role(role),
            Some("cannot_tell") => Self::CannotTell(role),
            Some("unknown_login") => Self::UnknownLogin,
            Some("rule") => Self::Rule,
            why => match why.and_then(Standing::parse) {
                Some(standing) => Self::Account(standing.as_str()),
                None => Self::Other(cut(why.unwrap_or(&row.kind), TEXT_WIDTH)),
            },
        }
    }

    /// What people read.
    pub fn words(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Role(role), Lang::Zh) => format!("没有 {role} 角色"),
            (Self::Role(role), Lang::En) => format!("does not hold {role}"),
            (Self::CannotTell(role), Lang::Zh) => format!("无法向 Slack 查询 {role}"),
            (Self::CannotTell(role), Lang::En) => format!("Slack could not be asked about {role}"),
            (Self::Account(word), _) => match *word {
                "guest" => lang.pick("是访客", "is a guest"),
                "deactivated" => lang.pick("帐号已停用", "is deactivated"),
                "bot" => lang.pick("是机器人", "is a bot"),
                _ => lang.pick("不是成员", "is no member"),
            }
            .into(),
            (Self::UnknownLogin, Lang::Zh) => "操作手册不认识此系统用户".into(),
            (Self::UnknownLogin, Lang::En) => "a login the runbook does not know".into(),
            (Self::OtherTeam, Lang::Zh) => "来自其他工作区".into(),
            (Self::OtherTeam, Lang::En) => "from another workspace".into(),
            (Self::Rule, Lang::Zh) => "操作手册的规则不允许".into(),
            (Self::Rule, Lang::En) => "a rule of the runbook denies it".into(),
            (Self::Other(why), _) => why.clone(),
        }
    }
}
