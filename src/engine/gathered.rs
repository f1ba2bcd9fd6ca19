//! One answer for everybody who asks while an earlier one is being read. Knows nothing of what is
//! asked.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// A question whose answer is read once for all who wait for it. Nobody gets an answer that was
/// begun before they asked.
pub(super) struct Gathered<K, T> {
    /// How many have asked so far.
    asked: AtomicU64,
    last: Mutex<Option<Last<K, T>>>,
}

struct Last<K, T> {
    key: K,
    /// Who asked up to here, asked before the answer was begun.
    covers: u64,
    answer: T,
}

impl<K, T> Default for Gathered<K, T> {
    fn default() -> Self {
        Self { asked: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<K: PartialEq, T: Clone> Gathered<K, T> {
    /// The answer to `key`: read for this caller, or by one that waited beside it.
    pub(super) async fn get(&self, key: K, read: impl AsyncFnOnce(&K) -> T) -> T {
        let place = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.covers >= place && last.key == key) {
            return last.answer.clone();
        }
        let covers = self.asked.load(Ordering::SeqCst);
        let answer = read(&key).await;
        *last = Some(Last { key, covers, answer: answer.clone() });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use tokio::task::yield_now;

    /// Asks so many times at once, and says how often something was read.
    async fn reads(keys: &[u8]) -> usize {
        let gathered = Gathered::default();
        let count = AtomicU64::new(0);
        let read = async |key: &u8| {
            count.fetch_add(1, Ordering::SeqCst);
            yield_now().await;
            *key
        };
        let answers = join_all(keys.iter().map(|key| gathered.get(*key, read))).await;
        assert_eq!(answers, keys);
        count.into_inner() as usize
    }

    #[tokio::test]
    async fn those_who_wait_share_the_next_answer_and_not_the_one_under_way() {
        assert_eq!(reads(&[1]).await, 1);
        assert_eq!(reads(&[1; 50]).await, 2);
    }

    #[tokio::test]
    async fn another_question_has_an_answer_of_its_own() {
        assert_eq!(reads(&[1, 2, 1, 2]).await, 4);
    }

    #[tokio::test]
    async fn an_answer_is_never_older_than_its_question() {
        let gathered = Gathered::default();
        let first = gathered.get((), async |()| 1).await;
        let second = gathered.get((), async |()| 2).await;
        assert_eq!((first, second), (1, 2));
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_leaves_its_place_to_the_next() {
        let gathered = Gathered::default();
        let stuck = gathered.get((), async |()| std::future::pending::<u8>().await);
        tokio::select! {
            biased;
            _ = stuck => unreachable!("it never ends"),
            () = yield_now() => {}
        }
        assert_eq!(gathered.get((), async |()| 3).await, 3);
    }
}
