//! What people are told of an alert, and what the journal keeps of it: its card in its latest state, and a
//! reply in its thread for all that happens.

use super::super::oncall;
use super::{By, Error, Held, InForce, entry, incident, view, ways};
use crate::core::alert::{Condition, Effect, Event, Level, Why, taken_by};
use crate::core::alert_card::{self, Called};
use crate::core::alert_press;
use crate::core::card::{Card, Line, Span, Tone, mention, prose, text};
use crate::core::escalation::Target;
use crate::core::text::Lang;
use crate::store::Unit;
use crate::store::outbox::{self, Slot};
use serde_json::{Value, json};

/// Level 3 goes before everything else that waits for its channel, level 2 before what runs say.
pub(super) const PRIORITIES: [i64; 3] = [25, 50, 60];

/// The outbox key of an alert's card.
pub(super) fn card_key(id: &str) -> String {
    format!("alert/{id}/card")
}

/// Writes the entries and the replies of what an event led to; the card is [`Held::refresh`]'s.
pub(super) async fn write(
    unit: &mut Unit,
    held: &mut Held,
    (event, before, effects): (&Event, &Condition, &[Effect]),
    by: &By<'_>,
    in_force: &InForce,
) -> Result<(), Error> {
    let now_ms = unit.now_ms();
    if let Some((kind, detail)) = deed(event, before, &held.condition) {
        unit.journal(entry(held, kind, by, detail, now_ms));
    }
    if let Some((icon, line)) = remark(event, before, held, by, in_force.runbook.language) {
        let card = said(held, icon, line, Tone::Neutral, unit).await?;
        reply(unit, held, &card).await?;
    }
    let is_new = |effect: &Effect| {
        matches!(effect, Effect::Tell { why: Why::New, .. } | Effect::Quiet { why: Why::New })
    };
    if effects.iter().any(is_new) {
        // What comes of it is told after it.
        let detail = json!({"sighting": held.first});
        unit.journal(entry(held, "alert.opened", by, detail, now_ms));
    }
    for effect in effects {
        worked(unit, held, effect, by, in_force).await?;
    }
    ways::tell(unit, held, (event, before, effects), by, in_force).await
}

/// The journal's kind for what people and other alerts do.
fn deed(event: &Event, before: &Condition, after: &Condition) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Acknowledged { by } => ("alert.acknowledged", json!({"by": by})),
        Event::Unacknowledged if before.state != after.state => ("alert.given_back", json!({})),
        Event::Resolved => ("alert.resolved_by_hand", json!({"still_firing": before.is_firing})),
        Event::Escalated => ("alert.escalated", json!({"from": before.level.number()})),
        Event::Silenced { until_ms } => ("alert.silenced", json!({"until_ms": until_ms})),
        Event::Unsilenced if before.silenced_until_ms != 0 => ("alert.unsilenced", json!({})),
        Event::Inhibited if !before.is_inhibited => ("alert.inhibited", json!({})),
        Event::Released if before.is_inhibited => ("alert.released", json!({})),
        _ => return None,
    })
}

/// What its thread reads of what a person did.
fn remark(
    event: &Event,
    before: &Condition,
    held: &Held,
    by: &By<'_>,
    lang: Lang,
) -> Option<(&'static str, Line)> {
    let who = taken_by(by.actor).map_or_else(|| text(by.actor), Span::User);
    let (icon, mut line) = match event {
        Event::Acknowledged { .. } => {
            let is_again = before.acknowledged.as_ref().is_some_and(|(one, _)| one == by.actor);
            let words = if is_again {
                lang.pick(" 仍在处理", " is still on it")
            } else {
                lang.pick(" 接手处理", " is on it")
            };
            ("🙋", vec![who, text(words)])
        }
        Event::Unacknowledged if before.state != held.condition.state => {
            ("↩️", vec![who, text(lang.pick(" 不再处理", " gave it back"))])
        }
        Event::Resolved => ("🟢", vec![who, text(lang.pick(" 关闭了它", " resolved it"))]),
        Event::Escalated => ("⏫", vec![who, text(lang.pick(" 要求升级", " wants more people"))]),
        Event::Silenced { until_ms } => {
            let words = lang.pick(" 静默到 ", " silenced it until ");
            ("🔕", vec![who, text(words), Span::Time(*until_ms)])
        }
        Event::Unsilenced if before.silenced_until_ms != 0 => {
            ("🔔", vec![who, text(lang.pick(" 取消了静默", " ended the silence"))])
        }
        _ => return None,
    };
    if !by.reason.is_empty() {
        line.push(text(lang.pick("：", ": ")));
        line.extend(prose(by.reason));
    }
    Some((icon, line))
}

/// The entry and the reply of one effect.
async fn worked(
    unit: &mut Unit,
    held: &mut Held,
    effect: &Effect,
    by: &By<'_>,
    in_force: &InForce,
) -> Result<(), Error> {
    let (now_ms, lang) = (unit.now_ms(), in_force.runbook.language);
    match effect {
        Effect::Quiet { why } => {
            unit.journal(entry(held, "alert.kept_quiet", by, json!({"why": why}), now_ms));
            Ok(())
        }
        Effect::Tell { why, targets } => {
            if targets.is_empty() && *why == Why::New {
                return Ok(());
            }
            let called = called(unit, targets, in_force).await?;
            let names: Vec<String> = called.mentions.iter().map(named).collect();
            let detail = json!({"why": why, "told": names});
            unit.journal(entry(held, "alert.told", by, detail, now_ms));
            let alert = view(unit.connection(), &held.latest()).await?;
            let card = alert_card::told(&alert, *why, &called, lang);
            reply(unit, held, &card).await
        }
        Effect::Remind => {
            unit.journal(entry(held, "alert.reminded", by, json!({}), now_ms));
            let Some((owner, _)) = held.condition.acknowledged.clone() else { return Ok(()) };
            let who = taken_by(&owner).map_or_else(|| text(owner.clone()), Span::User);
            let words = lang.pick(
                " 还在处理吗？请按卡片上的「仍在处理」，否则它将重新打开：",
                " are you still on it? Press “Still on it” on the card; otherwise it is open again at ",
            );
            let line = vec![who, text(words), Span::Time(held.condition.next_ms)];
            let card = said(held, "⏳", line, Tone::Warning, unit).await?;
            reply(unit, held, &card).await
        }
        Effect::Incident => {
            let recover_by_ms = held.condition.recover_by_ms(&in_force.alerting.policies);
            let detail = json!({"recover_by_ms": recover_by_ms});
            unit.journal(entry(held, "alert.incident", by, detail, now_ms));
            let words = lang.pick(
                "这是一起事故，请在本消息串里处理。须恢复于 (RTO)：",
                "This is an incident: work on it in this thread. To be recovered (RTO) by ",
            );
            let mut line = vec![text(words), Span::Time(recover_by_ms)];
            if let Some(run) = incident::open_checklist(unit, held, in_force).await? {
                let words = lang.pick("\n已打开灾难恢复检查清单：", "\nThe checklist is open: ");
                line.extend([text(words), Span::Code(run.to_string())]);
            }
            let card = said(held, "🚒", line, Tone::Bad, unit).await?;
            reply(unit, held, &card).await
        }
        Effect::RecoveryOverdue => {
            unit.journal(entry(held, "alert.recovery_overdue", by, json!({}), now_ms));
            let policy = in_force.alerting.policies.of(Level::Critical);
            let words =
                lang.pick("恢复已超过时限 (RTO)", "The recovery takes longer than it may (RTO)");
            let mut line = vec![text(words)];
            // The clock goes on whatever keeps it quiet; calling people does not.
            if !held.condition.is_quiet(now_ms) {
                for one in called(unit, policy.targets(0), in_force).await?.mentions {
                    line.extend([text(" "), one]);
                }
            }
            let card = said(held, "⏰", line, Tone::Bad, unit).await?;
            reply(unit, held, &card).await
        }
        Effect::Over => {
            unit.journal(entry(held, "alert.resolved", by, json!({}), now_ms));
            if held.condition.is_by_hand {
                // Whoever did it has said so.
                return Ok(());
            }
            let mut line = vec![text(lang.pick("已恢复", "It is over"))];
            if by.actor == By::BOT.actor && !by.reason.is_empty() {
                // Nobody has seen that it is in order.
                line = vec![text(lang.pick("已结束：", "It is over: "))];
                line.extend(prose(by.reason));
            }
            let card = said(held, "🟢", line, Tone::Good, unit).await?;
            reply(unit, held, &card).await
        }
        Effect::Settling => {
            unit.journal(entry(held, "alert.settling", by, json!({}), now_ms));
            Ok(())
        }
    }
}

async fn said(
    held: &Held,
    icon: &str,
    line: Line,
    tone: Tone,
    unit: &mut Unit,
) -> Result<Card, Error> {
    let alert = view(unit.connection(), &held.latest()).await?;
    Ok(alert_card::remark(&alert, icon, line, tone))
}

/// Whom a telling calls. Where none of those meant can answer, whoever is there is called too: nobody must be
/// called in vain.
async fn called(unit: &mut Unit, targets: &[Target], in_force: &InForce) -> Result<Called, Error> {
    let now_ms = unit.now_ms();
    let mut called = Called { mentions: Vec::new(), is_instead: !targets.is_empty() };
    for target in targets {
        let (ids, can_answer) = match target {
            Target::User(user) => named_target(unit, user.as_str()).await?,
            Target::Group(group) => named_target(unit, group).await?,
            Target::Here => (Vec::new(), true),
            Target::OnCall(rotation) => {
                let alerting = &in_force.alerting;
                let duty = oncall::who(unit.connection(), alerting, rotation, now_ms).await?;
                let can_answer = duty.reaches_somebody();
                (duty.mentioned, can_answer)
            }
        };
        called.is_instead &= !can_answer;
        let here = (*target == Target::Here).then_some(Span::Here);
        for one in ids.iter().map(|id| mention(id)).chain(here) {
            if !called.mentions.contains(&one) {
                called.mentions.push(one);
            }
        }
    }
    called.mentions.extend(called.is_instead.then_some(Span::Here));
    Ok(called)
}

/// A person or a group that a policy names, and whether they can answer.
async fn named_target(unit: &mut Unit, id: &str) -> Result<(Vec<String>, bool), Error> {
    let can_answer = oncall::can_answer(unit.connection(), id).await?;
    Ok((vec![id.to_owned()], can_answer))
}

/// A mention as the journal keeps it.
fn named(mention: &Span) -> String {
    match mention {
        Span::User(user) => user.to_string(),
        Span::Group(group) => group.clone(),
        _ => "here".to_owned(),
    }
}

async fn reply(unit: &mut Unit, held: &mut Held, card: &Card) -> Result<(), Error> {
    held.row.notices += 1;
    let key = format!("alert/{}/{}", held.row.id, held.row.notices);
    put(unit, held, key, card_key(&held.row.id), card).await
}

async fn put(
    unit: &mut Unit,
    held: &Held,
    key: String,
    parent: String,
    card: &Card,
) -> Result<(), Error> {
    if held.row.channel.is_empty() {
        // A runbook without an environment has no conversation.
        return Ok(());
    }
    let slot = Slot {
        key,
        channel: held.row.channel.clone(),
        parent,
        priority: PRIORITIES[held.condition.level as usize],
        run_id: String::new(),
        body: serde_json::to_string(card).unwrap_or_default(),
    };
    let now_ms = unit.now_ms();
    Ok(outbox::put(unit.connection(), &slot, now_ms).await?)
}

impl Held {
    /// Writes it as it is now, and its card.
    pub(in crate::engine) async fn refresh(
        &mut self,
        unit: &mut Unit,
        in_force: &InForce,
    ) -> Result<(), Error> {
        self.keep(unit).await?;
        let now_ms = unit.now_ms();
        let mut alert = view(unit.connection(), &self.row).await?;
        alert.rollback = alert_press::rollback(&alert, &in_force.runbook);
        let (policies, lang) = (&in_force.alerting.policies, in_force.runbook.language);
        let card = alert_card::card(&alert, policies, lang, now_ms);
        put(unit, self, card_key(&self.row.id), String::new(), &card).await
    }

    /// Its row as it would be written now.
    fn latest(&self) -> crate::store::alerts::AlertRow {
        crate::store::alerts::AlertRow {
            condition: serde_json::to_string(&self.condition).unwrap_or_default(),
            sighting: serde_json::to_string(&self.first).unwrap_or_default(),
            ..self.row.clone()
        }
    }
}
