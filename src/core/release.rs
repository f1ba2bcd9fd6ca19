//! What is and was live in an environment: how a release ends, and which one was the last good.
//!
//! A history is one environment's, the newest release first. A release is a stretch of time: a commit
//! that is made live again after another begins a new one.

use super::id::RunId;
use serde::{Deserialize, Serialize};

/// A commit that is or was live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The run that made it live.
    pub run: RunId,
    /// Where.
    pub environment: String,
    /// As it was asked for.
    pub version: String,
    /// In full.
    pub commit: String,
    /// Since when; later than that of every release before it.
    pub live_ms: i64,
    /// How it ended; `None`: it is live.
    pub ended: Option<Ended>,
    /// Since when it must not be proposed; 0: it may be.
    pub quarantined_ms: i64,
}

/// The end of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at_ms: i64,
    /// In which direction the service went from it.
    pub way: Way,
}

/// How a release ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Something newer came.
    Replaced,
    /// People went back behind it.
    RolledBack,
}

impl Way {
    /// The word in the store and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Reads the store's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Replaced, Self::RolledBack].into_iter().find(|way| way.as_str() == word)
    }
}

/// What lies between the commit that is live and the one that a plan makes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// What was live when the plan was made, as it was asked for.
    pub version: String,
    /// Its commit.
    pub commit: String,
    /// `None`: git could not say.
    pub difference: Option<Difference>,
}

/// What is live now, when it is not what was live as a plan was made; the history is the newest first.
pub fn changed_since<'r>(then: Option<&Changes>, history: &'r [Release]) -> Option<&'r Release> {
    let live = live(history)?;
    let is_same = then.is_some_and(|then| then.commit == live.commit);
    (!is_same).then_some(live)
}

/// The commits on one side only, of two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// How many the target has and the live commit has not.
    pub forward: u64,
    /// How many the live commit has and the target has not: they are taken back.
    pub backward: u64,
    /// The newest of those forward; of those backward when there is none forward.
    pub newest: Vec<Commit>,
}

/// What changes in the folder of database migrations between what is live and what a plan makes live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseChanges {
    /// The folder, in the repository.
    pub folder: String,
    /// Each file: how it changes (`A` added, `D` removed, `M` changed …) and its path; `None`: git could
    /// not say.
    pub files: Option<Vec<(String, String)>>,
    /// How many more there are.
    pub more: u64,
}

/// A commit as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Abbreviated.
    pub id: String,
    /// Its first line, cut.
    pub subject: String,
}

/// The release that is live.
pub fn live(history: &[Release]) -> Option<&Release> {
    history.iter().find(|release| release.ended.is_none())
}

/// How the live release ends when another commit becomes live. It is rolled back when that one was
/// live before the live commit ever was, or when git saw nothing but commits taken back.
pub fn ends_as(history: &[Release], commit: &str, changes: Option<&Changes>) -> Way {
    let Some(live) = live(history) else { return Way::Replaced };
    let was_live_before =
        first_live(history, commit).is_some_and(|at| Some(at) > first_live(history, &live.commit));
    let only_takes_back = changes
        .filter(|changes| changes.commit == live.commit)
        .and_then(|changes| changes.difference.as_ref())
        .is_some_and(|difference| difference.forward == 0 && difference.backward > 0);
    if was_live_before || only_takes_back { Way::RolledBack } else { Way::Replaced }
}

/// The newest release that can be gone back to: its commit was live before the live commit ever was,
/// ended because something newer came, was not rolled back since, and is not quarantined.
pub fn last_good(history: &[Release]) -> Option<&Release> {
    let live = live(history)?;
    let began = first_live(history, &live.commit)?;
    let is_older = |release: &&Release| {
        release.commit != live.commit
            && first_live(history, &release.commit).is_some_and(|at| at > began)
    };
    let is_newest_of_its_commit = |release: &&Release| {
        let newest = history.iter().find(|other| other.commit == release.commit);
        newest.is_some_and(|newest| newest.run == release.run)
    };
    history
        .iter()
        .filter(is_older)
        .filter(is_newest_of_its_commit)
        .filter(|release| release.ended.is_some_and(|ended| ended.way == Way::Replaced))
        .find(|release| release.quarantined_ms == 0)
}

/// Where in the history a commit was live first; a larger place is longer ago.
fn first_live(history: &[Release], commit: &str) -> Option<usize> {
    history.iter().rposition(|release| release.commit == commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the engine does when a run has made a commit live.
    fn go_live(history: &mut Vec<Release>, commit: &str, changes: Option<&Changes>) {
        let at_ms = i64::try_from(history.len()).unwrap() + 1;
        if live(history).is_some_and(|live| live.commit == commit) {
            return;
        }
        let way = ends_as(history, commit, changes);
        if let Some(live) = history.iter_mut().find(|release| release.ended.is_none()) {
            live.ended = Some(Ended { at_ms, way });
        }
        let release = Release {
            run: RunId::new(format!("R-{at_ms:08}")),
            environment: "production".into(),
            version: format!("v{commit}"),
            commit: commit.into(),
            live_ms: at_ms,
            ended: None,
            quarantined_ms: 0,
        };
        history.insert(0, release);
    }

    fn after(commits: &str) -> Vec<Release> {
        let mut history = Vec::new();
        for commit in commits.split(' ').filter(|commit| !commit.is_empty()) {
            go_live(&mut history, commit, None);
        }
        history
    }

    fn good_after(commits: &str) -> Option<String> {
        last_good(&after(commits)).map(|release| release.commit.clone())
    }

    #[test]
    fn what_was_replaced_last_was_the_last_good() {
        assert_eq!(good_after(""), None);
        assert_eq!(good_after("a"), None);
        assert_eq!(good_after("a b").as_deref(), Some("a"));
        assert_eq!(good_after("a b c").as_deref(), Some("b"));
        assert_eq!(good_after("a b b").as_deref(), Some("a"));
    }

    #[test]
    fn what_was_rolled_back_or_jumped_over_is_not_proposed() {
        assert_eq!(good_after("a b a"), None);
        assert_eq!(good_after("a b c a"), None);
        assert_eq!(good_after("a b a c").as_deref(), Some("a"));
        assert_eq!(good_after("a b c b").as_deref(), Some("a"));
    }

    #[test]
    fn what_was_rolled_back_and_made_live_again_counts_anew() {
        let history = after("a b a b");

        assert_eq!(history[1].ended.unwrap().way, Way::Replaced);
        assert_eq!(good_after("a b a b").as_deref(), Some("a"));
        assert_eq!(good_after("a b a b c").as_deref(), Some("b"));
    }

    #[test]
    fn a_quarantined_release_is_passed_over() {
        let mut history = after("a b c");
        history[1].quarantined_ms = 1;

        assert_eq!(last_good(&history).unwrap().commit, "a");
    }

    #[test]
    fn git_tells_a_rollback_to_what_was_never_seen_live() {
        let back = |commit: &str| Changes {
            version: "v1".into(),
            commit: commit.into(),
            difference: Some(Difference { forward: 0, backward: 2, newest: vec![] }),
        };
        let mut history = after("a b");

        assert_eq!(ends_as(&history, "z", None), Way::Replaced);
        assert_eq!(ends_as(&history, "z", Some(&back("a"))), Way::Replaced);
        assert_eq!(ends_as(&history, "z", Some(&back("b"))), Way::RolledBack);
        go_live(&mut history, "z", Some(&back("b")));
        assert_eq!(last_good(&history).unwrap().commit, "a");
    }

    proptest! {
        /// Whatever is made live in whatever order: one release is live, and what is proposed is neither
        /// that one nor one that was rolled back last.
        #[test]
        fn one_is_live_and_the_last_good_is_another(commits in prop::collection::vec("[a-e]", 0..40)) {
            let mut history = Vec::new();
            for commit in &commits {
                go_live(&mut history, commit, None);

                prop_assert_eq!(history.iter().filter(|release| release.ended.is_none()).count(), 1);
                prop_assert_eq!(&live(&history).unwrap().commit, commit);
                if let Some(good) = last_good(&history) {
                    prop_assert_ne!(&good.commit, commit);
                    prop_assert_eq!(good.ended.unwrap().way, Way::Replaced);
                    let newest = history.iter().find(|other| other.commit == good.commit).unwrap();
                    prop_assert_eq!(newest.ended.unwrap().way, Way::Replaced);
                    prop_assert_eq!(ends_as(&history, &good.commit, None), Way::RolledBack);
                }
            }
        }
    }
}
