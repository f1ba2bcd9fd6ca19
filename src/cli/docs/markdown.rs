//! Text of runbooks and of the program as Markdown: whatever it holds, it is read as letters.

/// Characters that mean something to Markdown wherever they stand.
const MARKS: &str = "\\*_[]~";
/// Those that do at the beginning of a line alone.
const OPENERS: &str = "#>-+=";

/// Text in a paragraph or a cell of a table: one line, nothing in it is formatting, HTML or a mention.
pub fn plain(text: &str) -> String {
    let text = one_line(text);
    let opens = text.starts_with(|first: char| OPENERS.contains(first));
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    if opens {
        return format!("\\{}", escaped(&text));
    }
    // `1.` would begin a list.
    match text[digits..].chars().next() {
        Some(mark @ ('.' | ')')) if digits > 0 => {
            format!("{}\\{mark}{}", &text[..digits], escaped(&text[digits + 1..]))
        }
        _ => escaped(&text),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '`' => out.push_str("&#96;"),
            letter if MARKS.contains(letter) => out.extend(['\\', letter]),
            letter => out.push(letter),
        }
    }
    out
}

/// Text as it is written, monospaced, in a paragraph or a cell.
pub fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return "–".to_owned();
    }
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let blank = if longest > 0 { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// A sentence with `code` in it.
pub fn sentence(text: &str) -> String {
    let text = one_line(text);
    let pieces = text.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
    pieces.map(|(at, piece)| if at % 2 == 0 { escaped(piece) } else { code(piece) }).collect()
}

/// A row of a table; each cell is Markdown. A bar would end its cell, even in code: the table takes the
/// backslash before it away.
pub fn row<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ⏎ ").chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_letters_whatever_it_holds() {
        assert_eq!(
            plain("# <script> | a_b*c* [x](javascript:1)\n> & `rm`"),
            "\\# &lt;script> | a\\_b\\*c\\* \\[x\\](javascript:1) ⏎ > &amp; &#96;rm&#96;"
        );
        for (text, written) in [
            ("- one", "\\- one"),
            ("> one", "\\> one"),
            ("12. one", "12\\. one"),
            ("1) one", "1\\) one"),
            ("12 one. Two", "12 one. Two"),
            ("", ""),
            ("=====", "\\====="),
            ("one - two", "one - two"),
        ] {
            assert_eq!(plain(text), written);
        }
        assert_eq!(plain("部署一个版本（蓝绿）"), "部署一个版本（蓝绿）");
    }

    #[test]
    fn code_ends_where_it_ends() {
        assert_eq!(code("a | b"), "`a | b`");
        assert_eq!(row(["`a | b`", "c"]), "| `a \\| b` | c |\n");
        assert_eq!(code("echo `id` ``x``"), "``` echo `id` ``x`` ```");
        assert_eq!(code(""), "–");
        assert_eq!(code("one\n\ntwo"), "`one ⏎ two`");
        assert_eq!(sentence("see `x_y` and a_b."), "see `x_y` and a\\_b.");
    }
}
