//! Whether Slack has answered lately, whatever it answered.

use super::client::CallError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Calls in a row that Slack did not answer. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Contact(Arc<AtomicU32>);

impl Contact {
    /// Takes what came of a call. A refusal is an answer.
    pub(super) fn note<T>(&self, outcome: &Result<T, CallError>) {
        match outcome {
            Err(CallError::Transient | CallError::Unknown) => {
                // It would take centuries to overflow; it then begins anew.
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(CallError::RateLimited { .. } | CallError::Refused(_)) => {
                self.0.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Calls in a row without an answer.
    pub fn unanswered(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_ends_the_count() {
        let contact = Contact::default();
        contact.note::<()>(&Err(CallError::Transient));
        contact.note::<()>(&Err(CallError::Unknown));
        assert_eq!(contact.unanswered(), 2);

        contact.note::<()>(&Err(CallError::Refused("channel_not_found".to_owned())));
        assert_eq!(contact.unanswered(), 0);
    }
}
