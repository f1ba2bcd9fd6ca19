//! What people read of freezes: on the card of a run that waits for one to end, of a run that goes ahead in
//! spite of one, in plans, and in refusals.

use super::card::{Card, Line, Part, Span, Tone, prose, text};
use super::freeze::{self, FLAG, PlannedFreeze, SEARCH_DAYS_MAX, Then, wait_ends_ms, waited_for};
use super::plan::Plan;
use super::run::State;
use super::run_card::{RunView, clock_time};
use super::text::{Lang, Text};

/// `trading-hours Trading hours, another`.
pub fn named(freezes: &[&PlannedFreeze], lang: Lang) -> Line {
    let mut line = Line::new();
    for freeze in freezes {
        if !line.is_empty() {
            line.push(text(lang.pick("、", ", ")));
        }
        line.push(Span::Code(freeze.name.clone()));
        line.push(text(format!(" {}", freeze.summary.get(lang))));
    }
    line
}

/// The end of a stretch as each reader's clock shows it.
pub fn end(ends_ms: Option<i64>, lang: Lang) -> Span {
    match ends_ms {
        Some(at_ms) => Span::Time(at_ms),
        None => text(match lang {
            Lang::Zh => format!("{SEARCH_DAYS_MAX} 天以后"),
            Lang::En => format!("more than {SEARCH_DAYS_MAX} days from now"),
        }),
    }
}

/// Whether the only thing that a run waits for is the end of a freeze.
pub(super) fn is_all_that_it_waits_for(run: &RunView, now_ms: i64) -> bool {
    let waits = run.state == State::Waiting;
    waits && super::gate::open(run, now_ms) == [super::gate::Gate::Freeze]
}

/// For whose end a run waits, and until when.
pub(super) fn question(run: &RunView, lang: Lang, now_ms: i64) -> Option<Part> {
    let freezes = waited_for(&run.plan.freezes, now_ms);
    if freezes.is_empty() || run.state != State::Waiting {
        return None;
    }
    let mut line = vec![text(lang.pick("❄️ 冻结中：", "❄️ Frozen: "))];
    line.extend(named(&freezes, lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(wait_ends_ms(&run.plan.freezes, now_ms), lang));
    line.push(text(lang.pick("。结束后自动继续。", ". It goes on by itself after that.")));
    line.extend(how_to_pass(&freezes, lang));
    Some(Part::Paragraph(line))
}

/// That a run goes ahead in spite of freezes, and why.
pub(super) fn overridden(plan: &Plan, lang: Lang) -> Option<Part> {
    let overrides = plan.overrides.as_ref()?;
    let mut line = vec![text(lang.pick("⚠️ 越过冻结 ", "⚠️ Overrides the freeze "))];
    line.extend(codes(&overrides.freezes, lang));
    line.push(text(lang.pick("，须有 ", ", which needs the approval of ")));
    line.extend(codes(&overrides.roles, lang));
    line.push(text(lang.pick(" 批准：", ": ")));
    line.extend(prose(plan.reason()));
    Some(Part::Paragraph(line))
}

fn codes(names: &[String], lang: Lang) -> Line {
    let mut line = Line::new();
    for name in names {
        if !line.is_empty() {
            line.push(text(lang.pick("、", ", ")));
        }
        line.push(Span::Code(name.clone()));
    }
    line
}

/// The freezes of a plan, whether they are in force or not, one a line.
pub(super) fn in_plan(plan: &Plan, lang: Lang) -> Line {
    let mut line = Line::new();
    for freeze in &plan.freezes {
        line.push(text("\n❄️ "));
        line.extend(described(freeze, lang));
    }
    if let Some(overrides) = &plan.overrides {
        line.push(text(lang.pick("\n⚠️ 越过冻结 ", "\n⚠️ overrides the freeze ")));
        line.extend(codes(&overrides.freezes, lang));
        line.push(text(lang.pick("，须有 ", ", needs ")));
        line.extend(codes(&overrides.roles, lang));
    }
    line
}

/// What a freeze is, when it is in force, and what it does.
pub fn described(freeze: &PlannedFreeze, lang: Lang) -> Line {
    let mut line = named(&[freeze], lang);
    let (times, zone) = (freeze.times.shown(lang), freeze.zone.name());
    let then = match freeze.then {
        Then::Wait => lang.pick("等待其结束", "waits for its end"),
        Then::Refuse => lang.pick("拒绝", "is refused"),
    };
    line.push(text(match lang {
        Lang::Zh => format!("（{times}，{zone}）：{then}"),
        Lang::En => format!(" ({times}, {zone}): {then}"),
    }));
    line
}

/// How a request passes freezes: by whose approval, or not at all.
pub fn how_to_pass(freezes: &[&PlannedFreeze], lang: Lang) -> Line {
    let mut roles: Vec<String> = Vec::new();
    for freeze in freezes {
        match &freeze.overridable_by {
            Some(role) if !roles.contains(role) => roles.push(role.clone()),
            Some(_) => {}
            None => {
                return vec![text(lang.pick("任何人都不能越过它。", " Nobody can override it."))];
            }
        }
    }
    let mut line = vec![text(
        lang.pick("如确有必要：写明原因并加上 ", " If it cannot wait: ask with a reason and "),
    )];
    line.push(Span::Code(FLAG.to_owned()));
    line.push(text(lang.pick("，须由 ", "; it needs the approval of ")));
    line.extend(codes(&roles, lang));
    line.push(text(lang.pick(" 批准。", ".")));
    line
}

/// What stops a request at this moment; `None`: nothing does.
pub fn now(plan: &Plan, lang: Lang, now_ms: i64) -> Option<Line> {
    let freezes = freeze::in_force(&plan.freezes, now_ms);
    if freezes.is_empty() {
        return None;
    }
    let refusing = refusing(&freezes);
    let environment = &plan.environment;
    let mut line = vec![text(match lang {
        Lang::Zh => format!("❄️ {environment} 冻结中："),
        Lang::En => format!("❄️ {environment} is frozen: "),
    })];
    line.extend(named(&freezes, lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(freeze::all_end_ms(&plan.freezes, now_ms), lang));
    line.push(text(if refusing.is_empty() {
        lang.pick("。在此之前会等待。", ". It would wait for that.")
    } else {
        lang.pick("。在此之前会被拒绝。", ". Until then it is refused.")
    }));
    line.extend(how_to_pass(&freezes, lang));
    Some(line)
}

fn refusing<'f>(freezes: &[&'f PlannedFreeze]) -> Vec<&'f PlannedFreeze> {
    freezes.iter().copied().filter(|freeze| freeze.then == Then::Refuse).collect()
}

/// Why a request is refused at this moment; `None`: no freeze refuses it.
pub fn refused(plan: &Plan, lang: Lang, now_ms: i64) -> Option<Line> {
    let freezes = freeze::in_force(&plan.freezes, now_ms);
    if refusing(&freezes).is_empty() {
        return None;
    }
    let environment = &plan.environment;
    let mut line = vec![text(match lang {
        Lang::Zh => format!("❄️ {environment} 冻结中，什么也没有执行："),
        Lang::En => format!("❄️ {environment} is frozen, so nothing was done: "),
    })];
    line.extend(named(&freezes, lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(freeze::all_end_ms(&plan.freezes, now_ms), lang));
    line.push(text(lang.pick("。请在那之后再发起。", ". Ask again after that.")));
    line.extend(how_to_pass(&freezes, lang));
    Some(line)
}

/// Why a run is not approved at this moment; `None`: no freeze would end it.
pub fn not_approved(plan: &Plan, lang: Lang, now_ms: i64) -> Option<Line> {
    let freezes = freeze::in_force(&plan.freezes, now_ms);
    if refusing(&freezes).is_empty() {
        return None;
    }
    let mut line = vec![text(
        lang.pick("冻结已经开始，所以没有批准：", "a freeze has begun, so it was not approved: "),
    )];
    line.extend(named(&freezes, lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(freeze::all_end_ms(&plan.freezes, now_ms), lang));
    line.push(text(lang.pick(
        "。请在那之后再批准；如果它那时已经过期，请重新发起。",
        ". Approve it after that, or have it asked again if it has expired by then.",
    )));
    Some(line)
}

/// Why a run ends at its turn; `None`: no freeze in force refuses it.
pub fn never(plan: &Plan, now_ms: i64) -> Option<Text> {
    let freezes = freeze::in_force(&plan.freezes, now_ms);
    let refusing = refusing(&freezes);
    let name = &refusing.first()?.name;
    let Some(ends_ms) = freeze::all_end_ms(&plan.freezes, now_ms) else {
        return Some(Text::new(
            format!("处于冻结时段「{name}」"),
            format!("the freeze {name} is in force"),
        ));
    };
    let until = clock_time(ends_ms);
    Some(Text::new(
        format!("冻结时段「{name}」已经开始，到 {until}。请在那之后重新发起，或加上 {FLAG} 和原因"),
        format!(
            "the freeze {name} has begun and lasts until {until}. Ask again after that, or with \
             {FLAG} and a reason"
        ),
    ))
}

/// Says in its thread that a run waits again.
pub fn frozen_card(run: &RunView, lang: Lang, now_ms: i64) -> Card {
    let title = run.plan.title();
    let words = Text::new(
        format!("❄️ 轮到 {title} 了，但冻结已经开始，先不执行："),
        format!("❄️ It is the turn of {title}, but a freeze has begun, so nothing is begun: "),
    );
    let mut line = vec![text(words.get(lang))];
    line.extend(named(&waited_for(&run.plan.freezes, now_ms), lang));
    line.push(text(lang.pick("，到 ", ", until ")));
    line.push(end(wait_ends_ms(&run.plan.freezes, now_ms), lang));
    line.push(text(lang.pick(
        "。环境已让出，批准仍然有效，结束后自动继续。",
        ". Its environment is free for others, its approvals stand, and it goes on by itself. ",
    )));
    line.push(text(" "));
    line.push(Span::User(run.actor.clone()));
    said(&words, line, lang)
}

/// Says in its thread that the freeze is over.
pub fn over_card(run: &RunView, lang: Lang) -> Card {
    let title = run.plan.title();
    let words = Text::new(
        format!("🌤️ 冻结结束，{title} 开始排队执行"),
        format!("🌤️ The freeze is over: {title} is queued now"),
    );
    let line = vec![text(words.get(lang)), text(" "), Span::User(run.actor.clone())];
    said(&words, line, lang)
}

fn said(words: &Text, line: Line, lang: Lang) -> Card {
    let summary = words.get(lang).trim_end_matches([':', '：', ' ']).to_owned();
    Card { summary, tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
