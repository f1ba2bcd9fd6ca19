//! What people read of the emergency contacts. Telephone and e-mail are links where a number can be dialled.

use super::card::{Card, Line, Part, Span, Tone, mention, text};
use super::contact::{Contact, Contacts, REVIEW_DAYS, Review, dialled};
use super::text::{Lang, Text};

/// The contacts in the order of calling; `None`: the runbook has none, and the card says how to add them.
/// It mentions people, which calls nobody in an answer that only the asker sees: post it nowhere else.
pub fn card(contacts: Option<&Contacts>, lang: Lang, now_ms: i64) -> Card {
    let title = lang.pick("☎️ 应急联系人", "☎️ Emergency contacts").to_owned();
    let mut parts = vec![Part::Header(title.clone())];
    let Some(contacts) = contacts else {
        parts.push(Part::Paragraph(vec![
            text(lang.pick(
                "操作手册没有应急联系人。请在 runbook.yml 中加上 ",
                "The runbook names no emergency contacts. Add to runbook.yml ",
            )),
            Span::Code("contacts".to_owned()),
            text(lang.pick("，例如：", ", for example:")),
        ]));
        parts.push(Part::Output(EXAMPLE.to_owned()));
        return Card { summary: title, tone: Tone::Warning, parts };
    };
    let old = review_words(contacts, now_ms);
    let tone = if old.is_some() { Tone::Warning } else { Tone::Neutral };
    parts.extend(old.map(|words| Part::Paragraph(vec![text(format!("⚠️ {}", words.get(lang)))])));
    for (index, contact) in contacts.people.iter().enumerate() {
        parts.push(Part::Paragraph(entry(index + 1, contact, lang)));
    }
    let (day, next) = (contacts.reviewed, contacts.reviewed.next_review());
    parts.push(Part::Context(vec![text(match lang {
        Lang::Zh => format!("按此顺序联系。{day} 审查过，下次不晚于 {next}。只有您看得到。"),
        Lang::En => {
            format!("Call in this order. Reviewed on {day}, again by {next}. Only you see this.")
        }
    })]));
    Card { summary: title, tone, parts }
}

/// What is wrong with the day on which the list was last looked through; `None`: nothing.
pub fn review_words(contacts: &Contacts, now_ms: i64) -> Option<Text> {
    let day = contacts.reviewed;
    match contacts.review(now_ms) {
        Review::Fresh => None,
        Review::Old(days) => Some(Text::new(
            format!(
                "上次审查是 {day}，{days} 天前，超过 {REVIEW_DAYS} 天。请核对名单，然后更新 contacts.reviewed。"
            ),
            format!(
                "Last reviewed on {day}, {days} days ago, which is more than {REVIEW_DAYS}: check the list, \
                 then write the day into contacts.reviewed"
            ),
        )),
        Review::ToCome => Some(Text::new(
            format!("contacts.reviewed 是将来的日期：{day}。请改为真正审查的那一天。"),
            format!("contacts.reviewed is a day to come, {day}: write the day of the last review"),
        )),
    }
}

fn entry(number: usize, contact: &Contact, lang: Lang) -> Line {
    let name = contact.name.get(lang).to_owned();
    let duty = format!(" · {}", contact.duty.get(lang));
    let mut line = vec![text(format!("{number}. ")), Span::Bold(name), text(duty)];
    let mut ways: Vec<Line> = Vec::new();
    if let Some(phone) = &contact.phone {
        let url = format!("tel:{}", dialled(phone));
        ways.push(vec![text("📞 "), Span::Link { url, label: phone.clone() }]);
    }
    if let Some(slack) = &contact.slack {
        ways.push(vec![text("💬 "), mention(slack)]);
    }
    if let Some(email) = &contact.email {
        let url = format!("mailto:{email}");
        ways.push(vec![text("✉️ "), Span::Link { url, label: email.clone() }]);
    }
    for (index, way) in ways.into_iter().enumerate() {
        line.push(text(if index == 0 { "\n" } else { "  " }));
        line.extend(way);
    }
    let notes = [
        contact.when.as_ref().map(|when| format!("👉 {}", when.get(lang))),
        contact.hours.as_ref().map(|hours| format!("🕒 {}", hours.get(lang))),
    ];
    for (index, note) in notes.into_iter().flatten().enumerate() {
        line.push(text(format!("{}{note}", if index == 0 { "\n" } else { "  " })));
    }
    line
}

/// What the card shows where there are none; a test reads it as a runbook would be read.
pub const EXAMPLE: &str = "\
contacts:
  reviewed: 2026-11-01
  people:
    - name: {zh: 值班工程师, en: Engineer on call}
      duty: {zh: 任何故障先联系, en: Called first}
      slack: S0123456789
      phone: +86 10 5550 0100
      hours: {zh: 全天, en: Around the clock}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contact::Day;

    /// 2026-11-24 03:00:00 UTC.
    const NIGHT_MS: i64 = 1_795_489_200_000;

    fn contacts(reviewed: &str) -> Contacts {
        let first = Contact {
            name: Text::new("值班工程师", "Engineer on call"),
            duty: Text::new("任何故障先联系", "First, whatever it is"),
            when: None,
            hours: Some(Text::new("全天", "Around the clock")),
            slack: Some("S0OPS".into()),
            phone: Some("+86 10 5550 0100".into()),
            email: None,
        };
        let second = Contact {
            name: Text::same("DBA"),
            duty: Text::new("数据库", "The database"),
            when: Some(Text::new("数据损坏时", "When data is damaged")),
            hours: None,
            slack: None,
            phone: None,
            email: Some("dba@example.com".into()),
        };
        let reviewed = Day::parse(reviewed).unwrap();
        Contacts { role: "operator".into(), reviewed, people: vec![first, second] }
    }

    #[test]
    fn the_card_has_everybody_in_the_order_of_calling() {
        insta::assert_debug_snapshot!(card(Some(&contacts("2026-11-01")), Lang::En, NIGHT_MS));
    }

    #[test]
    fn a_list_that_nobody_looked_at_for_a_quarter_says_so_first() {
        let old = card(Some(&contacts("2026-07-01")), Lang::Zh, NIGHT_MS);

        assert_eq!(old.tone, Tone::Warning);
        let line = vec![text(
            "⚠️ 上次审查是 2026-07-01，146 天前，超过 92 天。请核对名单，然后更新 contacts.reviewed。",
        )];
        assert_eq!(old.parts[1], Part::Paragraph(line));
        let words = review_words(&contacts("2027-01-01"), NIGHT_MS).unwrap();
        assert!(words.en.contains("a day to come, 2027-01-01"), "{}", words.en);
        assert_eq!(review_words(&contacts("2026-11-01"), NIGHT_MS), None);
    }
}
