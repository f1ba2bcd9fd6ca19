//! `alerts [filters]`: what is wrong, and what was, newest first, a page at a time.

use super::alert::read_id;
use super::filter::{environment, invalid, once, pages, take_named};
use super::{Context, Spec, alert_follow_up, answer, text};
use crate::core::action::Runbook;
use crate::core::alert::Level;
use crate::core::alert_card::{AlertView, cut as cut_to, level_words, state_words};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::id::AlertId;
use crate::core::param::{ArgumentFault, narrow_word};
use crate::core::text::{Lang, Text};
use crate::core::words::{Words, as_chat};
use crate::engine::{Asked, Error};
use crate::store::alerts::AlertFilter;

/// Alerts on a page.
const PAGE_ALERTS: usize = 10;
/// Characters of a title in a list.
const CHARS_MAX: usize = 80;
/// Characters of a name that is looked for: a button of the list carries it.
const NAME_CHARS_MAX: usize = 250;
/// Alerts of a level that `status` names.
const NAMED_MAX: i64 = 3;

/// How they are asked for.
pub const SPEC: Spec = Spec {
    name: "alerts",
    usage: "[open|all] [1|2|3] [env=…] [name=…] | follow-ups",
    example: "alerts all 3 env=production",
    zh: "列出告警，最新的在前；条件顺序不限，默认只列未结束的",
    en: "List alerts, newest first; filters in any order, those that are not over by default",
};

/// Which alerts are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alerts {
    /// What is to be done after them, instead.
    is_to_do: bool,
    /// Those that are over too.
    is_all: Option<bool>,
    level: Option<Level>,
    environment: Option<String>,
    name: Option<String>,
    before: Option<AlertId>,
}

/// Reads the words after `alerts`.
pub fn parse(words: &mut Words<'_>, runbook: &Runbook) -> Result<Alerts, ArgumentFault> {
    let mut alerts = Alerts::default();
    let first = words.peek().map(|word| narrow_word(&word.text).replace('_', "-"));
    if matches!(first.as_deref(), Some("follow-ups" | "followups" | "后续")) {
        words.take();
        super::nothing_more(words)?;
        return Ok(Alerts { is_to_do: true, ..alerts });
    }
    while !words.is_empty() {
        match take_named(words, &["env", "name", "level", "before"])? {
            Some(("env", value)) => {
                once(&mut alerts.environment, "env", environment(&value, runbook)?)?;
            }
            Some(("name", value)) => {
                once(&mut alerts.name, "name", cut_to(&value, NAME_CHARS_MAX))?;
            }
            Some(("before", value)) => {
                once(&mut alerts.before, "before", read_id("before", &value)?)?;
            }
            Some((_, value)) => {
                let expected = Text::same("1, 2, 3, warning, error, critical");
                let level = level(&value).ok_or_else(|| invalid("level", &value, &expected))?;
                once(&mut alerts.level, "level", level)?;
            }
            None => {
                let Some(next) = words.take() else { break };
                word(&next.text, &mut alerts, runbook)?;
            }
        }
    }
    Ok(alerts)
}

fn level(value: &str) -> Option<Level> {
    let name = narrow_word(value);
    let numbered = name.parse().ok().and_then(Level::numbered);
    let is_word = |level: &Level| level_words(*level, Lang::Zh).rsplit(' ').next() == Some(value);
    let word = Level::ALL.into_iter().find(is_word);
    numbered.or_else(|| Level::named(&name)).or(word)
}

/// A word without a name: which, a level, or an environment.
fn word(raw: &str, alerts: &mut Alerts, runbook: &Runbook) -> Result<(), ArgumentFault> {
    let name = narrow_word(raw);
    match name.as_str() {
        "all" | "全部" => return once(&mut alerts.is_all, "all", true),
        "open" | "未结束" => return once(&mut alerts.is_all, "open", false),
        _ => {}
    }
    if let Some(level) = level(raw) {
        return once(&mut alerts.level, "level", level);
    }
    if runbook.environments.contains_key(&name) {
        return once(&mut alerts.environment, "env", name);
    }
    let known: Vec<&str> = runbook.environments.keys().map(String::as_str).collect();
    let known = known.join(", ");
    let expected = Text::new(
        format!("`open`、`all`、级别 1–3、环境（{known}）或 `name=告警名`"),
        format!("`open`, `all`, a level from 1 to 3, an environment ({known}) or `name=…`"),
    );
    Err(invalid("filter", raw, &expected))
}

impl Alerts {
    fn is_all(&self) -> bool {
        self.is_all.unwrap_or(false)
    }

    /// The command without its place in the list.
    fn words(&self) -> String {
        let mut words = vec![SPEC.name.to_owned()];
        words.push(if self.is_all() { "all" } else { "open" }.to_owned());
        words.extend(self.level.map(|level| level.number().to_string()));
        words.extend(self.environment.as_ref().map(|name| format!("env={name}")));
        words.extend(self.name.as_ref().map(|name| format!("name={name}")));
        as_chat(&words)
    }
}

/// Answers.
pub async fn run(alerts: &Alerts, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    if alerts.is_to_do {
        return alert_follow_up::list(context, asked).await;
    }
    let engine = context.engine;
    let before = match &alerts.before {
        Some(id) => engine.alert(id).await?.map(|alert| (alert.opened_ms, id.to_string())),
        None => None,
    };
    let (before_ms, before_id) = before.unzip();
    let filter = AlertFilter {
        is_open: !alerts.is_all(),
        level: alerts.level.map(|level| i64::from(level.number())),
        environment: alerts.environment.clone().unwrap_or_default(),
        name: alerts.name.clone().unwrap_or_default(),
        before_ms,
        before_id: before_id.unwrap_or_default(),
        limit: i64::try_from(PAGE_ALERTS + 1).unwrap_or(i64::MAX),
    };
    let mut found = engine.alerts(&filter).await?;
    let has_more = found.len() > PAGE_ALERTS;
    found.truncate(PAGE_ALERTS);
    let census = engine.alert_census().await?;
    let card = card(alerts, &found, (has_more, census), context);
    answer(context, asked, "request.answered", &card).await
}

fn card(
    alerts: &Alerts,
    found: &[AlertView],
    (has_more, census): (bool, [i64; 3]),
    context: &Context<'_>,
) -> Card {
    let (lang, now_ms) = (context.lang, context.engine.clock().now_ms());
    let title = lang.pick("告警", "Alerts").to_owned();
    let words = alerts.words();
    let mut parts = vec![
        Part::Header(title.clone()),
        Part::Context(vec![Span::Code(format!("/neostock {words}"))]),
        Part::Paragraph(vec![text(counted(census, lang))]),
    ];
    parts.extend(found.iter().map(|alert| Part::Paragraph(row(alert, lang, now_ms))));
    let is_plain = alerts.level.is_none() && alerts.environment.is_none() && alerts.name.is_none();
    if found.is_empty() && (alerts.is_all() || !is_plain) {
        let none = lang.pick("没有符合条件的告警。", "No alert fits.");
        parts.push(Part::Paragraph(vec![text(none)]));
    }
    let next = found.last().filter(|_| has_more).map(|alert| alert.id.as_str());
    let before = alerts.before.as_ref().map(AlertId::as_str);
    parts.extend(pages(&words, before, next, lang));
    Card { summary: title, tone: tone(census), parts }
}

fn tone(census: [i64; 3]) -> Tone {
    match census {
        [0, 0, 0] => Tone::Good,
        [_, 0, 0] => Tone::Neutral,
        [_, _, 0] => Tone::Warning,
        _ => Tone::Bad,
    }
}

/// How many of each level are not over, in one line, the worst first.
fn counted(census: [i64; 3], lang: Lang) -> String {
    if census == [0; 3] {
        let calm = lang.pick("没有未结束的告警，一切平静。", "Nothing is wrong: no alert is open.");
        return calm.to_owned();
    }
    let levels = Level::ALL.into_iter().rev().map(|level| (level, census[level as usize]));
    let counts: Vec<String> = levels
        .filter(|(_, count)| *count > 0)
        .map(|(level, count)| of_level(level, count, lang))
        .collect();
    let counts = counts.join(lang.pick("，", ", "));
    format!("{}{counts}", lang.pick("未结束：", "Open: "))
}

/// `level 3 (critical) × 2`: here its number would read as a count.
fn of_level(level: Level, count: i64, lang: Lang) -> String {
    let words = match (level, lang) {
        (Level::Warning, Lang::Zh) => "一级（警告）",
        (Level::Error, Lang::Zh) => "二级（错误）",
        (Level::Critical, Lang::Zh) => "三级（严重）",
        (Level::Warning, Lang::En) => "level 1 (warning)",
        (Level::Error, Lang::En) => "level 2 (error)",
        (Level::Critical, Lang::En) => "level 3 (critical)",
    };
    format!("{words} × {count}")
}

/// An alert in a list: level, what, state, whose, since when.
fn row(alert: &AlertView, lang: Lang, now_ms: i64) -> Line {
    let level = level_words(alert.condition.level, lang);
    let mut line = vec![
        text(format!("{} ", alert.icon(now_ms))),
        Span::Bold(cut_to(&alert.title(), CHARS_MAX)),
        text(format!(" · {level} · {}", state_words(alert, lang, now_ms))),
    ];
    if let Some(owner) = alert.owner() {
        line.extend([text(" · "), owner]);
    }
    line.extend([text(" · "), Span::Time(alert.first.starts_ms)]);
    line.extend([text(" · "), Span::Code(alert.id.to_string())]);
    line
}

/// What is open, for `status`: a line a level, the worst first; `None`: nothing is.
pub(super) async fn open(context: &Context<'_>) -> Result<Option<(Line, Tone)>, Error> {
    let lang = context.lang;
    let census = context.engine.alert_census().await?;
    if census == [0; 3] {
        return Ok(None);
    }
    let mut line = vec![text(lang.pick("🔔 未结束的告警：", "🔔 Open alerts:"))];
    for level in Level::ALL.into_iter().rev() {
        let count = census[level as usize];
        if count == 0 {
            continue;
        }
        let filter = AlertFilter {
            is_open: true,
            level: Some(i64::from(level.number())),
            limit: NAMED_MAX,
            ..AlertFilter::default()
        };
        line.push(text(format!("\n{}", of_level(level, count, lang))));
        for (index, alert) in context.engine.alerts(&filter).await?.iter().enumerate() {
            line.push(text(if index == 0 { lang.pick("：", ": ") } else { ", " }));
            line.push(text(format!("{} ", cut_to(&alert.title(), CHARS_MAX))));
            line.push(Span::Code(alert.id.to_string()));
        }
        if count > NAMED_MAX {
            line.push(text(" …"));
        }
    }
    line.push(text(lang.pick("\n全部见 ", "\nAll of them: ")));
    line.push(Span::Code(format!("/neostock {}", SPEC.name)));
    let tone = if census[Level::Critical as usize] > 0 { Tone::Bad } else { Tone::Warning };
    Ok(Some((line, tone)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::runbook;

    fn read(text: &str) -> Result<Alerts, ArgumentFault> {
        parse(&mut Words::read(text).unwrap(), &runbook())
    }

    #[test]
    fn filters_are_read_in_any_order_and_written_back() {
        let one = read("all 3 env=production name=\"High <P99> latency\"").unwrap();
        let other = read("name=\"High <P99> latency\" critical production 全部").unwrap();

        assert_eq!(one, other);
        let again = one.words();
        assert_eq!(read(again.strip_prefix("alerts ").unwrap()).unwrap(), one, "{again}");
        assert!(read("follow-ups").unwrap().is_to_do && read("后续").unwrap().is_to_do);
        assert_eq!(read("").unwrap().words(), "alerts open");
        assert_eq!(read("严重").unwrap(), read("level=3").unwrap());
        assert_eq!(read("before=al-7k3qzd5a").unwrap().before.unwrap().as_str(), "AL-7K3QZD5A");
    }

    #[test]
    fn an_unknown_word_is_refused_with_what_is_possible() {
        for (typed, expected) in [
            ("4", "a level from 1 to 3"),
            ("prodution", "production"),
            ("env=moon", "production"),
            ("level=0", "critical"),
            ("before=12", "AL-7K3QZD5A"),
        ] {
            let fault = read(typed).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
        assert_eq!(read("all open"), Err(ArgumentFault::Twice { name: "open".into() }));
    }
}
