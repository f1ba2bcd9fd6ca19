//! What time brings to alerts: tellings that are due, levels that rise, reminders, silences that end.

use super::{By, Engine, Error, Held, rows};
use crate::core::alert::Event;

/// Alerts whose time has come that one look takes up; more are taken up by the next, at once.
const DUE_MAX: i64 = 500;
/// Alerts that one transaction advances.
const TOGETHER: usize = 25;

impl Engine {
    /// Does what is due by now; how many alerts were touched.
    ///
    /// # Errors
    /// The database's; what was not done stays due.
    pub async fn advance_alerts(&self) -> Result<usize, Error> {
        let now_ms = self.clock().now_ms();
        let mut reader = self.store().read().await?;
        let due = rows::due(&mut reader, now_ms, DUE_MAX).await?;
        drop(reader);
        let in_force = self.terms_now();
        for together in due.chunks(TOGETHER) {
            self.patiently(|| {
                let mut ids = together.to_vec();
                // Held in their order, so that two bots do not wait for each other in a circle.
                ids.sort_unstable();
                let in_force = in_force.clone();
                self.store().unit(move |unit| {
                    Box::pin(async move {
                        for id in ids {
                            let Some(row) = rows::hold(unit.connection(), &id).await? else {
                                continue;
                            };
                            if row.next_ms > unit.now_ms() {
                                // Another bot was quicker.
                                continue;
                            }
                            let mut held = Held::of(row)?;
                            let _ =
                                held.take(unit, &Event::TimePassed, &By::BOT, &in_force).await?;
                            held.refresh(unit, &in_force).await?;
                        }
                        Ok::<_, Error>(())
                    })
                })
            })
            .await?;
        }
        if !due.is_empty() {
            self.mail.notify_one();
        }
        Ok(due.len())
    }

    /// When something is due next; `None`: nothing is.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_alert_ms(&self) -> Result<Option<i64>, Error> {
        let mut reader = self.store().read().await?;
        Ok(rows::next_due_ms(&mut reader).await?)
    }
}
