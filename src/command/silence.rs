//! `silence`: nobody is told of certain alerts for a while, also of those that are still to come. `silence end`
//! ends one; `silence` alone lists what is in force.
//!
//! What it does to open alerts is decided in `engine/silences`, in the transaction that writes it.

use super::alert::silence_ms;
use super::filter::{environment, invalid};
use super::{Context, Spec, answer, answer_with, ephemeral, plain, refusal, text, with_code};
use crate::core::action::Runbook;
use crate::core::card::{Card, Line, Part, Span, Tone, prose};
use crate::core::duration;
use crate::core::id::SilenceId;
use crate::core::param::{ArgumentFault, TEXT_CHARS_MAX, cut, narrow_word};
use crate::core::policy::Authorized;
use crate::core::silence::{Matcher, NotMatcher, Silence as InForce, TERMS_MAX};
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, SilenceWanted, SilenceWish, Silenced};
use serde_json::json;

/// Silences that a list shows.
const LISTED_MAX: usize = 20;

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "silence",
    usage: "[<name|label=value…> <2h> <reason…> | end <silence>]",
    example: "silence",
    zh: "静默一类告警（含以后出现的）；end 提前结束；不带参数列出现有的静默",
    en: "Silence a kind of alerts, those to come too; with the word end, end it before its time; alone: what is silent",
};

/// What is wanted of silences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// Which there are.
    List,
    /// One begins.
    Begin {
        /// Of which alerts.
        matcher: Result<Matcher, NotMatcher>,
        /// How long.
        for_ms: u64,
        /// Why.
        reason: String,
    },
    /// One ends now.
    End {
        /// Which.
        id: SilenceId,
    },
}

/// Reads the words after `silence`. A word without `=` is an alert's name; the first duration ends them.
pub fn parse(words: &mut Words<'_>) -> Result<Silence, ArgumentFault> {
    let Some(first) = words.peek().cloned() else { return Ok(Silence::List) };
    if !first.quoted && matches!(narrow_word(&first.text).as_str(), "end" | "结束") {
        words.take();
        let Some(word) = words.take() else {
            return Err(ArgumentFault::Missing { name: "silence".to_owned() });
        };
        let id = SilenceId::parse(&word.text).ok_or_else(|| {
            let expected =
                Text::new("一个静默编号，例如 SL-7K3QZD5A", "a silence's id such as SL-7K3QZD5A");
            invalid("silence", &word.text, &expected)
        })?;
        super::nothing_more(words)?;
        return Ok(Silence::End { id });
    }
    let mut terms = Vec::new();
    while let Some(word) = words.peek() {
        let is_length = !word.quoted && duration::parse(&narrow_word(&word.text)).is_some();
        if is_length && !terms.is_empty() || terms.len() > TERMS_MAX {
            break;
        }
        let named = word.text.contains(['=', '＝']);
        let term = word.text.replacen('＝', "=", 1);
        terms.push(if named { term } else { format!("name={term}") });
        words.take();
    }
    let for_ms = silence_ms(words)?;
    let reason = words.take_rest().unwrap_or_default();
    let reason: String = reason.trim().chars().take(TEXT_CHARS_MAX).collect();
    if reason.is_empty() {
        return Err(ArgumentFault::Missing { name: "reason".to_owned() });
    }
    Ok(Silence::Begin { matcher: Matcher::parse(&terms), for_ms, reason })
}

/// Lists, begins or ends.
pub async fn run(
    silence: Silence,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let lang = context.lang;
    let wish = match silence {
        Silence::List => return list(context, asked).await,
        Silence::End { id } => SilenceWish::End { id },
        Silence::Begin { matcher, for_ms, reason } => match meant(matcher, context.runbook) {
            Ok(matcher) => SilenceWish::Begin {
                id: SilenceId::from_entropy(crate::entropy::bytes()),
                matcher,
                until_ms: context.engine.clock().now_ms().saturating_add_unsigned(for_ms),
                reason,
            },
            Err(words) => {
                let card = refusal(with_code(words.get(lang)));
                let detail = json!({"text": asked.text, "why": "no_matcher"});
                return answer_with(context, asked, "request.refused", detail, &card).await;
            }
        },
    };
    let answer = Box::new(move |outcome: &Silenced| ephemeral(&said(outcome, lang)));
    context.engine.silence(asked, by, SilenceWanted { wish, answer }).await
}

/// Which alerts are meant. In an environment that there is not there is none: a silence of it would silence
/// nothing, and whoever typed it would believe that it does.
///
/// # Errors
/// What its writer reads.
fn meant(matcher: Result<Matcher, NotMatcher>, runbook: &Runbook) -> Result<Matcher, Text> {
    let mut matcher = matcher.map_err(|fault| fault.text())?;
    if let Some(name) = matcher.environment.take() {
        matcher.environment = Some(environment(&name, runbook).map_err(|fault| fault.text())?);
    }
    Ok(matcher)
}

fn said(outcome: &Silenced, lang: Lang) -> Card {
    let heard = |alerts: usize| match lang {
        Lang::Zh => format!("。涉及 {alerts} 个未结束的告警。"),
        Lang::En => format!(". Open alerts that it is about: {alerts}."),
    };
    let line = match outcome {
        Silenced::Begun(one, alerts) => {
            let mut line = vec![text("🔕 ")];
            line.extend(words(one, lang));
            line.push(text(heard(*alerts)));
            line.extend(with_code(
                Text::new(
                    format!(" 结束前会提醒您；提前结束：`/neostock silence end {}`", one.id),
                    format!(
                        " You are reminded before its end; to end it at once: `/neostock silence end {}`",
                        one.id
                    ),
                )
                .get(lang),
            ));
            line
        }
        Silenced::Ended(one, alerts) => {
            let mut line = vec![text(lang.pick("🔔 已结束：", "🔔 ended: "))];
            line.extend(words(one, lang));
            line.push(text(heard(*alerts)));
            line
        }
        Silenced::TooMany => {
            return refusal(with_code(lang.pick(
                "静默太多了，什么也没有改变。请先结束不需要的：`/neostock silence`",
                "There are too many silences, so nothing was changed. End those that nobody needs: \
                 `/neostock silence`",
            )));
        }
        Silenced::NoSuch => {
            return refusal(with_code(lang.pick(
                "没有这个静默，或它已经结束，什么也没有改变。现有的见 `/neostock silence`",
                "There is no such silence, or it has ended; nothing was changed. Those in force: \
                 `/neostock silence`",
            )));
        }
    };
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// `SL-… name=error_rate until … by @ann: why`
fn words(one: &InForce, lang: Lang) -> Line {
    let mut line = vec![
        Span::Code(one.id.to_string()),
        text(" "),
        Span::Code(cut(&one.matcher.to_string())),
        text(lang.pick("，到 ", " until ")),
        Span::Time(one.until_ms),
        text(lang.pick("，由 ", " by ")),
        Span::User(one.owner.clone()),
        text(lang.pick("：", ": ")),
    ];
    line.extend(prose(&cut(&one.reason)));
    line
}

async fn list(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let lang = context.lang;
    let all = context.engine.silences().await?;
    let mut line = vec![Span::Bold(lang.pick("现有的静默", "Silences in force").to_owned())];
    if all.is_empty() {
        line.push(text(lang.pick("：没有", ": none")));
    }
    for one in all.iter().take(LISTED_MAX) {
        line.push(text("\n🔕 "));
        line.extend(words(one, lang));
    }
    if all.len() > LISTED_MAX {
        let more = all.len() - LISTED_MAX;
        line.push(text(match lang {
            Lang::Zh => format!("\n… 还有 {more} 个"),
            Lang::En => format!("\n… and {more} more"),
        }));
    }
    let card =
        Card { summary: plain(&line), tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] };
    answer(context, asked, "request.answered", &card).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Silence, ArgumentFault> {
        parse(&mut Words::read(text).unwrap())
    }

    #[test]
    fn a_silence_is_read_from_names_and_labels_to_its_first_duration() {
        let Silence::Begin { matcher, for_ms, reason } =
            read("\"High latency\" env=staging host=web-1 2h until 3h have passed").unwrap()
        else {
            panic!("no beginning");
        };
        let matcher = matcher.unwrap();
        assert_eq!(matcher.to_string(), "name=High latency env=staging host=web-1");
        assert_eq!((for_ms, reason.as_str()), (7_200_000, "until 3h have passed"));
        assert_eq!(read("").unwrap(), Silence::List);
        let id = SilenceId::parse("SL-7K3QZD5A").unwrap();
        assert_eq!(read("end sl-7k3qzd5a").unwrap(), Silence::End { id: id.clone() });
        assert_eq!(read("结束 SL-7K3QZD5A").unwrap(), Silence::End { id });
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_is_possible() {
        for (typed, expected) in [
            ("error_rate", "`duration` is missing"),
            ("error_rate 8d why", "from 5m to 7d"),
            ("error_rate 2h", "`reason` is missing"),
            ("end", "`silence` is missing"),
            ("end AL-7K3QZD5A", "SL-7K3QZD5A"),
            ("end SL-7K3QZD5A now", "now"),
        ] {
            let fault = read(typed).unwrap_err().text();
            assert!(fault.en.contains(expected), "{typed}: {}", fault.en);
        }
        let Silence::Begin { matcher, .. } = read("a b 2h why").unwrap() else {
            panic!("no beginning");
        };
        assert!(matcher.unwrap_err().text().en.contains("`name` is there twice"));
    }

    #[test]
    fn a_silence_of_an_environment_that_there_is_not_silences_nothing_and_is_refused() {
        let runbook = crate::command::tests::runbook();
        let meant = |typed: &str| {
            let Silence::Begin { matcher, .. } = read(typed).unwrap() else {
                panic!("no beginning")
            };
            meant(matcher, &runbook)
        };
        let found = meant("error_rate env=Production 2h why").unwrap();
        assert_eq!(found.environment.as_deref(), Some("production"));
        let words = meant("error_rate env=prodution 2h why").unwrap_err();
        assert!(
            words.en.contains("`prodution`") && words.en.contains("production"),
            "{}",
            words.en
        );
        assert!(words.zh.contains("production"), "{}", words.zh);
    }
}
