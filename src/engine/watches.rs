//! What the bots watch of themselves and of Alertmanager: since when something is wrong is written down
//! before it is told, so that a bot that starts anew, or another one, goes on with the same.

use super::{Engine, Error};
use crate::core::alert::Sighting;
use crate::core::plan::Plan;
use crate::store::watches::{self, WatchRow};

/// The watch of the alert that Alertmanager sends always.
pub const WATCHDOG: &str = "watchdog";
/// Watches that are wrong at once, and steps that one look finds.
const FOUND_MAX: i64 = 200;

/// How something is that a bot watches itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Not as it should be.
    Wrong,
    /// As it should be.
    Good,
}

impl Engine {
    /// Writes down that the alert that fires always did so.
    ///
    /// # Errors
    /// The database's.
    pub async fn hear_watchdog(&self) -> Result<(), Error> {
        self.patiently(|| {
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    watches::hear(unit.connection(), WATCHDOG, now_ms).await?;
                    Ok::<_, Error>(())
                })
            })
        })
        .await
    }

    /// When something was last heard of, and since when something is wrong with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn watch_of(&self, name: &str) -> Result<WatchRow, Error> {
        let mut reader = self.store.read().await?;
        let row = watches::watch_of(&mut reader, name).await?;
        Ok(row.unwrap_or_else(|| WatchRow { name: name.to_owned(), ..WatchRow::default() }))
    }

    /// The watches of what is wrong, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn watches_wrong(&self) -> Result<Vec<WatchRow>, Error> {
        let mut reader = self.store.read().await?;
        Ok(watches::firing(&mut reader, FOUND_MAX).await?)
    }

    /// Writes down that what is wrong was seen so again; `false`: it is not known to be wrong.
    ///
    /// # Errors
    /// The database's.
    pub async fn stand_by_watch(&self, watch: &str) -> Result<bool, Error> {
        self.patiently(|| {
            let watch = watch.to_owned();
            self.store.unit(move |unit| {
                Box::pin(async move {
                    let now_ms = unit.now_ms();
                    Ok::<_, Error>(watches::stand_by(unit.connection(), &watch, now_ms).await?)
                })
            })
        })
        .await
    }

    /// Tells of something that is watched, once when it goes wrong and once when it is over. The
    /// sighting's beginning counts if nothing was wrong before; its end is now.
    ///
    /// # Errors
    /// The database's; then the same is to be said again.
    pub async fn say_of_own(&self, watch: &str, how: Own, said: Sighting) -> Result<(), Error> {
        let since_ms = match how {
            Own::Wrong => self.begin_watch(watch, said.starts_ms).await?,
            Own::Good => self.watch_of(watch).await?.firing_ms,
        };
        if since_ms == 0 {
            return Ok(());
        }
        let now_ms = self.clock().now_ms();
        let ended_ms = (how == Own::Good).then_some(now_ms.max(since_ms));
        self.observe(vec![Sighting { starts_ms: since_ms, ended_ms, ..said }]).await?;
        if how == Own::Good { self.end_watch(watch, since_ms).await } else { Ok(()) }
    }

    async fn begin_watch(&self, watch: &str, since_ms: i64) -> Result<i64, Error> {
        self.patiently(|| {
            let watch = watch.to_owned();
            self.store.unit(move |unit| {
                Box::pin(async move {
                    Ok::<_, Error>(watches::begin(unit.connection(), &watch, since_ms).await?)
                })
            })
        })
        .await
    }

    async fn end_watch(&self, watch: &str, since_ms: i64) -> Result<(), Error> {
        self.patiently(|| {
            let watch = watch.to_owned();
            self.store.unit(move |unit| {
                Box::pin(async move {
                    watches::end(unit.connection(), &watch, since_ms).await?;
                    Ok::<_, Error>(())
                })
            })
        })
        .await
    }

    /// The steps that have been under way for longer than their time-out and `grace_ms` more: their run,
    /// their place in it from 1 on, and since when they are overdue.
    ///
    /// # Errors
    /// The database's.
    pub async fn overdue_steps(&self, grace_ms: i64) -> Result<Vec<(String, i64, i64)>, Error> {
        let now_ms = self.clock().now_ms();
        let mut reader = self.store.read().await?;
        let old = watches::under_way_since(&mut reader, now_ms - grace_ms, FOUND_MAX).await?;
        drop(reader);
        let overdue = old.into_iter().filter_map(|step| {
            let plan: Plan = serde_json::from_str(&step.plan).ok()?;
            let planned = plan.steps.get(usize::try_from(step.position).ok()?)?;
            let due_ms = step.started_ms + planned.timeout_ms.cast_signed() + grace_ms;
            (due_ms <= now_ms).then_some((step.run_id, step.position + 1, due_ms))
        });
        Ok(overdue.collect())
    }
}
