//! What a run's card says of its checklist: every item, who or what found it in order, and the buttons that
//! tick items off or have them checked again.

use super::card::{
    Button, ButtonStyle, Card, Confirm, Line, Part, Span, Tone, mention, prose, text,
};
use super::checklist::{PlannedChecklist, PlannedTick, Standing};
use super::evidence::Evidence;
use super::press::Press;
use super::run::State;
use super::run_card::{RunView, StepView};
use super::text::{Lang, Text};

/// Characters of what a check said last.
const SAID_CHARS_MAX: usize = 140;
/// Slack's limit for the words on a button, less what stands before an item's name.
const LABEL_CHARS_MAX: usize = 70;

/// The list as it stands, and what is to be done about it.
pub(super) fn on_card(run: &RunView, lang: Lang) -> Vec<Part> {
    let Some(checklist) = &run.plan.checklist else { return Vec::new() };
    let standings = checklist.standings(&run.checklist);
    let done = standings.iter().filter(|standing| standing.is_in_order()).count();
    let mut line = vec![
        text("📋 "),
        Span::Bold(format!("{} {done}/{}", checklist.title.get(lang), standings.len())),
    ];
    if let Some(checks) = &run.checklist.checks {
        // Under this id `logs` gives what each of its checks printed.
        line.extend([text(" · "), Span::Code(checks.run.to_string())]);
    }
    for (index, (item, standing)) in checklist.items.iter().zip(&standings).enumerate() {
        let name = item.name.get(lang);
        line.push(text(format!("\n{} {}. {name}", icon(*standing), index + 1)));
        line.extend(note(*standing, item.tick.as_ref(), lang));
    }
    let mut parts = vec![Part::Paragraph(line)];
    if run.state == State::Waiting {
        parts.extend(what_now(run, &standings, lang).map(Part::Paragraph));
    }
    parts
}

fn icon(standing: Standing<'_>) -> &'static str {
    match standing {
        Standing::Open => "⬜",
        Standing::Checking => "🔄",
        Standing::Passed(_) | Standing::Ticked(_) => "✅",
        Standing::Failed(_) => "❌",
        Standing::NotChecked(_) => "⚠️",
    }
}

fn note(standing: Standing<'_>, tick: Option<&PlannedTick>, lang: Lang) -> Line {
    let mut line = vec![text(" — ")];
    match standing {
        Standing::Open => match tick {
            Some(tick) => line.extend(to_be_ticked(tick, lang)),
            None => return Line::new(),
        },
        Standing::Checking => line.push(text(lang.pick("检查中", "being checked"))),
        Standing::Passed(step) => match said(step, lang) {
            Some(words) => line.push(text(words)),
            None => return Line::new(),
        },
        Standing::Failed(step) => {
            line.push(text(lang.pick("未通过", "not passed")));
            line.extend(said_behind(step, lang));
        }
        Standing::NotChecked(step) => {
            line.push(text(lang.pick("无法检查", "could not be checked")));
            if let Some(words) = step.evidence.as_ref().and_then(Evidence::text) {
                line.push(text(lang.pick("，", ", ")));
                line.push(text(words.get(lang)));
            }
            line.extend(said_behind(step, lang));
        }
        Standing::Ticked(tick) => {
            line.push(Span::User(tick.by.clone()));
            line.push(text(" · "));
            line.push(Span::Time(tick.at_ms));
            if !tick.note.is_empty() {
                line.push(text(lang.pick("：", ": ")));
                line.extend(prose(&tick.note));
            }
        }
    }
    line
}

fn to_be_ticked(tick: &PlannedTick, lang: Lang) -> Line {
    let mut line = vec![text(lang.pick("由 ", "for ")), Span::Code(tick.role.clone())];
    for id in &tick.call {
        line.push(text(" "));
        line.push(mention(id));
    }
    line.push(text(if tick.allows_self {
        lang.pick(" 确认", " to tick off")
    } else {
        lang.pick(" 确认，本人不算", " to tick off, not whoever asks")
    }));
    line
}

/// What a check found: its result's sentence, else the last line that it printed.
fn said(step: &StepView, lang: Lang) -> Option<String> {
    if let Some(result) = step.evidence.as_ref().and_then(|evidence| evidence.result.as_ref()) {
        return Some(result.words.get(lang).to_owned());
    }
    let last = step.tail.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let last = last.strip_prefix("! ").unwrap_or(last);
    // The item has a sign of its own.
    let last = last.trim_start_matches(['✅', '❌', '⚠', '⛔', '\u{fe0f}', ' ']);
    let mut words: String = last.chars().take(SAID_CHARS_MAX).collect();
    if last.chars().count() > SAID_CHARS_MAX {
        words.push('…');
    }
    Some(words)
}

fn said_behind(step: &StepView, lang: Lang) -> Line {
    said(step, lang).map_or_else(Line::new, |words| vec![text(lang.pick("：", ": ")), text(words)])
}

/// Whether its checks have ended, well or badly, and can be done again.
fn is_checked(run: &RunView) -> bool {
    let checks = run.checklist.checks.as_ref().map(|checks| checks.state);
    checks.is_some_and(|state| state.is_final() || state == State::NeedsAttention)
}

/// What people have to do for the run to begin.
fn what_now(run: &RunView, standings: &[Standing<'_>], lang: Lang) -> Option<Line> {
    let wanting = standings.iter().filter(|standing| standing.is_wanting()).count();
    if wanting > 0 && !is_checked(run) {
        let words = Text::new(
            format!("⛔ 已有 {wanting} 项不通过；其余的还在检查。"),
            format!("⛔ {wanting} not in order so far; the rest is still being checked."),
        );
        return Some(vec![text(words.get(lang))]);
    }
    if wanting > 0 {
        let words = Text::new(
            format!("⛔ {wanting} 项不通过，执行不会开始。修好之后按「重新检查」，或拒绝、取消。"),
            format!(
                "⛔ {wanting} not in order: the run does not begin. Mend it and press “Check again”, \
                 or reject or cancel it."
            ),
        );
        return Some(vec![text(words.get(lang))]);
    }
    let open = standings.iter().filter(|standing| !standing.is_in_order()).count();
    (open > 0).then(|| {
        if run.plan.steps.is_empty() {
            // The list is all there is to do.
            let words = Text::new(format!("⏳ 还有 {open} 项。"), format!("⏳ {open} to go."));
            return vec![text(words.get(lang))];
        }
        let words = Text::new(
            format!("⏳ 还有 {open} 项，全部通过后才会执行。"),
            format!("⏳ {open} to go: the run begins when every item is in order."),
        );
        vec![text(words.get(lang))]
    })
}

/// The buttons that can still do something.
pub(super) fn buttons(run: &RunView, lang: Lang) -> Option<Part> {
    let checklist = run.plan.checklist.as_ref().filter(|_| run.state == State::Waiting)?;
    let digest = run.plan.digest();
    let standings = checklist.standings(&run.checklist);
    let mut row = Vec::new();
    for (index, (item, standing)) in checklist.items.iter().zip(&standings).enumerate() {
        if item.tick.is_none() || !matches!(standing, Standing::Open) {
            continue;
        }
        let press = Press::Tick { run: run.id.clone(), digest: digest.clone(), item: index };
        let name: String = item.name.get(lang).chars().take(LABEL_CHARS_MAX).collect();
        row.push(Button {
            label: format!("☑ {}. {name}", index + 1),
            action: press.action().to_owned(),
            value: press.value(),
            style: ButtonStyle::Default,
            confirm: Some(Confirm {
                title: lang.pick("确认这一项？", "Tick it off?").to_owned(),
                text: match lang {
                    Lang::Zh => format!("{}。您的名字和时间会写入审计日志。", item.name.zh),
                    Lang::En => {
                        format!("{}. Your name and the time go into the journal.", item.name.en)
                    }
                },
                yes: lang.pick("确认", "Tick it off").to_owned(),
                no: lang.pick("返回", "Go back").to_owned(),
            }),
        });
    }
    if is_checked(run) && standings.iter().any(|standing| standing.is_wanting()) {
        let press = Press::Recheck { run: run.id.clone(), digest };
        row.push(Button {
            label: lang.pick("🔁 重新检查", "🔁 Check again").to_owned(),
            action: press.action().to_owned(),
            value: press.value(),
            style: ButtonStyle::Default,
            confirm: None,
        });
    }
    (!row.is_empty()).then_some(Part::Buttons(row))
}

/// Calls people again: at the run's turn, what was found of its checklist was too old.
pub fn old_card(run: &RunView, lang: Lang) -> Card {
    let checklist = run.plan.checklist.as_ref();
    let valid = checklist.map_or_else(String::new, |list| super::duration::spell(list.valid_ms));
    let title = run.plan.title();
    let words = Text::new(
        format!(
            "📋 {title} 轮到时，检查清单中有超过 {valid} 的结果，先不执行：正在重新检查，请重新确认过期的项。"
        ),
        format!(
            "📋 When the turn of {title} came, some of its checklist was older than {valid}, so nothing was \
             done: it is being checked anew, and what was ticked off too long ago is to be ticked off again."
        ),
    );
    let mut line = vec![text(words.get(lang)), text(" ")];
    if let Some(checklist) = checklist {
        let standings = checklist.standings(&run.checklist);
        for (item, standing) in checklist.items.iter().zip(standings) {
            if let (Some(tick), Standing::Open) = (&item.tick, standing) {
                for id in &tick.call {
                    line.extend([mention(id), text(" ")]);
                }
            }
        }
    }
    line.push(Span::User(run.actor.clone()));
    Card {
        summary: words.get(lang).to_owned(),
        tone: Tone::Warning,
        parts: vec![Part::Paragraph(line)],
    }
}

/// A checklist in a plan: every item with who or what finds it in order.
pub fn planned(checklist: &PlannedChecklist, lang: Lang) -> Line {
    let count = checklist.items.len();
    let within = super::duration::spell(checklist.expires_ms);
    let mut line = vec![
        text(lang.pick("📋 检查清单：", "📋 checklist: ")),
        text(checklist.title.get(lang)),
        text(match lang {
            Lang::Zh => format!("，{count} 项，{within} 内"),
            Lang::En => format!(", {count} items, within {within}"),
        }),
    ];
    for (index, item) in checklist.items.iter().enumerate() {
        line.push(text(format!("\n    {}. {}", index + 1, item.name.get(lang))));
        if let Some(tick) = &item.tick {
            line.push(text(" — "));
            line.extend(to_be_ticked(tick, lang));
        }
    }
    line
}
