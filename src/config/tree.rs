//! YAML as a tree in which everything knows its line and column.
//!
//! Nothing here knows what a runbook is. Input is bounded (size, depth), aliases are refused (they
//! can grow a small file without bound), and no bytes whatsoever make it panic. Scalars keep the
//! words of the file: `1.10` stays `1.10`, and nothing turns `no` into false behind a person's back.

use super::fault::{Faults, Position};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The largest file that is read.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;
/// Lists and maps within each other.
const NESTING_MAX: usize = 32;

/// One value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A key without a value, `~` or `null`.
    Nothing,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; no key twice.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes: only then can it be a number or true or false.
    pub plain: bool,
    /// Where its text begins, if the text stands in the file letter by letter on one line.
    text_at: Option<Position>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_at: Position,
    pub value: Node,
}

impl Node {
    /// Text that comes from outside any file.
    pub fn quoted(text: &str) -> Self {
        let scalar = Scalar { text: text.to_owned(), plain: false, text_at: None };
        Self { at: Position { line: 1, column: 1 }, value: Value::Scalar(scalar) }
    }

    /// A number that comes from outside any file.
    pub fn plain(text: &str) -> Self {
        let scalar = Scalar { text: text.to_owned(), plain: true, text_at: None };
        Self { at: Position { line: 1, column: 1 }, value: Value::Scalar(scalar) }
    }

    /// A list that comes from outside any file.
    pub fn list(items: Vec<Self>) -> Self {
        Self { at: Position { line: 1, column: 1 }, value: Value::List(items) }
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The words of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The place of a byte of this scalar's text, as exactly as it is known.
    pub fn place_in_text(&self, byte: usize) -> Position {
        match &self.value {
            Value::Scalar(Scalar { text, text_at: Some(at), .. }) => {
                let before = text.get(..byte).map_or(0, |before| before.chars().count());
                Position { line: at.line, column: at.column + before }
            }
            _ => self.at,
        }
    }
}

/// Reads one document. `None` when it cannot be read as YAML; `faults` then says why.
pub(super) fn parse(bytes: &[u8], faults: &mut Faults) -> Option<Node> {
    let start = Position { line: 1, column: 1 };
    if bytes.len() > FILE_BYTES_MAX {
        let size = format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", bytes.len());
        faults.add(start, size);
        return None;
    }
    let text = decode(bytes, faults)?;
    let mut reader = Reader { parser: Parser::new_from_str(text), faults };
    match reader.document()? {
        Document::One(node) => Some(node),
        Document::Empty => {
            faults.add(start, "the file is empty");
            None
        }
    }
}

/// UTF-8 without its byte order mark and without characters that YAML does not allow. (The parser
/// takes NUL for the end of the file: what follows it would go unread.)
fn decode<'b>(bytes: &'b [u8], faults: &mut Faults) -> Option<&'b str> {
    let save_as = "save the file as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        faults.add_with(Position { line: 1, column: 1 }, "the file is UTF-16", save_as);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let at = end_of(valid.strip_prefix('\u{feff}').unwrap_or(&valid));
            faults.add_with(at, format!("byte 0x{byte:02x} is not UTF-8 text"), save_as);
            return None;
        }
    };
    if let Some((byte, letter)) = text.char_indices().find(|(_, letter)| !is_printable(*letter)) {
        let code = u32::from(letter);
        let message = format!("control character U+{code:04X} is not allowed in YAML");
        faults.add_with(end_of(&text[..byte]), message, "remove it; it is invisible in editors");
        return None;
    }
    Some(text)
}

/// YAML 1.2.2, section 5.1.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{85}' | ' '..='\u{7e}' | '\u{a0}'..='\u{d7ff}')
        || matches!(letter, '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// The position just after a text.
fn end_of(text: &str) -> Position {
    let mut at = Position { line: 1, column: 1 };
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\n' || (letter == '\r' && letters.peek() != Some(&'\n')) {
            at = Position { line: at.line + 1, column: 1 };
        } else {
            at.column += 1;
        }
    }
    at
}

enum Document {
    Empty,
    One(Node),
}

struct Reader<'r, 'i> {
    parser: Parser<'i, StrInput<'i>>,
    faults: &'r mut Faults,
}

impl<'i> Reader<'_, 'i> {
    /// `None`: a fault ended the reading.
    fn document(&mut self) -> Option<Document> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Some(root.map_or(Document::Empty, Document::One)),
                Event::DocumentStart(_) if root.is_some() => {
                    self.faults.add_with(
                        position(span),
                        "a second document begins here",
                        "keep one document in the file: remove the `---`",
                    );
                    return None;
                }
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                _ => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Option<(Event<'i>, Span)> {
        match self.parser.next_event()? {
            Ok(event) => Some(event),
            Err(error) => {
                self.syntax_fault(&error);
                None
            }
        }
    }

    fn syntax_fault(&mut self, error: &ScanError) {
        let marker = error.marker();
        let at = Position { line: marker.line().max(1), column: marker.col() + 1 };
        let info = error.info();
        let message = format!("not YAML: {info}");
        let suggestion = if info.contains("unknown anchor") {
            Some("put quotes around text that begins with `*`")
        } else if info.contains('\t') || info.contains("tab") {
            Some("indent with spaces, never with tabs")
        } else if info.contains("mapping values are not allowed") {
            Some("put quotes around text that holds `: `, and check the indentation above")
        } else if info.contains("expected") {
            Some("check the indentation, the brackets and the quotes here and on the line above")
        } else {
            None
        };
        match suggestion {
            Some(suggestion) => self.faults.add_with(at, message, suggestion),
            None => self.faults.add(at, message),
        }
    }

    fn node(&mut self, event: Event<'i>, span: Span, depth: usize) -> Option<Node> {
        let at = position(span);
        if depth > NESTING_MAX {
            self.faults.add(at, format!("nested more than {NESTING_MAX} deep"));
            return None;
        }
        let value = match event {
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                self.scalar(&text, style, span)
            }
            Event::SequenceStart(_, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                Value::List(self.list(depth)?)
            }
            Event::MappingStart(_, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                Value::Map(self.map(depth)?)
            }
            Event::Alias(_) => {
                let message = "aliases (`*name`) are not read here";
                let way = "write the value out; put quotes around text that begins with `*`";
                self.faults.add_with(at, message, way);
                Value::Nothing
            }
            _ => {
                self.faults.add(at, "not YAML: a value is missing here");
                return None;
            }
        };
        Some(Node { at, value })
    }

    fn refuse_tag(&mut self, tag: Option<&Cow<'i, Tag>>, at: Position) {
        if let Some(tag) = tag {
            let message = format!("tags (`{tag}`) are not read here");
            self.faults.add_with(at, message, "put quotes around text that begins with `!`");
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Value {
        let at = position(span);
        if text.contains('\0') {
            self.faults.add(at, "text cannot hold a NUL character");
        }
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Nothing;
        }
        let quote = usize::from(!plain);
        let literal = span.start.line() == span.end.line()
            && !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
            && span.end.col().saturating_sub(span.start.col()) == text.chars().count() + 2 * quote;
        let text_at = literal.then_some(Position { line: at.line, column: at.column + quote });
        Value::Scalar(Scalar { text: text.to_owned(), plain, text_at })
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Some(items);
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, Position> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Some(entries);
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let empty =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty());
            let mut value = self.node(event, span, depth + 1)?;
            if empty {
                // The parser puts an absent value wherever it noticed the absence.
                value.at = key.at;
            }
            let Value::Scalar(Scalar { text, .. }) = key.value else {
                self.faults.add_with(key.at, "a key must be text", "write `key: value`");
                continue;
            };
            if let Some(first) = seen.get(&text) {
                let message = format!("`{text}` is here twice; first on line {}", first.line);
                self.faults.add_with(key.at, message, "remove one of the two, or rename it");
                continue;
            }
            seen.insert(text.clone(), key.at);
            entries.push(Entry { key: text, key_at: key.at, value });
        }
    }
}

fn position(span: Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::super::fault::listing;
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> (Option<Node>, String) {
        let mut faults = Faults::new("f.yml");
        let node = parse(bytes, &mut faults);
        (node, listing(&faults.finish()))
    }

    fn faults_of(text: &str) -> String {
        read(text.as_bytes()).1
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let (node, faults) = read("名称: {键: 值, 二: [甲, \"乙丙\"]}\n".as_bytes());

        assert_eq!(faults, "");
        let map = node.unwrap();
        let inner = map.get("名称").unwrap();
        assert_eq!(inner.at, Position { line: 1, column: 5 });
        let two = inner.entry("二").unwrap();
        assert_eq!(two.key_at, Position { line: 1, column: 12 });
        let quoted = &two.value.items()[1];
        assert_eq!(quoted.at, Position { line: 1, column: 19 });
        assert_eq!(quoted.place_in_text("乙".len()), Position { line: 1, column: 21 });
    }

    #[test]
    fn a_byte_order_mark_is_accepted_and_moves_nothing() {
        let (node, faults) = read("\u{feff}a: b\n".as_bytes());

        assert_eq!(faults, "");
        assert_eq!(node.unwrap().entries()[0].key_at, Position { line: 1, column: 1 });
    }

    #[test]
    fn what_is_not_one_plain_document_is_refused() {
        insta::assert_snapshot!(faults_of(""), @"f.yml:1:1: the file is empty");
        insta::assert_snapshot!(faults_of("# only a remark\n"), @"f.yml:1:1: the file is empty");
        insta::assert_snapshot!(faults_of("a: 1\n---\nb: 2\n"), @r"
        f.yml:2:1: a second document begins here
            keep one document in the file: remove the `---`
        ");
        insta::assert_snapshot!(faults_of("a: 1\nb: 2\n\na: 3\n"), @r"
        f.yml:4:1: `a` is here twice; first on line 1
            remove one of the two, or rename it
        ");
        insta::assert_snapshot!(faults_of("a: &x [1]\nb: *x\n"), @r"
        f.yml:2:4: aliases (`*name`) are not read here
            write the value out; put quotes around text that begins with `*`
        ");
        insta::assert_snapshot!(faults_of("a: *.log\n"), @r"
        f.yml:1:4: not YAML: while parsing node, found unknown anchor
            put quotes around text that begins with `*`
        ");
        insta::assert_snapshot!(faults_of("a: !secret b\n"), @r"
        f.yml:1:4: tags (`!secret`) are not read here
            put quotes around text that begins with `!`
        ");
        insta::assert_snapshot!(faults_of("? [a, b]\n: c\n"), @r"
        f.yml:1:3: a key must be text
            write `key: value`
        ");
        insta::assert_snapshot!(faults_of("a:\n\tb: c\n"), @r"
        f.yml:2:2: not YAML: tabs disallowed within this context (block indentation)
            indent with spaces, never with tabs
        ");
        insta::assert_snapshot!(faults_of("a: b: c\n"), @r"
        f.yml:1:5: not YAML: mapping values are not allowed in this context
            put quotes around text that holds `: `, and check the indentation above
        ");
        insta::assert_snapshot!(faults_of("a: [b\n"), @r"
        f.yml:2:1: not YAML: while parsing a flow sequence, expected ',' or ']'
            check the indentation, the brackets and the quotes here and on the line above
        ");
        insta::assert_snapshot!(faults_of("a: \"x\\0y\"\n"), @"f.yml:1:4: text cannot hold a NUL character");
        insta::assert_snapshot!(faults_of("a: 1\n值: \0x\n"), @r"
        f.yml:2:4: control character U+0000 is not allowed in YAML
            remove it; it is invisible in editors
        ");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_with_their_place() {
        insta::assert_snapshot!(read(b"a: b\n\xe4\xb8\xad: \xff\n").1, @r"
        f.yml:2:4: byte 0xff is not UTF-8 text
            save the file as UTF-8
        ");
        insta::assert_snapshot!(read(b"\xff\xfea\0").1, @r"
        f.yml:1:1: the file is UTF-16
            save the file as UTF-8
        ");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let large = vec![b' '; FILE_BYTES_MAX + 1];
        insta::assert_snapshot!(read(&large).1, @"f.yml:1:1: the file has 1048577 bytes; at most 1048576 are read");

        for open in ["[", "{a: ", "- ", "? "] {
            let deep = open.repeat(100_000);
            let (node, faults) = read(deep.as_bytes());
            assert_eq!(node, None);
            assert!(!faults.is_empty(), "{open}");
        }
    }

    #[test]
    fn a_small_file_of_aliases_stays_small() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let alias = format!("*a{}, ", level - 1).repeat(9);
            bomb = format!("{bomb}a{level}: &a{level} [{alias}]\n");
        }

        let (_, faults) = read(bomb.as_bytes());

        assert!(faults.starts_with("f.yml:2:10: aliases"), "{faults}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_yaml_like_text_makes_it_panic(
            text in "([a-z中\\-?:,\\[\\]{}#&*!|>'\"%@` \n\t~<=.0-9]|- |: |\n  |---\n){0,60}"
        ) {
            let (node, faults) = read(text.as_bytes());
            prop_assert!(node.is_some() || !faults.is_empty());
        }
    }
}
