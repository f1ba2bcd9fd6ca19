//! The auditor: what should have moved and did not. It trusts nothing that the other rooms say of
//! themselves, and looks at what is stored.

use super::{By, Engine, Error, Held, InForce, entry, rows};
use crate::core::alert::{Condition, Event, State};
use crate::store::Unit;
use crate::store::alerts::Waiting;
use crate::store::outbox::way_of;
use serde_json::json;
use std::sync::Arc;

/// A notice of an alert that waits for so long, and was tried, does not get through …
const UNDELIVERED_AFTER_MS: i64 = 2 * 60_000;
/// … nor does one that nobody has tried for so long: after an outage the senders come first.
const UNTRIED_AFTER_MS: i64 = 10 * 60_000;
/// An alert whose time has come for so long is kept by nobody.
pub const STUCK_AFTER_MS: i64 = 60_000;
/// Notices that one look takes up. Those of alerts that are quiet are looked at each time.
const NOTICES_MAX: i64 = 1_000;
/// Alerts that are counted as stuck.
const STUCK_MAX: i64 = 1_000;

impl Engine {
    /// How many alerts should have moved for a minute and did not; since when the first.
    ///
    /// # Errors
    /// The database's.
    pub async fn stuck_alerts(&self) -> Result<(usize, i64), Error> {
        let before_ms = self.clock().now_ms() - STUCK_AFTER_MS;
        let mut reader = self.store().read().await?;
        let stuck = rows::due(&mut reader, before_ms, STUCK_MAX).await?;
        let since_ms = rows::next_due_ms(&mut reader).await?.unwrap_or(0);
        Ok((stuck.len(), if stuck.is_empty() { 0 } else { since_ms }))
    }

    /// Has people told, by every other way, of alerts whose notices do not get through; how many times.
    ///
    /// # Errors
    /// The database's; the next look does what was not done.
    pub async fn tell_undelivered(&self) -> Result<usize, Error> {
        let now_ms = self.clock().now_ms();
        let before_ms = (now_ms - UNDELIVERED_AFTER_MS, now_ms - UNTRIED_AFTER_MS);
        let mut reader = self.store().read().await?;
        let waiting = rows::waiting_notices(&mut reader, before_ms, NOTICES_MAX).await?;
        drop(reader);
        let in_force = self.terms_now();
        let mut told = 0;
        for one in waiting {
            let condition = serde_json::from_str::<Condition>(&one.condition);
            if condition.is_ok_and(|condition| !is_to_be_told(&condition, now_ms)) {
                continue;
            }
            let one = Arc::new(one);
            let is_told = self
                .patiently(|| {
                    let (one, in_force) = (Arc::clone(&one), in_force.clone());
                    self.store().unit(move |unit| {
                        Box::pin(async move { tell_in(unit, &one, &in_force).await })
                    })
                })
                .await?;
            told += usize::from(is_told);
        }
        if told > 0 {
            self.mail.notify_one();
        }
        Ok(told)
    }
}

/// Whether anybody is to be called about it: nobody where somebody has it or wants it quiet. When that ends
/// they are called anyway.
fn is_to_be_told(condition: &Condition, now_ms: i64) -> bool {
    condition.state == State::Open && !condition.is_quiet(now_ms)
}

/// `alert/AL-…/…`
fn alert_of(key: &str) -> Option<&str> {
    key.strip_prefix("alert/")?.split('/').next()
}

async fn tell_in(unit: &mut Unit, one: &Waiting, in_force: &InForce) -> Result<bool, Error> {
    let Some(id) = alert_of(&one.key) else { return Ok(false) };
    let Some(row) = rows::hold(unit.connection(), id).await? else { return Ok(false) };
    let mut held = Held::of(row)?;
    let now_ms = unit.now_ms();
    if !is_to_be_told(&held.condition, now_ms) {
        return Ok(false);
    }
    let way = way_of(&one.channel);
    let of = (id, way.name(), held.row.level);
    if !rows::tell_undelivered(unit.connection(), of, (&one.key, now_ms)).await? {
        // Another bot was quicker.
        return Ok(false);
    }
    let detail = json!({"notice": one.key, "channel": one.channel, "why": one.refusal});
    unit.journal(entry(&held, "alert.undelivered", &By::BOT, detail, now_ms));
    let _ = held.take(unit, &Event::Undelivered(way), &By::BOT, in_force).await?;
    held.refresh(unit, in_force).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_alert() {
        assert_eq!(alert_of("alert/AL-0123WXYZ/4/email:ops@example.com"), Some("AL-0123WXYZ"));
        assert_eq!(alert_of("alert/AL-0123WXYZ/card"), Some("AL-0123WXYZ"));
        assert_eq!(alert_of("R-0123WXYZ/card"), None);
    }
}
