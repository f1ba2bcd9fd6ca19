//! What can go wrong between the bot and Slack, on demand.

use std::collections::VecDeque;

/// One way for a call of the bot to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 429 with `Retry-After`; nothing is applied.
    RateLimited {
        /// What `Retry-After` says.
        retry_after_secs: u64,
    },
    /// An HTTP status such as 500 or 503; nothing is applied.
    ServerError(u16),
    /// HTTP 200 with a page of HTML; nothing is applied.
    NotJson,
    /// `{"ok": false, "error": …}`; nothing is applied.
    Error(&'static str),
    /// The effect takes place, then the connection hangs for this many real milliseconds and drops:
    /// the caller cannot know the outcome.
    TimeoutAfterApplying(u64),
    /// The connection drops before anything is applied.
    DropBefore,
    /// The answer takes this many real milliseconds.
    Slow(u64),
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: VecDeque<Planned>,
    storm: Option<Storm>,
}

/// A time in which every call goes wrong, in one way after the other.
#[derive(Debug)]
struct Storm {
    until_ms: i64,
    ways: Vec<Fault>,
    calls: usize,
}

#[derive(Debug)]
struct Planned {
    /// A method's name, or its beginning followed by `*`.
    pattern: String,
    times: u32,
    fault: Fault,
}

impl Faults {
    pub(super) fn plan(&mut self, pattern: &str, times: u32, fault: Fault) {
        if times > 0 {
            self.planned.push_back(Planned { pattern: pattern.to_owned(), times, fault });
        }
    }

    pub(super) fn storm(&mut self, until_ms: i64, ways: Vec<Fault>) {
        self.storm = (!ways.is_empty()).then_some(Storm { until_ms, ways, calls: 0 });
    }

    /// The oldest planned fault for this method, which counts as used; else the storm's.
    pub(super) fn take(&mut self, method: &str, now_ms: i64) -> Option<Fault> {
        self.take_planned(method).or_else(|| {
            let storm = self.storm.as_mut().filter(|storm| now_ms < storm.until_ms)?;
            storm.calls += 1;
            storm.ways.get((storm.calls - 1) % storm.ways.len()).cloned()
        })
    }

    fn take_planned(&mut self, method: &str) -> Option<Fault> {
        let at = self.planned.iter().position(|planned| planned.matches(method))?;
        let planned = self.planned.get_mut(at)?;
        planned.times -= 1;
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.planned.remove(at);
        }
        Some(fault)
    }
}

impl Planned {
    fn matches(&self, method: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(start) => method.starts_with(start),
            None => self.pattern == method,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_only_as_often_as_planned() {
        let mut faults = Faults::default();
        faults.plan("chat.*", 2, Fault::NotJson);
        faults.plan("chat.update", 1, Fault::DropBefore);

        let taken: Vec<_> =
            ["auth.test", "chat.update", "chat.update", "chat.update", "chat.delete"]
                .map(|method| faults.take(method, 0))
                .into();

        let expected = [None, Some(Fault::NotJson), Some(Fault::NotJson), Some(Fault::DropBefore)];
        assert_eq!(taken[..4], expected);
        assert_eq!(taken[4], None);
    }

    #[test]
    fn a_storm_has_one_way_after_the_other_until_it_is_over() {
        let mut faults = Faults::default();
        faults.storm(10, vec![Fault::NotJson, Fault::DropBefore]);
        faults.plan("chat.update", 1, Fault::ServerError(500));

        let taken = [8, 9, 9, 10].map(|now_ms| faults.take("chat.postMessage", now_ms));

        let storm = [Some(Fault::NotJson), Some(Fault::DropBefore), Some(Fault::NotJson), None];
        assert_eq!(taken, storm);
        assert_eq!(faults.take("chat.update", 9), Some(Fault::ServerError(500)));
    }
}
