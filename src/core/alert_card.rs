//! What people see of an alert: its one card, which is edited in place, and the replies in its thread. Text
//! that came from outside is text here and never a mention.

use super::alert::{Condition, Level, Sighting, State, Why, taken_by};
use super::alert_press;
use super::card::{Card, Line, Part, Span, Tone, text};
use super::duration;
use super::escalation::Policies;
use super::id::{AlertId, ChannelId, RunId};
use super::text::{Lang, Text};

/// Instances that the card names; more are counted.
pub const INSTANCES_SHOWN: usize = 5;
/// Labels that tell an instance apart on the card.
const LABELS_SHOWN: usize = 4;
/// Characters of what came from outside.
const SUMMARY_CHARS_MAX: usize = 300;
const DESCRIPTION_CHARS_MAX: usize = 600;
const LABEL_CHARS_MAX: usize = 80;
const LINKS_SHOWN: usize = 4;

/// An alert as a card needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertView {
    /// Its id.
    pub id: AlertId,
    /// Where it stands.
    pub condition: Condition,
    /// The sighting that speaks for it: the worst of those that fire, or the last that did.
    pub first: Sighting,
    /// Some of its instances: those that fire first.
    pub instances: Vec<Sighting>,
    /// How many fire.
    pub firing: usize,
    /// How many there were.
    pub total: usize,
    /// When it was taken in.
    pub opened_ms: i64,
    /// The conversation of its card.
    pub channel: ChannelId,
    /// The run of its checklist, once one was opened.
    pub checklist: Option<RunId>,
    /// The words of the rollback that its card offers (`alert_press::rollback`); empty: none.
    pub rollback: String,
}

impl AlertView {
    /// `error_rate · neostock production`
    pub fn title(&self) -> String {
        let Sighting { name, service, environment, .. } = &self.first;
        let (name, service) = (cut(name, LABEL_CHARS_MAX), cut(service, LABEL_CHARS_MAX));
        format!("{name} · {service} {environment}")
    }

    /// What has a colour from across the room: red is nobody's, yellow somebody's, green over.
    pub fn icon(&self, now_ms: i64) -> &'static str {
        match self.condition.state {
            State::Resolved => "🟢",
            _ if self.condition.is_quiet(now_ms) => "🔕",
            State::Acknowledged => "🟡",
            State::Open => "🔴",
        }
    }

    /// Who has it; `None`: nobody.
    pub fn owner(&self) -> Option<Span> {
        let (by, _) = self.condition.acknowledged.as_ref()?;
        Some(taken_by(by).map_or_else(|| text(by.clone()), Span::User))
    }
}

/// The level in words: `3 · 严重`.
pub fn level_words(level: Level, lang: Lang) -> String {
    let word = match level {
        Level::Warning => lang.pick("警告", "warning"),
        Level::Error => lang.pick("错误", "error"),
        Level::Critical => lang.pick("严重", "critical"),
    };
    format!("{} · {word}", level.number())
}

/// The state in words.
pub fn state_words(alert: &AlertView, lang: Lang, now_ms: i64) -> &'static str {
    let condition = &alert.condition;
    let words = match condition.state {
        State::Resolved if condition.is_by_hand => ("已由人关闭", "resolved by hand"),
        State::Resolved => ("已恢复", "resolved"),
        _ if condition.silenced_until_ms > now_ms => ("已静默", "silenced"),
        _ if condition.is_inhibited => ("被抑制", "inhibited"),
        _ if !condition.is_firing => ("反复中，观察是否稳定", "comes and goes: settling"),
        State::Acknowledged => ("有人处理", "acknowledged"),
        State::Open => ("无人处理", "open"),
    };
    lang.pick(words.0, words.1)
}

/// The alert's card at a moment.
pub fn card(alert: &AlertView, policies: &Policies, lang: Lang, now_ms: i64) -> Card {
    let headline = format!("{} {}", alert.icon(now_ms), alert.title());
    let mut parts =
        vec![Part::Header(headline.clone()), Part::Fields(fields(alert, policies, lang, now_ms))];
    if !alert.first.summary.is_empty() {
        parts.push(Part::Paragraph(vec![text(cut(&alert.first.summary, SUMMARY_CHARS_MAX))]));
    }
    if !alert.first.description.is_empty() && !alert.condition.is_over() {
        let words = cut(&alert.first.description, DESCRIPTION_CHARS_MAX);
        parts.push(Part::Paragraph(vec![text(words)]));
    }
    if let Some(line) = instances(alert, lang) {
        parts.push(Part::Paragraph(line));
    }
    if let Some(line) = links(alert) {
        parts.push(Part::Paragraph(line));
    }
    if let Some(line) = outlook(alert, policies, lang, now_ms) {
        parts.push(Part::Paragraph(line));
    }
    let buttons = alert_press::buttons(alert, lang, now_ms);
    if !buttons.is_empty() {
        parts.push(Part::Buttons(buttons));
    }
    parts.push(Part::Context(vec![Span::Code(alert.id.to_string()), text(source(alert, lang))]));
    Card { summary: headline, tone: tone(alert), parts }
}

fn tone(alert: &AlertView) -> Tone {
    match (alert.condition.state, alert.condition.level) {
        (State::Resolved, _) => Tone::Good,
        (State::Acknowledged, _) => Tone::Active,
        (State::Open, Level::Warning) => Tone::Warning,
        (State::Open, _) => Tone::Bad,
    }
}

fn source(alert: &AlertView, lang: Lang) -> String {
    let source = match alert.first.source.as_str() {
        "rule" => lang.pick("告警规则", "a rule").to_owned(),
        "bot" => lang.pick("机器人自检", "the bot's own watch").to_owned(),
        other => other.to_owned(),
    };
    format!("{}{source}", lang.pick(" · 来源：", " · from "))
}

fn fields(alert: &AlertView, policies: &Policies, lang: Lang, now_ms: i64) -> Vec<(String, Line)> {
    let condition = &alert.condition;
    let label = |zh: &str, en: &str| lang.pick(zh, en).to_owned();
    let mut fields = vec![
        (label("级别", "Level"), vec![text(level_words(condition.level, lang))]),
        (label("状态", "State"), vec![text(state_words(alert, lang, now_ms))]),
        (label("开始", "Since"), vec![Span::Time(alert.first.starts_ms)]),
    ];
    if !alert.first.value.is_empty() {
        fields.push((label("数值", "Value"), vec![text(cut(&alert.first.value, LABEL_CHARS_MAX))]));
    }
    if let Some(owner) = alert.owner() {
        fields.push((label("处理人", "On it"), vec![owner]));
    } else if !alert.first.owner.is_empty() {
        let owner = cut(&alert.first.owner, LABEL_CHARS_MAX);
        fields.push((label("负责", "Owner"), vec![text(owner)]));
    }
    if condition.is_over() {
        fields.push((label("结束", "Over"), vec![Span::Time(condition.resolved_ms)]));
        let lasted_ms = (condition.resolved_ms - alert.first.starts_ms).max(0).unsigned_abs();
        let lasted = duration::about(lasted_ms).get(lang).to_owned();
        fields.push((label("历时", "Lasted"), vec![text(lasted)]));
    } else if condition.critical_ms > 0 {
        let mut line = vec![Span::Time(condition.recover_by_ms(policies))];
        if condition.is_overdue {
            line.push(text(lang.pick(" ⏰ 已超过", " ⏰ overdue")));
        }
        fields.push((label("恢复期限 (RTO)", "Recover by (RTO)"), line));
    }
    if let Some(run) = &alert.checklist {
        let line = vec![Span::Code(run.to_string())];
        fields.push((label("检查清单", "Checklist"), line));
    }
    if condition.returns > 0 {
        let words = match lang {
            Lang::Zh => format!("{} 次", condition.returns),
            Lang::En => format!("{}×", condition.returns),
        };
        fields.push((label("反复", "Came back"), vec![text(words)]));
    }
    fields
}

/// What tells the instances apart, where there are several.
fn instances(alert: &AlertView, lang: Lang) -> Option<Line> {
    if alert.total < 2 {
        return None;
    }
    let mut line = vec![Span::Bold(match lang {
        Lang::Zh => format!("{} 个实例，{} 个仍在告警", alert.total, alert.firing),
        Lang::En => format!("{} instances, {} firing", alert.total, alert.firing),
    })];
    // Those that fire first; in an order that an edit of the card does not change.
    let named = alert.instances.iter();
    let mut named: Vec<(bool, String)> =
        named.map(|one| (one.ended_ms.is_some(), apart(one, &alert.instances))).collect();
    named.sort_unstable();
    for (is_over, name) in named.into_iter().take(INSTANCES_SHOWN) {
        line.push(text(if is_over { "\n🟢 " } else { "\n🔴 " }));
        line.push(Span::Code(name));
    }
    let more = alert.total.saturating_sub(INSTANCES_SHOWN.min(alert.instances.len()));
    if more > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("\n… 还有 {more} 个"),
            Lang::En => format!("\n… and {more} more"),
        }));
    }
    Some(line)
}

/// What tells an instance apart from the others: its labels, without those in which all are alike.
fn apart(one: &Sighting, all: &[Sighting]) -> String {
    let is_shared = |name: &String, value: &String| {
        all.iter().all(|other| other.labels.get(name) == Some(value))
    };
    let labels = one.labels.iter().filter(|(name, value)| !is_shared(name, value));
    let shown: Vec<String> = labels
        .take(LABELS_SHOWN)
        .map(|(name, value)| {
            format!("{}={}", cut(name, LABEL_CHARS_MAX), cut(value, LABEL_CHARS_MAX))
        })
        .collect();
    if shown.is_empty() { cut(&one.fingerprint, LABEL_CHARS_MAX) } else { shown.join(" ") }
}

fn links(alert: &AlertView) -> Option<Line> {
    let mut line = Line::new();
    for (label, url) in alert.first.links.iter().take(LINKS_SHOWN) {
        if !line.is_empty() {
            line.push(text(" · "));
        }
        line.push(Span::Link { url: url.clone(), label: cut(label, LABEL_CHARS_MAX) });
    }
    (!line.is_empty()).then_some(line)
}

/// What comes next if nobody does anything.
fn outlook(alert: &AlertView, policies: &Policies, lang: Lang, now_ms: i64) -> Option<Line> {
    let condition = &alert.condition;
    if condition.is_over() {
        return (condition.is_by_hand && condition.is_firing).then(|| {
            vec![
                text(lang.pick(
                    "⚠️ 来源仍报告异常；若届时仍未恢复将重新打开：",
                    "⚠️ Its source still says that it fires; unless that ends it opens again at ",
                )),
                Span::Time(condition.next_ms),
            ]
        });
    }
    if condition.silenced_until_ms > now_ms {
        return Some(vec![
            text(lang.pick("🔕 静默到 ", "🔕 Silenced until ")),
            Span::Time(condition.silenced_until_ms),
        ]);
    }
    if condition.is_inhibited {
        let words = lang.pick(
            "🔕 另一个告警已说明原因，它结束前不再通知。",
            "🔕 Another alert explains it: nobody is told before that one is over.",
        );
        return Some(vec![text(words)]);
    }
    if condition.state != State::Open || !condition.is_firing {
        return None;
    }
    let policy = policies.of(condition.level);
    let rises_ms = condition.since_ms + policy.rises_after_ms?;
    // Level 1 is told to nobody: what is due next is its rise, after the quiet hours.
    let at_ms = if policy.quiet.is_some() { rises_ms.max(condition.next_ms) } else { rises_ms };
    let next = condition.level.above().number();
    let words = match (condition.level, lang) {
        (Level::Warning, Lang::Zh) => format!("若未自行恢复，将升为 {next} 级："),
        (Level::Warning, Lang::En) => format!("Unless it passes by itself, level {next} at "),
        (_, Lang::Zh) => format!("若无人响应，将升为 {next} 级："),
        (_, Lang::En) => format!("Unless somebody answers, level {next} at "),
    };
    Some(vec![text(words), Span::Time(at_ms)])
}

/// Whom a reply calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Each once.
    pub mentions: Vec<Span>,
    /// Whether none of those meant can answer, so that whoever is active is called as well.
    pub is_instead: bool,
}

/// Why people are told, in a reply that calls them.
pub fn told(alert: &AlertView, why: Why, called: &Called, lang: Lang) -> Card {
    let level = alert.condition.level;
    let icon = if level == Level::Critical { "🚨" } else { "📣" };
    let words = why_words(why, level);
    let mut line = vec![text(format!("{icon} {}", words.get(lang)))];
    for mention in &called.mentions {
        line.push(text(" "));
        line.push(mention.clone());
    }
    if called.is_instead {
        line.push(text(lang.pick(
            "\n⚠️ 该叫的人都不是本工作区的在职成员（或用户组里没有人），所以同时提醒频道里在线的人。请修改告警配置。",
            "\n⚠️ None of those meant is an active full member here (or their group is empty), so whoever is \
             active in the channel is called too. Change the alerting configuration.",
        )));
    }
    if !alert.first.summary.is_empty() {
        line.push(text(format!("\n{}", cut(&alert.first.summary, SUMMARY_CHARS_MAX))));
    }
    let tone = if level == Level::Critical { Tone::Bad } else { Tone::Warning };
    spoken(format!("{icon} {}: {}", alert.title(), words.get(lang)), tone, line)
}

/// The reason in words.
pub fn why_words(why: Why, level: Level) -> Text {
    let number = level.number();
    match why {
        Why::New => Text::new(format!("{number} 级告警"), format!("Level {number}")),
        Why::Returned => {
            Text::new(format!("又出现了（{number} 级）"), format!("It came back (level {number})"))
        }
        Why::Step => Text::new("仍无人处理", "Nobody has taken it yet"),
        Why::Repeated => Text::new("再次提醒：仍无人处理", "Again: nobody has taken it yet"),
        Why::Unanswered if level == Level::Error => Text::new(
            format!("没有自行恢复，升为 {number} 级"),
            format!("It did not pass by itself: level {number} now"),
        ),
        Why::Unanswered => Text::new(
            format!("没有人响应，升为 {number} 级"),
            format!("Nobody answered: level {number} now"),
        ),
        Why::Worse => Text::new(
            format!("情况变严重，现为 {number} 级"),
            format!("It is worse: level {number} now"),
        ),
        Why::Asked => Text::new(
            format!("有人要求升级，现为 {number} 级"),
            format!("Somebody wants more people: level {number} now"),
        ),
        Why::GivenBack => Text::new("又无人处理了", "Nobody has it any more"),
        Why::Forgotten => Text::new(
            "处理人没有再回应，重新打开",
            "Whoever took it was not heard of again: it is open again",
        ),
        Why::SilenceOver => {
            Text::new("静默已结束，它仍在告警", "The silence is over and it still fires")
        }
        Why::Released => Text::new(
            "抑制它的告警已结束，它仍在告警",
            "What explained it is over and it still fires",
        ),
        Why::StillFiring => Text::new(
            "它被人关闭，但来源仍报告异常：重新打开",
            "It was resolved by hand and its source still says that it fires: it is open again",
        ),
        Why::Undelivered => Text::new(
            "有一条通知没有送达，改用其他渠道",
            "A notice did not get through: told by the other ways",
        ),
    }
}

/// Something that was said or done about it: one line in its thread.
pub fn remark(alert: &AlertView, icon: &str, line: Line, tone: Tone) -> Card {
    spoken(
        format!("{icon} {}", alert.title()),
        tone,
        [vec![text(format!("{icon} "))], line].concat(),
    )
}

fn spoken(summary: String, tone: Tone, line: Line) -> Card {
    Card { summary, tone, parts: vec![Part::Paragraph(line)] }
}

/// Text from outside, cut where it is too long.
pub fn cut(words: &str, chars_max: usize) -> String {
    match words.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn instance(fingerprint: &str, labels: &[(&str, &str)]) -> Sighting {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sighting {
            source: "alertmanager".into(),
            fingerprint: fingerprint.into(),
            starts_ms: 1,
            ended_ms: None,
            name: "HostDown".into(),
            service: "neostock".into(),
            environment: "production".into(),
            level: Level::Error,
            ways: BTreeSet::new(),
            summary: String::new(),
            description: String::new(),
            labels: labels.collect::<BTreeMap<_, _>>(),
            links: Vec::new(),
            value: String::new(),
            owner: String::new(),
        }
    }

    #[test]
    fn an_instance_is_shown_by_what_tells_it_apart_from_the_others() {
        let shared = [("a", "1"), ("alertname", "HostDown"), ("b", "2"), ("c", "3"), ("d", "4")];
        let with = |host| instance(host, &[&shared[..], &[("instance", host)]].concat());
        let all = [with("web-1"), with("web-2")];

        assert_eq!(apart(&all[0], &all), "instance=web-1");
        assert_eq!(apart(&all[1], &all), "instance=web-2");
        let alike = [instance("f1", &shared), instance("f2", &shared)];
        assert_eq!(apart(&alike[1], &alike), "f2");
    }
}
