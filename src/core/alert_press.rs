//! The buttons of an alert's card: what stands in them, bound to the alert as it was shown.

use super::action::{ParameterKind, Runbook};
use super::alert::{Level, State};
use super::alert_card::{AlertView, cut};
use super::card::{Button, ButtonStyle, Confirm};
use super::id::AlertId;
use super::press::Press;
use super::text::Lang;
use super::words;

/// The action that an alert's card offers, where the runbook has it.
const ROLLBACK: &str = "rollback";
/// Characters of a name or a measure in the reason of a rollback.
const REASON_CHARS_MAX: usize = 80;

/// What can be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// To take it, or to say that they still have it.
    Acknowledge,
    /// To give it back.
    GiveBack,
    /// That it is over.
    Resolve,
    /// That nobody is told for a while; a form asks for how long, and why.
    Silence,
    /// That a silence ends now.
    Unsilence,
    /// The next level at once.
    Escalate,
    /// To see all of it.
    Details,
}

impl Deed {
    /// Every deed.
    pub const ALL: [Self; 7] = [
        Self::Acknowledge,
        Self::GiveBack,
        Self::Resolve,
        Self::Silence,
        Self::Unsilence,
        Self::Escalate,
        Self::Details,
    ];

    /// The button's `action_id`.
    pub fn action(self) -> &'static str {
        match self {
            Self::Acknowledge => "alert_ack",
            Self::GiveBack => "alert_release",
            Self::Resolve => "alert_resolve",
            Self::Silence => "alert_silence",
            Self::Unsilence => "alert_unsilence",
            Self::Escalate => "alert_escalate",
            Self::Details => "alert_details",
        }
    }

    /// Reads an `action_id`.
    pub fn of_action(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.action() == action)
    }
}

/// An alert as it was shown: what has changed since is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How often it had come back.
    pub returns: u32,
    /// Its level.
    pub level: Level,
}

/// A button's `value`: `AL-… 0.2`.
pub fn value(alert: &AlertId, seen: Seen) -> String {
    format!("{alert} {}.{}", seen.returns, seen.level.number())
}

/// Reads that value.
pub fn read_value(value: &str) -> Option<(AlertId, Seen)> {
    let (alert, seen) = value.split_once(' ')?;
    let (returns, level) = seen.split_once('.')?;
    let (returns, level) = (returns.parse().ok()?, Level::numbered(level.parse().ok()?)?);
    Some((AlertId::parse(alert)?, Seen { returns, level }))
}

/// What can be pressed at this moment.
pub fn buttons(alert: &AlertView, lang: Lang, now_ms: i64) -> Vec<Button> {
    let condition = &alert.condition;
    let seen = Seen { returns: condition.returns, level: condition.level };
    let button = |deed, label: &str, style| {
        let press = Press::Alert { deed, alert: alert.id.clone(), seen };
        Button {
            label: label.to_owned(),
            action: press.action().to_owned(),
            value: press.value(),
            style,
            confirm: confirm(deed, alert, lang),
        }
    };
    let details = button(Deed::Details, lang.pick("详情", "Details"), ButtonStyle::Default);
    let take = match condition.state {
        State::Resolved => return vec![details],
        State::Open => lang.pick("接手", "Acknowledge"),
        State::Acknowledged if condition.is_reminded => lang.pick("仍在处理", "Still on it"),
        State::Acknowledged => lang.pick("由我接手", "Take over"),
    };
    let is_wanted = condition.state == State::Open || condition.is_reminded;
    let style = if is_wanted { ButtonStyle::Primary } else { ButtonStyle::Default };
    let mut row = vec![button(Deed::Acknowledge, take, style)];
    if condition.state == State::Acknowledged {
        row.push(button(Deed::GiveBack, lang.pick("放回", "Give back"), ButtonStyle::Default));
    }
    row.push(button(Deed::Resolve, lang.pick("关闭", "Resolve"), ButtonStyle::Default));
    row.push(if condition.silenced_until_ms > now_ms {
        let label = lang.pick("取消静默", "End the silence");
        button(Deed::Unsilence, label, ButtonStyle::Default)
    } else {
        button(Deed::Silence, lang.pick("静默", "Silence"), ButtonStyle::Default)
    });
    let louder = match condition.level {
        Level::Critical => lang.pick("再次呼叫", "Call again"),
        Level::Warning | Level::Error => lang.pick("升级", "Escalate now"),
    };
    row.push(button(Deed::Escalate, louder, ButtonStyle::Danger));
    if !alert.rollback.is_empty() {
        let press = Press::Propose { words: alert.rollback.clone() };
        row.push(Button {
            label: lang.pick("回滚", "Roll back").to_owned(),
            action: press.action().to_owned(),
            value: press.value(),
            style: ButtonStyle::Danger,
            // It only proposes; its own button asks.
            confirm: None,
        });
    }
    row.push(details);
    row
}

/// What is asked before a press counts that others feel.
fn confirm(deed: Deed, alert: &AlertView, lang: Lang) -> Option<Confirm> {
    let condition = &alert.condition;
    let no = lang.pick("返回", "Go back").to_owned();
    let title = alert.title();
    let is_highest = condition.level.above() == condition.level;
    match deed {
        Deed::Resolve if condition.is_firing => Some(Confirm {
            title: lang.pick("关闭这个告警？", "Resolve this alert?").to_owned(),
            text: match (alert.first.is_from_outside(), lang) {
                (true, Lang::Zh) => {
                    format!("{title}。来源还没有报告恢复：它再次报告异常时，会重新打开。")
                }
                (true, Lang::En) => format!(
                    "{title}. Its source has not said that it is over: when it says again that it fires, \
                     it opens again."
                ),
                (false, Lang::Zh) => {
                    format!("{title}。来源仍报告异常：15 分钟后若还是这样，会重新打开。")
                }
                (false, Lang::En) => format!(
                    "{title}. Its source still says that it fires: if it does so in 15 minutes, it opens \
                     again."
                ),
            },
            yes: lang.pick("关闭", "Resolve").to_owned(),
            no,
        }),
        Deed::Escalate => Some(Confirm {
            title: lang.pick("现在叫更多的人？", "Call more people now?").to_owned(),
            text: match (is_highest, lang) {
                (true, Lang::Zh) => format!("{title}。所有相关人员会再次收到通知。"),
                (true, Lang::En) => format!("{title}. Everybody concerned is called once more."),
                (false, lang) => {
                    let next = condition.level.above().number();
                    match lang {
                        Lang::Zh => format!("{title}。立即升为 {next} 级，并通知该级别的人。"),
                        Lang::En => format!(
                            "{title}. It is of level {next} at once, and that level's people are called."
                        ),
                    }
                }
            },
            yes: match (is_highest, lang) {
                (true, Lang::Zh) => "再次呼叫".to_owned(),
                (false, Lang::Zh) => "升级".to_owned(),
                (_, Lang::En) => "Call them".to_owned(),
            },
            no,
        }),
        _ => None,
    }
}

/// The ordinary rollback of the alert's environment with the alert as its reason, as somebody would type it
/// who leaves the version out; empty where the runbook has no such action there, or no place for a reason.
/// What came from outside stands in quotes: nothing in it is read as an argument or a flag.
pub fn rollback(alert: &AlertView, runbook: &Runbook) -> String {
    let first = &alert.first;
    let Some(action) = runbook.actions.get(ROLLBACK) else { return String::new() };
    let mut texts = action.parameters.iter().filter(|one| one.kind == ParameterKind::Text);
    let Some(reason) = texts.next() else { return String::new() };
    if !runbook.environments.contains_key(&first.environment) {
        return String::new();
    }
    let what =
        format!("{} {}", cut(&first.name, REASON_CHARS_MAX), cut(&first.value, REASON_CHARS_MAX));
    let what: String =
        what.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let why = match runbook.language {
        Lang::Zh => format!("告警 {}：{}", alert.id, what.trim()),
        Lang::En => format!("alert {}: {}", alert.id, what.trim()),
    };
    words::as_chat(&[
        ROLLBACK.to_owned(),
        format!("env={}", first.environment),
        format!("{}={why}", reason.name),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alert::{Condition, Event, Sighting};
    use crate::core::escalation::Policies;
    use crate::core::id::ChannelId;
    use std::collections::{BTreeMap, BTreeSet};

    fn runbook() -> Runbook {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook/runbook.yml");
        crate::config::runbook::load(&path).unwrap()
    }

    fn policies() -> Policies {
        crate::config::alerting::Alerting::default().policies.clone()
    }

    fn alert(name: &str, events: &[Event]) -> AlertView {
        let first = Sighting {
            source: "rule".into(),
            fingerprint: "f".into(),
            starts_ms: 1_000,
            ended_ms: None,
            name: name.into(),
            service: "neostock".into(),
            environment: "production".into(),
            level: Level::Error,
            ways: BTreeSet::new(),
            summary: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            links: Vec::new(),
            value: "7.2% > 5%".into(),
            owner: String::new(),
        };
        let mut condition = Condition::before(Level::Error);
        for event in [Event::Fired(Level::Error)].iter().chain(events) {
            condition = condition.after(event, &policies(), 2_000).unwrap().0;
        }
        let mut view = AlertView {
            id: AlertId::from_entropy([7; 8]),
            condition,
            first,
            instances: Vec::new(),
            firing: 1,
            total: 1,
            opened_ms: 2_000,
            channel: ChannelId::new("C0OPS"),
            checklist: None,
            rollback: String::new(),
        };
        view.rollback = rollback(&view, &runbook());
        view
    }

    fn labels(alert: &AlertView, lang: Lang) -> String {
        let row = buttons(alert, lang, 3_000);
        row.iter().map(|button| button.label.as_str()).collect::<Vec<_>>().join(" · ")
    }

    #[test]
    fn a_card_offers_what_does_something_now() {
        let taken = Event::Acknowledged { by: "U1".into() };
        let silenced = Event::Silenced { until_ms: 9_000 };

        for (events, en, zh) in [
            (
                vec![],
                "Acknowledge · Resolve · Silence · Escalate now · Roll back · Details",
                "接手 · 关闭 · 静默 · 升级 · 回滚 · 详情",
            ),
            (
                vec![taken.clone()],
                "Take over · Give back · Resolve · Silence · Escalate now · Roll back · Details",
                "由我接手 · 放回 · 关闭 · 静默 · 升级 · 回滚 · 详情",
            ),
            (
                vec![silenced, Event::Escalated],
                "Acknowledge · Resolve · Silence · Call again · Roll back · Details",
                "接手 · 关闭 · 静默 · 再次呼叫 · 回滚 · 详情",
            ),
            (vec![taken, Event::Resolved], "Details", "详情"),
        ] {
            let alert = alert("error_rate", &events);
            assert_eq!(
                (labels(&alert, Lang::En).as_str(), labels(&alert, Lang::Zh).as_str()),
                (en, zh)
            );
        }
        let quiet = alert("error_rate", &[Event::Silenced { until_ms: 9_000 }]);
        assert!(labels(&quiet, Lang::En).contains("End the silence"));
    }

    #[test]
    fn what_others_feel_is_asked_before() {
        let alert = alert("error_rate", &[]);
        let asking =
            buttons(&alert, Lang::En, 3_000).into_iter().filter(|one| one.confirm.is_some());
        let asking: Vec<String> = asking.map(|one| one.label).collect();
        assert_eq!(asking, ["Resolve", "Escalate now"]);
    }

    #[test]
    fn a_rollback_is_offered_where_the_runbook_has_one_and_knows_the_place() {
        let there = alert("error_rate", &[]);
        assert_eq!(
            there.rollback,
            "rollback env=production reason=«告警 AL-77777777：error_rate 7.2% &gt; 5%»"
        );
        let mut elsewhere = there.clone();
        elsewhere.first.environment = "moon".into();
        assert_eq!(rollback(&elsewhere, &runbook()), "");
        let mut without = runbook();
        without.actions.remove("rollback");
        assert_eq!(rollback(&there, &without), "");
    }

    #[test]
    fn nothing_in_a_hostile_name_becomes_an_argument_or_a_flag() {
        for name in [
            "x --emergency",
            "» --emergency",
            "x» 」 』 --emergency env=staging",
            "<@U1> \" --emergency",
            "a\nb env=staging",
        ] {
            let hostile = alert(name, &[]);
            let read = crate::command::parse(&hostile.rollback, &runbook()).unwrap();
            let crate::command::Command::Propose(propose) = read else {
                panic!("{}: {read:?}", hostile.rollback);
            };
            let arguments = &propose.ask.arguments;
            assert!(!arguments.is_emergency && !arguments.overrides_freeze, "{}", hostile.rollback);
            assert_eq!(arguments.environment.as_deref(), Some("production"));
            assert!(arguments.get("reason").unwrap().contains("AL-77777777"), "{arguments:?}");
        }
    }
}
