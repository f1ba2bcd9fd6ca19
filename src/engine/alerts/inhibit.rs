//! Inhibition: alerts that another one explains, quiet as long as that one is there. Whoever opens or ends
//! tells the others in its own transaction; a look around finds those that were told nothing: when the
//! configuration changed, or two transactions did not see each other.

use super::{By, Engine, Error, Held, InForce, rows};
use crate::config::alerting::Inhibition;
use crate::core::alert::Event;
use crate::store::Unit;
use sqlx::AnyConnection;
use std::collections::HashMap;

/// Alerts of one name that hear at once that something explains them, or does no more …
const NAMED_MAX: i64 = 100;
/// … and of all names: the transaction of whoever says it must end in time.
const TOLD_TOGETHER: usize = 100;
/// Open alerts that one page of the look around holds.
const PAGE: i64 = 1_000;
/// Pages of one look around; the rest is for the next.
const PAGES_MAX: usize = 200;
/// Alerts that one transaction corrects.
const TOGETHER: usize = 25;

/// Whether an alert that is there explains those of this name.
async fn is_explained(
    connection: &mut AnyConnection,
    inhibitions: &[Inhibition],
    (environment, name): (&str, &str),
) -> Result<bool, Error> {
    for one in inhibitions.iter().filter(|one| one.quiet.iter().any(|quiet| quiet == name)) {
        if !rows::open_named(connection, environment, &one.by, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Held {
    /// Whether an alert that is there explains this one.
    pub(super) async fn is_inhibited(
        &self,
        unit: &mut Unit,
        in_force: &InForce,
    ) -> Result<bool, Error> {
        let of = (self.first.environment.as_str(), self.first.name.as_str());
        is_explained(unit.connection(), &in_force.alerting.inhibitions, of).await
    }

    /// Those that this one explains are quiet while it is there, and speak again after it.
    pub(super) async fn tell_inhibited(
        &mut self,
        unit: &mut Unit,
        in_force: &InForce,
    ) -> Result<(), Error> {
        let inhibitions = in_force.alerting.inhibitions.iter();
        let mut names: Vec<&String> = inhibitions
            .filter(|one| one.by == self.first.name)
            .flat_map(|one| &one.quiet)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        // Others look it up.
        self.keep(unit).await?;
        names.sort_unstable();
        names.dedup();
        let mut ids = Vec::new();
        for name in names {
            let environment = &self.first.environment;
            ids.extend(rows::open_named(unit.connection(), environment, name, NAMED_MAX).await?);
        }
        ids.sort_unstable();
        // The look around tells the rest.
        ids.truncate(TOLD_TOGETHER);
        for id in ids.into_iter().filter(|id| *id != self.row.id) {
            let Some(row) = rows::hold(unit.connection(), &id).await? else { continue };
            Box::pin(Self::of(row)?.weigh(unit, in_force)).await?;
        }
        Ok(())
    }

    /// Makes it quiet or lets it speak, as it should be; whether it was otherwise.
    async fn weigh(mut self, unit: &mut Unit, in_force: &InForce) -> Result<bool, Error> {
        let is_inhibited = self.is_inhibited(unit, in_force).await?;
        if is_inhibited == self.condition.is_inhibited {
            return Ok(false);
        }
        let event = if is_inhibited { Event::Inhibited } else { Event::Released };
        // Neither is refused by any state.
        let _ = self.take(unit, &event, &By::BOT, in_force).await?;
        self.refresh(unit, in_force).await?;
        Ok(true)
    }
}

impl Engine {
    /// Finds open alerts that are quiet though nothing explains them any more, or are not though something
    /// does, and corrects them; how many.
    ///
    /// # Errors
    /// The database's; what was not corrected is by the next look.
    pub async fn weigh_inhibitions(&self) -> Result<usize, Error> {
        let in_force = self.terms_now();
        let wrong = self.wrongly_inhibited(&in_force.alerting.inhibitions).await?;
        let mut corrected = 0;
        for together in wrong.chunks(TOGETHER) {
            corrected += self
                .patiently(|| {
                    let (ids, in_force) = (together.to_vec(), in_force.clone());
                    self.store().unit(move |unit| {
                        Box::pin(async move {
                            let mut corrected = 0;
                            for id in ids {
                                let row = rows::hold(unit.connection(), &id).await?;
                                // One that cannot be read keeps no other from being corrected.
                                let held = row.and_then(|row| Held::of(row).ok());
                                let Some(held) = held else { continue };
                                let is_open = !held.condition.is_over();
                                let is_wrong = is_open && held.weigh(unit, &in_force).await?;
                                corrected += usize::from(is_wrong);
                            }
                            Ok::<_, Error>(corrected)
                        })
                    })
                })
                .await?;
        }
        if corrected > 0 {
            self.mail.notify_one();
            self.alarms.notify_one();
        }
        Ok(corrected)
    }

    /// Their ids, in their order.
    async fn wrongly_inhibited(&self, inhibitions: &[Inhibition]) -> Result<Vec<String>, Error> {
        let mut reader = self.store().read().await?;
        let mut explained: HashMap<(String, String), bool> = HashMap::new();
        let (mut wrong, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let page = rows::open_after(&mut reader, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            last.id.clone_into(&mut after);
            for one in page {
                let of = (one.environment, one.name);
                let is_explained = match explained.get(&of) {
                    Some(found) => *found,
                    None => is_explained(&mut reader, inhibitions, (&of.0, &of.1)).await?,
                };
                explained.insert(of, is_explained);
                if one.is_inhibited != is_explained {
                    wrong.push(one.id);
                }
            }
        }
        Ok(wrong)
    }
}
