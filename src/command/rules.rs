//! The rules of an action, asked about a request: what they need to know of git and of releases is looked
//! up here, and only where a rule asks. Decides nothing: `core::rule` does.

use super::action::Ask;
use crate::core::param::Arguments;
use crate::core::rule::{Facts, Forbidden, Ruled, Test, decide, own_terms};
use crate::engine::{Engine, Error};
use crate::exec::git::{self, GitError};
use std::collections::BTreeMap;

/// What is known of a version that a rule asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Whether its commit was live.
    Live(bool),
    /// There is no such version, or none was given: nothing can be done with it anyway.
    Nothing,
    /// The repository cannot be read.
    Unreadable,
}

/// The terms of a request before it is planned. One whose version does not exist is on the action's own
/// terms: planning refuses it, with better words.
///
/// # Errors
/// The database's.
pub async fn foreseen<'a>(
    ask: &'a Ask,
    engine: &Engine,
) -> Result<Result<Ruled<'a>, Forbidden<'a>>, Error> {
    let mut known = BTreeMap::new();
    for name in asked_about(ask) {
        let commit = match ask.arguments.get(name) {
            Some(version) => git::resolve(&ask.environment.workdir, version).await,
            None => Err(GitError::NoSuchVersion),
        };
        let found = match commit {
            Ok(commit) => Known::Live(engine.was_live(&ask.environment.name, &commit).await?),
            Err(GitError::NoSuchVersion) => Known::Nothing,
            Err(error) => {
                tracing::warn!("resolve a version for a rule: {error}");
                Known::Unreadable
            }
        };
        known.insert(name, found);
    }
    Ok(match by_rules(ask, &known) {
        Err(Forbidden::CannotTell { name, .. }) if known.get(name) == Some(&Known::Nothing) => {
            Ok(own_terms(&ask.action))
        }
        other => other,
    })
}

/// The terms of a request with the commits that its plan names.
///
/// # Errors
/// The database's.
pub(super) async fn planned<'a>(
    ask: &'a Ask,
    commits: &BTreeMap<String, String>,
    engine: &Engine,
) -> Result<Result<Ruled<'a>, Forbidden<'a>>, Error> {
    let mut known = BTreeMap::new();
    for name in asked_about(ask) {
        let found = match commits.get(name) {
            Some(commit) => Known::Live(engine.was_live(&ask.environment.name, commit).await?),
            None => Known::Nothing,
        };
        known.insert(name, found);
    }
    Ok(by_rules(ask, &known))
}

fn by_rules<'a>(ask: &'a Ask, known: &BTreeMap<&str, Known>) -> Result<Ruled<'a>, Forbidden<'a>> {
    let arguments: &Arguments = &ask.arguments;
    let facts = Facts {
        environment: &ask.environment.name,
        value: &|name| arguments.get(name),
        was_live: &|name| match known.get(name) {
            Some(Known::Live(was_live)) => Some(*was_live),
            _ => None,
        },
    };
    decide(&ask.action, &facts)
}

/// The parameters of which some rule asks whether they were live.
fn asked_about(ask: &Ask) -> impl Iterator<Item = &str> {
    let conditions = ask.action.rules.iter().flat_map(|rule| &rule.when);
    let asks = conditions.filter(|condition| matches!(condition.test, Test::WasLive(_)));
    asks.map(|condition| condition.name.as_str())
}
