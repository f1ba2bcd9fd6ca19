//! What time brings to alerts: tellings that are due, levels that rise, reminders, silences that end.

use super::super::silences;
use super::{By, Engine, Error, Held, InForce, rows};
use crate::core::alert::Event;
use crate::store::Unit;
use tracing::error;

/// Alerts whose time has come that one look takes up; more are taken up by the next, at once.
const DUE_MAX: i64 = 500;
/// Alerts that one transaction advances.
const TOGETHER: usize = 25;

impl Engine {
    /// Does what is due by now; how many alerts were touched. One that cannot be advanced keeps no other
    /// from it.
    ///
    /// # Errors
    /// The database's, or what is wrong with the last one that could not be advanced where no other was;
    /// what was not done stays due.
    pub async fn advance_alerts(&self) -> Result<usize, Error> {
        let now_ms = self.clock().now_ms();
        let mut reader = self.store().read().await?;
        let due = rows::due(&mut reader, now_ms, DUE_MAX).await?;
        drop(reader);
        let in_force = self.terms_now();
        let (mut advanced, mut failed) = (0, None);
        for together in due.chunks(TOGETHER) {
            match self.advance_together(together, &in_force).await {
                Ok(count) => advanced += count,
                Err(failure) if failure.is_passing() => return Err(failure),
                Err(_) => {
                    for id in together {
                        match self.advance_together(std::slice::from_ref(id), &in_force).await {
                            Ok(count) => advanced += count,
                            Err(failure) => {
                                error!(alert.id = %id, "alert {id} cannot be advanced: {failure:#}");
                                failed = Some(failure);
                            }
                        }
                    }
                }
            }
        }
        if advanced > 0 {
            self.mail.notify_one();
        }
        match failed {
            Some(failure) if advanced == 0 => Err(failure),
            _ => Ok(advanced),
        }
    }

    async fn advance_together(&self, ids: &[String], in_force: &InForce) -> Result<usize, Error> {
        self.patiently(|| {
            let mut ids = ids.to_vec();
            // Held in their order, so that two bots do not wait for each other in a circle.
            ids.sort_unstable();
            let in_force = in_force.clone();
            self.store().unit(move |unit| {
                Box::pin(async move {
                    silences::share(unit).await?;
                    for id in &ids {
                        advance_in(unit, id, &in_force).await?;
                    }
                    Ok::<_, Error>(ids.len())
                })
            })
        })
        .await
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

async fn advance_in(unit: &mut Unit, id: &str, in_force: &InForce) -> Result<(), Error> {
    let Some(row) = rows::hold(unit.connection(), id).await? else { return Ok(()) };
    if row.next_ms > unit.now_ms() {
        // Another bot was quicker.
        return Ok(());
    }
    let mut held = Held::of(row)?;
    if held.condition.is_over() {
        // It may open again, and was told nothing of what began or ended meanwhile.
        let silences = silences::now(unit).await?;
        held.look_around(unit, &silences, in_force).await?;
    }
    // Time is refused by no state.
    let _ = held.take(unit, &Event::TimePassed, &By::BOT, in_force).await?;
    held.refresh(unit, in_force).await
}
