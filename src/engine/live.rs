//! What a running step shows of its output: the body of a slot, written under the driver's fence.

use super::{Driven, Engine, Error, PRIORITY_THREAD, hold, output_key, put_slot};
use crate::core::card::Card;
use crate::core::run_card::RunView;
use crate::store::outbox;

impl Engine {
    /// Shows a running step's output so far as the first message of its output; a body that is shown
    /// already is not written again. `at`: the step's position and its attempt.
    ///
    /// # Errors
    /// [`Error::Fenced`]: another driver has the run. The database's.
    pub async fn show_output(
        &self,
        driven: &Driven,
        view: &RunView,
        (position, attempts): (i64, i64),
        card: &Card,
    ) -> Result<(), Error> {
        let (driven, view, card) = (driven.clone(), view.clone(), card.clone());
        let lease_ms = self.identity.lease_ms;
        let is_new = self
            .store
            .unit(move |unit| {
                Box::pin(async move {
                    hold(unit, &driven, lease_ms).await?;
                    let key = output_key(&view.id, position, attempts, 0);
                    let shown = outbox::body_of(unit.connection(), &key).await?;
                    if shown.is_some_and(|shown| {
                        serde_json::from_str(&shown).ok() == Some(card.clone())
                    }) {
                        return Ok::<_, Error>(false);
                    }
                    put_slot(unit, &view, key, PRIORITY_THREAD, &card).await?;
                    Ok(true)
                })
            })
            .await?;
        if is_new {
            self.mail.notify_one();
        }
        Ok(())
    }
}
