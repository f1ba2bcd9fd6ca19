//! A step's output as messages of its run's thread: whole when it is short, head and end when not.

use crate::core::card::{Card, Part, Tone, text as span};
use crate::core::step_result;
use crate::core::text::Lang;

/// Bytes of output that are looked at for the thread; the rest stays in the step's log.
pub const READ_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Messages that one step's output may take.
const MESSAGES_MAX: usize = 5;
/// Of these, how many show the beginning when not all fits.
const HEAD_MESSAGES: usize = 2;
/// Lines that are shown of a step that still runs.
const LIVE_LINES_MAX: usize = 15;
/// What a message may hold, counted as Slack counts after escaping; its limit is 3,000.
const MESSAGE_UNITS_MAX: usize = 2_700;

/// Output as text: bytes that are not UTF-8 are shown as such, terminal control is dropped.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|letter| *letter != '\0' && *letter != '\r')
        .collect()
}

/// The messages for a step's output; none when it printed nothing.
pub fn cards(step: &str, output: &str, lang: Lang) -> Vec<Card> {
    let output = output.trim_end();
    if output.trim().is_empty() {
        return Vec::new();
    }
    let mut pieces = pieces(output);
    let mut skipped = None;
    if pieces.len() > MESSAGES_MAX {
        let from = HEAD_MESSAGES;
        let to = pieces.len() - (MESSAGES_MAX - HEAD_MESSAGES);
        let bytes: usize = pieces.drain(from..to).map(|piece| piece.len()).sum();
        skipped = Some((from, bytes));
    }
    let count = pieces.len();
    pieces
        .into_iter()
        .enumerate()
        .map(|(index, piece)| {
            let mut title = step.to_owned();
            if count > 1 {
                title = format!("{title} ({}/{count})", index + 1);
            }
            if let Some((at, bytes)) = skipped
                && at == index
            {
                title = match lang {
                    Lang::Zh => format!("{title} — 此前省略 {bytes} 字节"),
                    Lang::En => format!("{title} — {bytes} bytes before this are left out"),
                };
            }
            Card {
                summary: title.clone(),
                tone: Tone::Neutral,
                parts: vec![Part::Context(vec![span(title)]), Part::Output(piece)],
            }
        })
        .collect()
}

/// The last lines of a step that still runs, as one message; `None` when it printed nothing yet.
pub fn live_card(step: &str, output: &str, lang: Lang) -> Option<Card> {
    let output = step_result::for_people(output).trim_end();
    if output.trim().is_empty() {
        return None;
    }
    let lines: Vec<&str> = output.lines().collect();
    let last = lines[lines.len().saturating_sub(LIVE_LINES_MAX)..].join("\n");
    // The end of it: what came before is in the log.
    let piece = pieces(&last).pop()?;
    let title = match lang {
        Lang::Zh => format!("{step} — 仍在执行，最近的输出："),
        Lang::En => format!("{step} — still running, its latest output:"),
    };
    Some(Card {
        summary: title.clone(),
        tone: Tone::Neutral,
        parts: vec![Part::Context(vec![span(title)]), Part::Output(piece)],
    })
}

/// Cuts at line ends where it can, anywhere where a line is too long by itself.
fn pieces(output: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut units = 0;
    for line in output.split_inclusive('\n') {
        let cost: usize = line.chars().map(units_of).sum();
        if units + cost > MESSAGE_UNITS_MAX && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            units = 0;
        }
        if cost <= MESSAGE_UNITS_MAX {
            piece.push_str(line);
            units += cost;
            continue;
        }
        for letter in line.chars() {
            if units + units_of(letter) > MESSAGE_UNITS_MAX {
                pieces.push(std::mem::take(&mut piece));
                units = 0;
            }
            piece.push(letter);
            units += units_of(letter);
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// What a letter costs after Slack's escaping, in UTF-16 units.
fn units_of(letter: char) -> usize {
    match letter {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_output_is_one_message_and_none_is_none() {
        assert_eq!(cards("1. x", "a\nb\n", Lang::En).len(), 1);
        assert!(cards("1. x", " \n", Lang::En).is_empty());
    }

    #[test]
    fn a_long_output_keeps_its_head_and_its_end_and_says_what_is_left_out() {
        let lines: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        let output = lines.join("\n");

        let found = cards("1. x", &output, Lang::En);

        assert_eq!(found.len(), MESSAGES_MAX);
        let Part::Output(first) = &found[0].parts[1] else { panic!("no output") };
        let Part::Output(last) = &found[MESSAGES_MAX - 1].parts[1] else { panic!("no output") };
        assert!(first.starts_with("line 0\n"));
        assert!(last.trim_end().ends_with("line 9999"));
        assert!(
            found[HEAD_MESSAGES].summary.contains("left out"),
            "{}",
            found[HEAD_MESSAGES].summary
        );
    }

    #[test]
    fn what_still_runs_shows_its_last_lines() {
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();

        let card = live_card("1. x", &lines.join("\n"), Lang::En).unwrap();

        let Part::Output(shown) = &card.parts[1] else { panic!("no output") };
        assert!(shown.starts_with("line 85\n") && shown.ends_with("line 99"), "{shown}");
        assert!(card.summary.contains("still running"));
        assert!(live_card("1. x", "\n", Lang::En).is_none());
    }

    proptest! {
        #[test]
        fn every_piece_fits_and_together_they_are_the_output(output in "[a-z<&\n文]{0,9000}") {
            let found = pieces(&output);
            for piece in &found {
                prop_assert!(piece.chars().map(units_of).sum::<usize>() <= MESSAGE_UNITS_MAX);
            }
            prop_assert_eq!(found.concat(), output);
        }
    }
}
