//! Text in aligned columns for a reader of plain, evenly spaced letters: a terminal, or a block of code
//! in chat. Chinese takes two places a letter.

use std::fmt::Write as _;

/// The places that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(places).sum()
}

fn places(letter: char) -> usize {
    match letter {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// A text filled up to a width from the right.
pub fn left(text: &str, wide: usize) -> String {
    format!("{text}{}", " ".repeat(wide.saturating_sub(width(text))))
}

/// A text filled up to a width from the left.
pub fn right(text: &str, wide: usize) -> String {
    format!("{}{text}", " ".repeat(wide.saturating_sub(width(text))))
}

/// A text of at most so many places; what is cut off shows as `…`.
pub fn cut(text: &str, wide: usize) -> String {
    if width(text) <= wide {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 1;
    for letter in text.chars() {
        taken += places(letter);
        if taken > wide {
            break;
        }
        short.push(letter);
    }
    short.push('…');
    short
}

/// Control characters, and those that turn the direction of writing, as escapes.
pub fn visible(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => seen.extend(letter.escape_unicode()),
            _ if letter.is_control() => seen.extend(letter.escape_unicode()),
            _ => seen.push(letter),
        }
    }
    seen
}

/// A whole number with a comma between thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Which side of its column a cell stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A report of at most so many lines and letters: what comes first matters most, and what does not fit
/// is said to be missing.
#[derive(Debug)]
pub struct Page {
    text: String,
    lines: usize,
    chars: usize,
    lines_max: usize,
    chars_max: usize,
    left_out: usize,
}

impl Page {
    /// An empty one.
    pub fn new(lines_max: usize, chars_max: usize) -> Self {
        Self { text: String::new(), lines: 0, chars: 0, lines_max, chars_max, left_out: 0 }
    }

    /// Adds a line; control characters in it are shown as escapes.
    pub fn line(&mut self, line: &str) {
        let line = visible(line);
        let line = line.trim_end();
        let chars = line.chars().count() + 1;
        let fits = self.lines < self.lines_max && self.chars + chars <= self.chars_max;
        // One line that is missing would make the rest misleading.
        if self.left_out > 0 || !fits {
            self.left_out += 1;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
        self.chars += chars;
    }

    /// Adds an empty line and a title.
    pub fn title(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// Adds rows as columns, indented. A last column on the left is not filled up.
    pub fn table(&mut self, sides: &[Side], rows: &[Vec<String>]) {
        let wide = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(&visible(cell))).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..sides.len()).map(wide).collect();
        for row in rows {
            let mut line = String::new();
            for ((cell, side), wide) in row.iter().zip(sides).zip(&widths) {
                let cell = visible(cell);
                // Writing to a String cannot fail.
                let _ = match side {
                    Side::Left => write!(line, "  {}", left(&cell, *wide)),
                    Side::Right => write!(line, "  {}", right(&cell, *wide)),
                };
            }
            self.line(&line);
        }
    }

    /// The text, and how many lines had no room.
    pub fn finish(self) -> (String, usize) {
        (self.text, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chinese_and_latin_columns_align() {
        let mut page = Page::new(10, 1_000);
        let rows = [["次数", "路由"], ["1,234", "GET /报价"], ["5", "x"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();

        page.table(&[Side::Right, Side::Left], &rows);

        assert_eq!(page.finish().0, "   次数  路由\n  1,234  GET /报价\n      5  x\n");
        assert_eq!(width("…–é"), 3);
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(100), "100");
    }

    #[test]
    fn what_could_steer_a_terminal_is_shown_and_does_nothing() {
        let mut page = Page::new(10, 1_000);

        page.line("a\u{1b}[2J\n\u{202e}b");

        assert_eq!(page.finish().0, "a\\u{1b}[2J\\u{a}\\u{202e}b\n");
    }

    proptest! {
        #[test]
        fn a_page_keeps_its_limits_and_counts_what_it_leaves_out(
            lines in proptest::collection::vec(".{0,30}", 0..40)
        ) {
            let mut page = Page::new(20, 300);
            for line in &lines {
                page.line(line);
            }
            let (text, left_out) = page.finish();
            prop_assert!(text.chars().count() <= 300);
            prop_assert_eq!(text.matches('\n').count() + left_out, lines.len());
        }

        #[test]
        fn a_cut_text_is_never_wider(text: String, wide in 1usize..20) {
            prop_assert!(width(&cut(&text, wide)) <= wide);
        }
    }
}
