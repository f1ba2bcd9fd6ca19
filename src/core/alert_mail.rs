//! What a mail about an alert says: subject, plain text and HTML of the same words. All mails about one
//! alert are one thread of the reader's program. Pure; `notify/email` makes bytes of it.

use super::told::{Told, lines, one_line, utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Hexadecimal digits of a digest that make a message's name.
const NAME_DIGITS: usize = 32;

/// A mail, without its sender and its recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// What stands before the `@` of its Message-ID: the same telling to the same person has the same,
    /// however often it is sent.
    pub name: String,
    /// The same of the thread's first message, to which all of an alert's refer.
    pub thread: String,
    /// One line.
    pub subject: String,
    /// Its words.
    pub text: String,
    /// The same words.
    pub html: String,
    /// When it was told.
    pub at_ms: i64,
}

/// The mail for one telling; `key` names it among all mails.
pub fn mail(told: &Told<'_>, key: &str) -> Mail {
    let lang = told.lang;
    let mark = format!("[{} · {}]", told.level_words(), told.state_words());
    let subject = format!("{mark} {} ({})", told.title(), one_line(told.id));
    let mut rows: Vec<(&str, String)> = vec![
        (lang.pick("级别", "Level"), told.level_words().to_owned()),
        (lang.pick("状态", "State"), told.state_words().to_owned()),
    ];
    if !told.value.is_empty() {
        rows.push((lang.pick("数值", "Value"), one_line(told.value)));
    }
    rows.push((lang.pick("开始", "Since"), utc(told.since_ms)));
    if !told.by.is_empty() {
        rows.push((lang.pick("处理人", "By"), one_line(told.by)));
    }
    let (summary, description) = (one_line(told.summary), lines(told.description));
    let links: Vec<(String, &str)> = told.open_links().collect();
    let end = lang.pick(
        "在 Slack 里这条告警的消息上接手、静默或关闭。请勿回复本邮件。",
        "Take, silence or resolve it in Slack, on its message there. Nobody reads answers to this mail.",
    );
    Mail {
        name: digest(key),
        thread: digest(told.id),
        subject,
        text: plain(told, &rows, (&summary, &description), &links, end),
        html: html(told, &rows, (&summary, &description), &links, end),
        at_ms: told.at_ms,
    }
}

fn digest(name: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(name));
    digits.truncate(NAME_DIGITS);
    digits
}

fn plain(
    told: &Told<'_>,
    rows: &[(&str, String)],
    (summary, description): (&str, &str),
    links: &[(String, &str)],
    end: &str,
) -> String {
    let mut out = format!("{}\n{}\n", told.why_words(), told.title());
    if !summary.is_empty() {
        let _ = writeln!(out, "\n{summary}");
    }
    out.push('\n');
    for (label, value) in rows {
        let _ = writeln!(out, "{label}: {value}");
    }
    if !description.is_empty() {
        let _ = writeln!(out, "\n{description}");
    }
    if !links.is_empty() {
        out.push('\n');
    }
    for (label, address) in links {
        let _ = writeln!(out, "{label}: {address}");
    }
    let _ = write!(out, "\n{}\n{end}\n", one_line(told.id));
    out
}

fn html(
    told: &Told<'_>,
    rows: &[(&str, String)],
    (summary, description): (&str, &str),
    links: &[(String, &str)],
    end: &str,
) -> String {
    let mut out = String::from("<!DOCTYPE html><html><head><meta charset=\"utf-8\"></head><body>");
    let _ = write!(out, "<p>{}<br><b>{}</b></p>", told.why_words(), escaped(&told.title()));
    if !summary.is_empty() {
        let _ = write!(out, "<p>{}</p>", escaped(summary));
    }
    out.push_str("<table>");
    for (label, value) in rows {
        let _ = write!(out, "<tr><th align=\"left\">{label}</th><td>{}</td></tr>", escaped(value));
    }
    out.push_str("</table>");
    if !description.is_empty() {
        let _ = write!(out, "<p>{}</p>", escaped(description).replace('\n', "<br>"));
    }
    for (label, address) in links {
        let (label, address) = (escaped(label), escaped(address));
        let _ = write!(out, "<p><a href=\"{address}\" rel=\"noreferrer\">{label}</a></p>");
    }
    let _ =
        write!(out, "<p><small>{}<br>{end}</small></p></body></html>", escaped(&one_line(told.id)));
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::alert::State;
    use super::super::text::Lang;
    use super::super::told::tests::told;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mail_says_what_is_wrong_where_and_why_it_is_told() {
        let links = [("Graph".to_owned(), "https://example.org/?a=1&b=2".to_owned())];
        let mail = mail(&Told { links: &links, ..told() }, "alert/AL-7q2f8k1c/1/email/ann");

        insta::assert_snapshot!(mail.subject, @"[level 3 · critical · open] production: error_rate · neostock (AL-7q2f8k1c)");
        insta::assert_snapshot!(mail.text, @r"
        Level 3
        production: error_rate · neostock

        7.2% of all answers are errors

        Level: level 3 · critical
        State: open
        Value: 7.2% > 5%
        Since: 2026-11-24 02:59:00 UTC

        More than 5% for 60 s.

        Graph: https://example.org/?a=1&b=2

        AL-7q2f8k1c
        Take, silence or resolve it in Slack, on its message there. Nobody reads answers to this mail.
        ");
        assert!(mail.html.contains("href=\"https://example.org/?a=1&amp;b=2\""), "{}", mail.html);
    }

    #[test]
    fn the_runbooks_language_is_the_mails() {
        let mail = mail(&Told { lang: Lang::Zh, state: State::Resolved, why: None, ..told() }, "k");

        assert!(mail.subject.starts_with("[三级 · 严重 · 已恢复] production"), "{}", mail.subject);
        assert!(mail.text.starts_with("已恢复\n"), "{}", mail.text);
    }

    #[test]
    fn the_same_telling_has_the_same_name_and_an_alert_one_thread() {
        let one = mail(&told(), "alert/AL-7q2f8k1c/1/email/ann");
        let again = mail(&told(), "alert/AL-7q2f8k1c/1/email/ann");
        let next = mail(&Told { number: 2, ..told() }, "alert/AL-7q2f8k1c/2/email/ann");

        assert_eq!(one.name, again.name);
        assert_ne!(one.name, next.name);
        assert_eq!(one.thread, next.thread);
        assert_ne!(one.name, one.thread);
    }

    proptest! {
        /// Nothing from outside opens an element, ends a header or turns a line round.
        #[test]
        fn hostile_words_stay_words(words in any::<String>()) {
            let told = Told { name: &words, summary: &words, description: &words, by: &words, ..told() };
            let mail = mail(&told, "k");
            let is_hidden = |letter: char| letter.is_control() || letter == '\u{202e}';
            prop_assert!(!mail.subject.chars().any(is_hidden));
            let known = [
                "!DOCTYPE html>", "html>", "head>", "meta charset=\"utf-8\">", "/head>", "body>", "p>", "br>",
                "b>", "/b>", "/p>", "table>", "tr>", "th align=\"left\">", "/th>", "td>", "/td>", "/tr>",
                "/table>", "small>", "/small>", "/body>", "/html>",
            ];
            for tag in mail.html.split('<').skip(1) {
                prop_assert!(known.iter().any(|one| tag.starts_with(one)), "{}", tag);
            }
        }
    }
}
