//! Who is on call, in words: now, on a day, after a swap, at a change of hands.

use super::card::{Card, Line, Part, Span, Tone, mention, prose, text};
use super::id::UserId;
use super::oncall::{Called, Edited, Override, Stretch, Swap};
use super::text::Lang;

/// Stretches that a card lists.
pub const STRETCHES_MAX: usize = 20;
/// Overrides that a card lists because something is odd about them; more are counted.
const ODD_MAX: usize = 5;

/// A rotation at a moment, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The rotation that was asked for.
    pub name: String,
    /// Whom an alert mentions.
    pub called: Called,
    /// The rotation whose people they are, where it is another.
    pub instead: Option<String>,
    /// By what they are on call, if not by the order.
    pub by: Option<Override>,
    /// When it is somebody else, and who.
    pub next: Option<(i64, String)>,
}

impl Standing {
    /// Who, until when, who next.
    pub fn line(&self, lang: Lang) -> Line {
        let mut line = vec![Span::Bold(self.name.clone()), text(lang.pick("：", ": "))];
        let Some(first) = self.called.mentioned.first() else {
            line.push(text(lang.pick("没有人", "nobody")));
            return line;
        };
        line.push(mention(first));
        if let Some(instead) = &self.instead {
            line.push(text(lang.pick("（现在不是它的值班时间，由 ", " (outside its hours, of ")));
            line.push(Span::Code(instead.clone()));
            line.push(text(lang.pick(" 负责）", ")")));
        }
        if let Some((at_ms, who)) = &self.next {
            line.push(text(lang.pick("，到 ", " until ")));
            line.push(Span::Time(*at_ms));
            line.push(text(lang.pick("，之后是 ", ", then ")));
            line.push(mention(who));
        }
        if let Some(by) = &self.by {
            line.push(text(lang.pick("\n↪️ 由 ", "\n↪️ as ")));
            line.push(Span::User(by.by.clone()));
            line.push(text(lang.pick(" 调整", " said")));
            if !by.reason.is_empty() {
                line.push(text(lang.pick("：", ": ")));
                line.extend(prose(&by.reason));
            }
        }
        if !self.called.is_there {
            line.extend(self.absence(first, lang));
        }
        line
    }

    /// That whose turn it is cannot answer, and who is called too.
    fn absence(&self, first: &str, lang: Lang) -> Line {
        let words = if first.starts_with('S') {
            lang.pick(" 这个用户组里没有人，收不到提醒。", " is a user group without anybody. ")
        } else {
            lang.pick(
                " 不是（或不再是）本工作区的正式成员，收不到提醒。",
                " is no full member of this workspace (any more) and will not answer. ",
            )
        };
        let mut line = vec![text("\n⚠️ "), mention(first), text(words)];
        line.push(text(lang.pick("告警会同时提醒 ", "Alerts mention also ")));
        match self.called.mentioned.get(1) {
            Some(next) => line.push(mention(next)),
            None => {
                line.push(text(lang.pick("频道里在线的人", "whoever is active in the channel")));
            }
        }
        line.push(text(lang.pick("。", ". ")));
        line.push(text(lang.pick(
            "请修改告警配置的 oncall，或用 ",
            "Change “oncall” in the alerting configuration, or say ",
        )));
        line.push(Span::Code(format!("/neostock oncall override {} @…", self.name)));
        line
    }
}

/// Every rotation now.
pub fn list(all: &[Standing], orphans: &[&Override], lang: Lang) -> Card {
    let title = lang.pick("📟 值班", "📟 On call").to_owned();
    let mut parts = vec![Part::Header(title.clone())];
    if all.is_empty() {
        parts.push(Part::Paragraph(vec![
            text(lang.pick(
                "告警配置没有定义值班 (",
                "The alerting configuration defines nobody on call (",
            )),
            Span::Code("oncall".to_owned()),
            text(lang.pick(")。", ").")),
        ]));
    }
    parts.extend(all.iter().map(|one| Part::Paragraph(one.line(lang))));
    parts.extend(orphaned(orphans, lang).map(Part::Paragraph));
    let is_bad = all.iter().any(|one| !one.called.is_there) || !orphans.is_empty();
    let tone = if is_bad { Tone::Warning } else { Tone::Neutral };
    Card { summary: title, tone, parts }
}

/// Who is on call in a rotation from one moment to another.
pub fn schedule(name: &str, zone: &str, all: &[Stretch], lang: Lang) -> Card {
    let title = format!("📟 {} · {name}", lang.pick("值班", "On call"));
    let mut line = Line::new();
    for one in all.iter().take(STRETCHES_MAX) {
        line.extend((!line.is_empty()).then(|| text("\n")));
        line.extend(period((one.from_ms, one.until_ms)));
        line.push(text(" "));
        line.push(mention(&one.duty.id));
        if one.duty.rotation != name {
            line.push(text(" · "));
            line.push(Span::Code(one.duty.rotation.clone()));
        }
        if one.duty.by_override.is_some() {
            line.push(text(lang.pick("（已调整）", " (changed)")));
        }
    }
    let mut parts = vec![Part::Header(title.clone()), Part::Paragraph(line)];
    let mut small = vec![text(lang.pick("轮换按此时区的钟点：", "Turns are by the clocks of "))];
    small.push(text(zone));
    if all.len() > STRETCHES_MAX {
        small.push(text(lang.pick("；后面还有", "; there are more after these")));
    }
    parts.push(Part::Context(small));
    Card { summary: title, tone: Tone::Neutral, parts }
}

/// That two people exchange shifts.
pub fn swapped(
    rotation: &str,
    (from, with): (&UserId, &UserId),
    swap: &Swap,
    reason: &str,
    lang: Lang,
) -> Card {
    let mut line = vec![
        text("🔁 "),
        Span::User(from.clone()),
        text(lang.pick(" 和 ", " and ")),
        Span::User(with.clone()),
        text(lang.pick(" 交换值班 · ", " exchange shifts · ")),
        Span::Code(rotation.to_owned()),
    ];
    for (user, shift) in [(with, swap.given), (from, swap.taken)] {
        line.push(text("\n"));
        line.extend(period(shift));
        line.push(text(" "));
        line.push(Span::User(user.clone()));
    }
    because(reason, &mut line);
    told(lang.pick("🔁 值班交换", "🔁 Shifts are exchanged"), line)
}

/// That somebody is on call in another's place.
pub fn overridden(one: &Override, lang: Lang) -> Card {
    let mut line = vec![
        text("↪️ "),
        Span::User(one.by.clone()),
        text(lang.pick(" 安排 ", " puts ")),
        Span::User(one.user.clone()),
        text(lang.pick(" 值班 · ", " on call · ")),
        Span::Code(one.rotation.clone()),
        text(" · "),
    ];
    line.extend(period((one.from_ms, one.until_ms)));
    because(&one.reason, &mut line);
    told(lang.pick("↪️ 值班调整", "↪️ Who is on call was changed"), line)
}

/// That the order holds again.
pub fn override_ended(by: &UserId, rotation: &str, user: Option<&UserId>, lang: Lang) -> Card {
    let mut line = vec![
        text("📟 "),
        Span::User(by.clone()),
        text(lang.pick(" 取消了值班调整 · ", " ended what was changed · ")),
        Span::Code(rotation.to_owned()),
    ];
    if let Some(user) = user {
        line.push(text(" · "));
        line.push(Span::User(user.clone()));
    }
    told(lang.pick("📟 值班调整已取消", "📟 A change of who is on call was ended"), line)
}

/// A change of hands, with what is left to do.
pub struct HandOverView<'v> {
    /// The rotation, and who is on call in it now.
    pub standing: &'v Standing,
    /// Who was before.
    pub from: &'v str,
    /// Alerts that are open, a line each.
    pub alerts: &'v [Line],
    /// Runs that need somebody, a line each.
    pub runs: &'v [Line],
}

/// Tells the channel of it, and mentions who takes over.
pub fn handed_over(view: &HandOverView<'_>, lang: Lang) -> Card {
    let mut line = vec![text("📟 ")];
    line.extend(view.standing.line(lang));
    line.push(text(lang.pick("\n上一班：", "\nTakes over from ")));
    line.push(mention(view.from));
    let mut parts = vec![Part::Paragraph(line)];
    let lists = [
        (lang.pick("未结束的告警", "Open alerts"), view.alerts),
        (lang.pick("需要人处理的执行", "Runs that need somebody"), view.runs),
    ];
    for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let mut list = vec![Span::Bold(title.to_owned())];
        for one in lines {
            list.push(text("\n• "));
            list.extend(one.iter().cloned());
        }
        parts.push(Part::Paragraph(list));
    }
    if view.alerts.is_empty() && view.runs.is_empty() {
        parts.push(Part::Context(vec![text(lang.pick(
            "没有未结束的告警，也没有需要人处理的执行。",
            "No alert is open, and no run needs anybody.",
        ))]));
    }
    let summary = format!("📟 {} · {}", lang.pick("值班交接", "On call"), view.standing.name);
    Card { summary, tone: Tone::Neutral, parts }
}

/// What a new configuration changes about who is on call; `None`: nothing.
pub fn edited(edit: &Edited, lang: Lang) -> Option<Line> {
    let mut line = Line::new();
    for (rotation, before, now) in &edit.hands {
        line.push(text("\n📟 "));
        line.push(Span::Bold(rotation.clone()));
        line.push(text(lang.pick("：现在由 ", ": now ")));
        line.push(mention(now));
        line.push(text(lang.pick(" 值班，之前是 ", ", before it ")));
        line.push(mention(before));
    }
    for one in edit.of_removed.iter().take(ODD_MAX) {
        line.push(text("\n⚠️ "));
        line.extend(by_change(one));
        line.push(text(lang.pick(
            "：此人已不在轮值里，但之前的调整仍然有效。结束：",
            ": no more in the rotation, but on call by an earlier change. To end it: ",
        )));
        let words = format!("/neostock oncall override end {} @…", one.rotation);
        line.push(Span::Code(words));
    }
    let orphans: Vec<&Override> = edit.orphans.iter().collect();
    if let Some(orphaned) = orphaned(&orphans, lang) {
        line.push(text("\n"));
        line.extend(orphaned);
    }
    (!line.is_empty()).then_some(line)
}

/// Changes of rotations that are no more; `None`: there are none.
fn orphaned(orphans: &[&Override], lang: Lang) -> Option<Line> {
    let first = orphans.first()?;
    let mut line = vec![text(lang.pick(
        "⚠️ 这些调整的轮值已不在配置里，不再起作用：",
        "⚠️ Changes of rotations that the configuration no longer has count for nothing:",
    ))];
    for one in orphans.iter().take(ODD_MAX) {
        line.push(text("\n• "));
        line.extend(by_change(one));
    }
    let more = orphans.len().saturating_sub(ODD_MAX);
    if more > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("\n… 还有 {more} 个"),
            Lang::En => format!("\n… and {more} more"),
        }));
    }
    line.push(text(lang.pick("\n结束它们：", "\nTo end them: ")));
    line.push(Span::Code(format!("/neostock oncall override end {}", first.rotation)));
    Some(line)
}

/// In which rotation, who, from when until when.
fn by_change(one: &Override) -> Line {
    let mut line = vec![Span::Code(one.rotation.clone()), text(" "), mention(one.user.as_str())];
    line.push(text(" "));
    line.extend(period((one.from_ms, one.until_ms)));
    line
}

fn period((from_ms, until_ms): (i64, i64)) -> Line {
    vec![Span::Time(from_ms), text(" – "), Span::Time(until_ms)]
}

fn because(reason: &str, line: &mut Line) {
    if !reason.is_empty() {
        line.push(text("\n"));
        line.extend(prose(reason));
    }
}

fn told(summary: &str, line: Line) -> Card {
    let parts = vec![Part::Paragraph(line)];
    Card { summary: summary.to_owned(), tone: Tone::Neutral, parts }
}
