//! One description of a grammar, with two readings: it checks a tree, and it prints a JSON Schema.
//!
//! It knows lengths, spellings and which keys there are; what names refer to is the typed
//! conversion's business (`runbook`, `settings`).

use super::fault::{Faults, mean_or_list};
use super::tree::{Node, Scalar, Value};
use crate::core::duration;
use serde_json::{Map as JsonMap, Value as Json, json};

/// What may stand in one place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Object(&'static Object),
    Map(&'static Map),
    KeyedMap(&'static KeyedMap),
    List(&'static List),
    Text(&'static Text),
    /// The same words in both languages as plain text, or `{zh: …, en: …}`.
    Localized(&'static Text),
    /// Whole numbers, both bounds included.
    Integer {
        min: i64,
        max: i64,
    },
    /// Both bounds included.
    Duration {
        min_ms: u64,
        max_ms: u64,
    },
    Choice(&'static [&'static str]),
    Bool,
    /// Shapes of different kinds, told apart by what stands there: text, a list, a map.
    Either(&'static [Shape]),
}

/// Known keys, each with its own shape.
#[derive(Debug)]
pub(super) struct Object {
    /// With its article: "an action".
    pub name: &'static str,
    pub doc: &'static str,
    pub fields: &'static [Field],
    /// Keys of which exactly one must be there; empty: no such rule.
    pub exactly_one: &'static [&'static str],
    /// Keys that the design names and that are not read yet.
    pub later: &'static [&'static str],
    pub example: &'static str,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub need: Need,
    pub doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
    /// What an absent key means, as it would be written.
    Default(&'static str),
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, need: Need::Required, doc }
}

/// A field that may be absent, which its `doc` explains.
pub(super) const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, need: Need::Optional, doc }
}

/// A field whose absence means what `value` would.
pub(super) const fn default(
    name: &'static str,
    value: &'static str,
    shape: Shape,
    doc: &'static str,
) -> Field {
    Field { name, shape, need: Need::Default(value), doc }
}

/// Keys that people choose, all with one shape.
#[derive(Debug)]
pub(super) struct Map {
    /// "environments"
    pub name: &'static str,
    pub key: &'static Word,
    pub value: Shape,
    pub min: usize,
    pub max: usize,
    pub example: &'static str,
}

/// Keys that people choose, each with the shape that its name gives it.
#[derive(Debug)]
pub(super) struct KeyedMap {
    /// With its article: "the alerts".
    pub name: &'static str,
    pub key: &'static Word,
    /// Names that have shapes of their own.
    pub known: &'static [&'static str],
    /// The shape of a name, known or not.
    pub value: fn(&str) -> Shape,
    pub max: usize,
    pub example: &'static str,
}

#[derive(Debug)]
pub(super) struct List {
    /// "steps"
    pub name: &'static str,
    pub item: Shape,
    pub min: usize,
    pub max: usize,
    pub example: &'static str,
}

#[derive(Debug)]
pub(super) struct Text {
    /// "a summary"
    pub name: &'static str,
    pub kind: TextKind,
    pub chars_min: usize,
    pub chars_max: usize,
    pub example: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TextKind {
    /// A spelling.
    Word(&'static Word),
    /// Any words without a line break.
    Line,
    /// Anything; numbers and `true` are taken as they are written.
    AsWritten,
}

/// A spelling: one of some literal words, or a first character, more characters, and groups of them
/// after a joiner: `[a-z][a-z0-9]*(-[a-z0-9]+)*`.
#[derive(Debug)]
pub(super) struct Word {
    /// "a name in lower case, …"
    pub name: &'static str,
    pub literals: &'static [&'static str],
    pub first: &'static [Range],
    pub rest: &'static [Range],
    pub joiner: Option<char>,
    pub chars_min: usize,
    pub chars_max: usize,
    pub example: &'static str,
}

/// Both ends included; letters and digits, nothing that a regular expression reads as its own.
pub(super) type Range = (char, char);

impl Word {
    pub fn is_spelt(&self, text: &str) -> bool {
        let chars = text.chars().count();
        if self.literals.contains(&text) {
            return true;
        }
        if chars < self.chars_min || chars > self.chars_max {
            return false;
        }
        let holds = |ranges: &[Range], letter: char| {
            ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter))
        };
        let mut after_joiner = false;
        for (at, letter) in text.chars().enumerate() {
            let joins = self.joiner == Some(letter);
            let fits = match at {
                0 => holds(self.first, letter),
                _ => holds(self.rest, letter) || (joins && !after_joiner),
            };
            if !fits {
                return false;
            }
            after_joiner = joins;
        }
        chars > 0 && !after_joiner
    }

    /// The same spelling as a regular expression, lengths aside.
    pub fn pattern(&self) -> String {
        let class = |ranges: &[Range]| {
            let ranges = ranges.iter().map(|(from, to)| {
                if from == to { from.to_string() } else { format!("{from}-{to}") }
            });
            format!("[{}]", ranges.collect::<String>())
        };
        let rest = class(self.rest);
        let mut word = format!("{}{rest}*", class(self.first));
        if let Some(joiner) = self.joiner {
            let joiner = if joiner == '.' { "\\.".to_owned() } else { joiner.to_string() };
            word = format!("{word}({joiner}{rest}+)*");
        }
        if self.literals.is_empty() {
            format!("^{word}$")
        } else {
            format!("^({}|{word})$", self.literals.join("|"))
        }
    }

    fn schema(&self) -> Json {
        let literals = || self.literals.iter().map(|literal| literal.chars().count());
        json!({
            "type": "string",
            "pattern": self.pattern(),
            "minLength": literals().min().map_or(self.chars_min, |min| min.min(self.chars_min)),
            "maxLength": literals().max().map_or(self.chars_max, |max| max.max(self.chars_max)),
        })
    }
}

impl Object {
    pub fn keys(&self) -> Vec<&'static str> {
        self.fields.iter().map(|field| field.name).collect()
    }
}

impl Shape {
    /// Names every place in `node` that does not fit. A tree without faults holds what the shape
    /// says; one with faults can still be walked.
    pub fn check(self, node: &Node, faults: &mut Faults) {
        match (self, &node.value) {
            (Self::Object(object), Value::Map(_)) => check_object(object, node, faults),
            (Self::Map(map), Value::Map(_)) => check_map(map, node, faults),
            (Self::KeyedMap(map), Value::Map(_)) => check_keyed_map(map, node, faults),
            (Self::List(list), Value::List(_)) => check_list(list, node, faults),
            (Self::Text(text), Value::Scalar(scalar)) => check_text(text, node, scalar, faults),
            (Self::Localized(text), Value::Scalar(scalar)) => {
                check_text(text, node, scalar, faults);
            }
            (Self::Localized(text), Value::Map(_)) => check_both(text, node, faults),
            (
                Self::Integer { .. } | Self::Duration { .. } | Self::Choice(_) | Self::Bool,
                Value::Scalar(scalar),
            ) => self.check_scalar(node, scalar, faults),
            (Self::Either(shapes), value) => {
                match shapes.iter().find(|shape| shape.is_kind_of(value)) {
                    Some(shape) => shape.check(node, faults),
                    None => self.mismatch(node, faults),
                }
            }
            _ => self.mismatch(node, faults),
        }
    }

    /// Whether a value is text, a list or a map as this shape wants it.
    fn is_kind_of(self, value: &Value) -> bool {
        match (self, value) {
            (
                Self::Object(_) | Self::Map(_) | Self::KeyedMap(_) | Self::Localized(_),
                Value::Map(_),
            )
            | (Self::List(_), Value::List(_)) => true,
            (Self::Object(_) | Self::Map(_) | Self::KeyedMap(_) | Self::List(_), _) => false,
            (Self::Either(shapes), value) => shapes.iter().any(|shape| shape.is_kind_of(value)),
            (_, value) => matches!(value, Value::Scalar(_)),
        }
    }

    fn check_scalar(self, node: &Node, scalar: &Scalar, faults: &mut Faults) {
        let text = scalar.text.as_str();
        match self {
            Self::Integer { min, max } => match integer(scalar) {
                None => self.mismatch(node, faults),
                Some(number) if number < min || number > max => {
                    let message = format!("{number} is out of bounds: from {min} to {max}");
                    faults.add(node.at, message);
                }
                Some(_) => {}
            },
            Self::Duration { min_ms, max_ms } => match duration::parse(text) {
                None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    let message = format!("`{text}` has no unit");
                    let way = format!("write `{text}s` for seconds; units: ms, s, m, h, d");
                    faults.add_with(node.at, message, way);
                }
                None => self.mismatch(node, faults),
                Some(ms) if ms < min_ms || ms > max_ms => {
                    let (min, max) = (duration::spell(min_ms), duration::spell(max_ms));
                    let message = format!("`{text}` is out of bounds: from {min} to {max}");
                    faults.add(node.at, message);
                }
                Some(_) => {}
            },
            Self::Choice(choices) if choices.contains(&text) => {}
            Self::Choice(choices) => {
                let message = format!("`{text}` is not one of the choices here");
                faults.add_with(node.at, message, mean_or_list(text, "choices", choices));
            }
            Self::Bool if scalar.plain && matches!(text, "true" | "false") => {}
            Self::Bool => {
                let way = match text.to_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" => "write `true`, without quotes",
                    "no" | "off" | "n" | "false" => "write `false`, without quotes",
                    _ => "write `true` or `false`",
                };
                let message = format!("`{text}` found, true or false expected");
                faults.add_with(node.at, message, way);
            }
            _ => self.mismatch(node, faults),
        }
    }

    fn mismatch(self, node: &Node, faults: &mut Faults) {
        let found = match (&node.value, self) {
            // Only where no secret can stand.
            (
                Value::Scalar(scalar),
                Self::Integer { .. } | Self::Duration { .. } | Self::Choice(_) | Self::Bool,
            ) => format!("`{}`", scalar.text),
            (Value::Scalar(_), _) => "text".to_owned(),
            (Value::Nothing, _) => "nothing".to_owned(),
            (Value::List(_), _) => "a list".to_owned(),
            (Value::Map(_), _) => "a map".to_owned(),
        };
        let message = format!("{found} found, {} expected", self.expected());
        let example = self.example();
        let braces = matches!(node.value, Value::Map(_))
            && matches!(self, Self::Text(_) | Self::Localized(_))
            && node.entries().iter().all(|entry| entry.value.value == Value::Nothing);
        let way = match node.entries().first() {
            Some(entry) if braces => {
                format!("put quotes around text that begins with a brace: \"{{{}}}\"", entry.key)
            }
            _ => format!("for example: {example}"),
        };
        faults.add_with(node.at, message, way);
    }

    fn expected(self) -> String {
        match self {
            Self::Object(object) => format!("{} (a map)", object.name),
            Self::Map(map) => format!("a map of {}", map.name),
            Self::KeyedMap(map) => format!("{} (a map)", map.name),
            Self::List(list) => format!("a list of {}", list.name),
            Self::Text(text) => format!("{} (text)", text.name),
            Self::Localized(text) => format!("{} (text, or a map of zh and en)", text.name),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Duration { .. } => "a duration".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
            Self::Bool => "true or false".to_owned(),
            Self::Either(shapes) => {
                let expected: Vec<String> = shapes.iter().map(|shape| shape.expected()).collect();
                expected.join(", or ")
            }
        }
    }

    fn example(self) -> String {
        match self {
            Self::Object(Object { example, .. })
            | Self::Map(Map { example, .. })
            | Self::KeyedMap(KeyedMap { example, .. })
            | Self::List(List { example, .. })
            | Self::Text(Text { example, .. })
            | Self::Localized(Text { example, .. }) => (*example).to_owned(),
            Self::Integer { min, max } => 10.clamp(min, max).to_string(),
            Self::Duration { .. } => "10s".to_owned(),
            Self::Choice(choices) => choices.first().copied().unwrap_or_default().to_owned(),
            Self::Bool => "true".to_owned(),
            Self::Either(shapes) => shapes.first().map(|shape| shape.example()).unwrap_or_default(),
        }
    }

    /// JSON Schema, draft 2020-12, without the outer `$schema`.
    pub fn schema(self) -> Json {
        match self {
            Self::Object(object) => object_schema(object),
            Self::Map(map) => json!({
                "type": "object",
                "propertyNames": map.key.schema(),
                "additionalProperties": map.value.schema(),
                "minProperties": map.min,
                "maxProperties": map.max,
            }),
            Self::KeyedMap(map) => {
                let known =
                    map.known.iter().map(|name| ((*name).to_owned(), (map.value)(name).schema()));
                json!({
                    "type": "object",
                    "propertyNames": map.key.schema(),
                    "properties": known.collect::<JsonMap<_, _>>(),
                    "additionalProperties": (map.value)("").schema(),
                    "maxProperties": map.max,
                })
            }
            Self::List(list) => json!({
                "type": "array",
                "items": list.item.schema(),
                "minItems": list.min,
                "maxItems": list.max,
            }),
            Self::Text(text) => text_schema(text),
            Self::Localized(text) => json!({
                "oneOf": [
                    text_schema(text),
                    {
                        "type": "object",
                        "properties": {"zh": text_schema(text), "en": text_schema(text)},
                        "required": ["zh", "en"],
                        "additionalProperties": false,
                    },
                ],
            }),
            Self::Integer { min, max } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Self::Duration { .. } => json!({"type": "string", "pattern": duration::PATTERN}),
            Self::Choice(choices) => json!({"enum": choices}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Either(shapes) => {
                json!({"oneOf": shapes.iter().map(|shape| shape.schema()).collect::<Vec<_>>()})
            }
        }
    }

    /// A default as the value that the schema's reader expects.
    fn default_json(self, text: &str) -> Json {
        match self {
            Self::Integer { .. } => text.parse::<i64>().map_or(Json::Null, Json::from),
            Self::Bool => Json::Bool(text == "true"),
            _ => Json::from(text),
        }
    }
}

/// The number that a scalar is, if it is written as one.
pub(super) fn integer(scalar: &Scalar) -> Option<i64> {
    scalar.plain.then(|| scalar.text.parse().ok()).flatten()
}

fn check_object(object: &'static Object, node: &Node, faults: &mut Faults) {
    for entry in node.entries() {
        let key = entry.key.as_str();
        if let Some(field) = object.fields.iter().find(|field| field.name == key) {
            field.shape.check(&entry.value, faults);
        } else if object.later.contains(&key) {
            let message = format!("`{key}` is not supported yet");
            let way = "a later version reads it; remove it until then";
            faults.add_with(entry.key_at, message, way);
        } else {
            let message = format!("`{key}` is not a key of {}", object.name);
            faults.add_with(entry.key_at, message, mean_or_list(key, "keys", &object.keys()));
        }
    }
    for field in object.fields.iter().filter(|field| field.need == Need::Required) {
        if node.get(field.name).is_none() {
            let message = format!("{} needs `{}`", object.name, field.name);
            let example = field.shape.example();
            let way = format!("{}; for example `{}: {example}`", field.doc, field.name);
            faults.add_with(node.at, message, way);
        }
    }
    let alternatives = object.exactly_one;
    let given = alternatives.iter().filter_map(|key| node.entry(key)).collect::<Vec<_>>();
    if !alternatives.is_empty() && given.len() != 1 {
        let at = given.get(1).map_or(node.at, |second| second.key_at);
        let mut others = alternatives.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
        let last = others.pop().unwrap_or_default();
        let found = ["none", "none", "both"].get(given.len()).unwrap_or(&"several");
        let message = format!(
            "{} has exactly one of {} and {last}; {found} found",
            object.name,
            others.join(", ")
        );
        faults.add_with(at, message, format!("for example: {}", object.example));
    }
}

fn check_map(map: &'static Map, node: &Node, faults: &mut Faults) {
    check_count(node.entries().len(), map.min, map.max, map.name, map.example, node, faults);
    for entry in node.entries() {
        if !map.key.is_spelt(&entry.key) {
            let message = format!("`{}` is not {}", entry.key, map.key.name);
            faults.add_with(entry.key_at, message, better_spelling(map.key, &entry.key));
        }
        map.value.check(&entry.value, faults);
    }
}

fn check_keyed_map(map: &'static KeyedMap, node: &Node, faults: &mut Faults) {
    check_count(node.entries().len(), 0, map.max, "names", map.example, node, faults);
    for entry in node.entries() {
        if !map.key.is_spelt(&entry.key) {
            let message = format!("`{}` is not {}", entry.key, map.key.name);
            faults.add_with(entry.key_at, message, better_spelling(map.key, &entry.key));
        }
        (map.value)(&entry.key).check(&entry.value, faults);
    }
}

fn check_list(list: &'static List, node: &Node, faults: &mut Faults) {
    check_count(node.items().len(), list.min, list.max, list.name, list.example, node, faults);
    for item in node.items() {
        list.item.check(item, faults);
    }
}

fn check_count(
    count: usize,
    min: usize,
    max: usize,
    name: &str,
    example: &str,
    node: &Node,
    faults: &mut Faults,
) {
    if count < min {
        let message = format!("{count} {name} found, at least {min} expected");
        faults.add_with(node.at, message, format!("for example: {example}"));
    } else if count > max {
        faults.add(node.at, format!("{count} {name} found, at most {max} expected"));
    }
}

fn check_text(text: &'static Text, node: &Node, scalar: &Scalar, faults: &mut Faults) {
    let words = scalar.text.as_str();
    let chars = words.chars().count();
    if chars < text.chars_min {
        let message = format!("{} is empty", text.name);
        faults.add_with(node.at, message, format!("for example: {}", text.example));
        return;
    }
    if chars > text.chars_max {
        let message = format!("{} has {chars} characters; at most {}", text.name, text.chars_max);
        faults.add(node.at, message);
    }
    match text.kind {
        TextKind::AsWritten => {}
        TextKind::Line if words.chars().any(char::is_control) => {
            faults.add(node.at, format!("{} is one line, without control characters", text.name));
        }
        TextKind::Word(word) if !word.is_spelt(words) => {
            let message = format!("`{words}` is not {}", word.name);
            faults.add_with(node.at, message, better_spelling(word, words));
        }
        TextKind::Line | TextKind::Word(_) => check_quoted(text, node, scalar, faults),
    }
}

/// What any other reader of YAML takes for a number or a truth value needs quotes to be text.
fn check_quoted(text: &'static Text, node: &Node, scalar: &Scalar, faults: &mut Faults) {
    let words = scalar.text.as_str();
    let number = words.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && (words.parse::<f64>().is_ok() || words.starts_with("0x") || words.starts_with("0o"));
    let truth = matches!(words, "true" | "True" | "TRUE" | "false" | "False" | "FALSE");
    if scalar.plain && (number || truth) {
        let found = if number { "a number" } else { "true or false" };
        let message = format!("{found} found, {} (text) expected", text.name);
        faults.add_with(node.at, message, format!("put quotes around it: \"{words}\""));
    }
}

fn check_both(text: &'static Text, node: &Node, faults: &mut Faults) {
    if node.get("zh").is_none() && node.get("en").is_none() {
        return Shape::Localized(text).mismatch(node, faults);
    }
    for language in ["zh", "en"] {
        let Some(words) = node.get(language) else {
            let message = format!("{} lacks `{language}`", text.name);
            let way = "give both languages, or one plain text for both";
            faults.add_with(node.at, message, way);
            continue;
        };
        Shape::Text(text).check(words, faults);
    }
    for entry in node.entries().iter().filter(|entry| !["zh", "en"].contains(&entry.key.as_str())) {
        let message = format!("`{}` is not a language here", entry.key);
        faults.add_with(entry.key_at, message, "languages: `zh`, `en`");
    }
}

fn better_spelling(word: &Word, text: &str) -> String {
    let lower = text.to_lowercase().replace([' ', '_', '.'], "-");
    let upper = text.to_uppercase();
    let underscored = text.replace(['-', ' ', '.'], "_");
    let tries = [lower, text.to_lowercase(), upper, underscored.to_lowercase(), underscored];
    match tries.into_iter().find(|other| word.is_spelt(other)) {
        Some(better) => format!("write `{better}`"),
        None => format!("for example: {}", word.example),
    }
}

fn text_schema(text: &'static Text) -> Json {
    match text.kind {
        TextKind::Word(word) => word.schema(),
        TextKind::Line => json!({
            "type": "string",
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
            "minLength": text.chars_min,
            "maxLength": text.chars_max,
        }),
        TextKind::AsWritten => json!({
            "type": ["string", "number", "boolean"],
            "minLength": text.chars_min,
            "maxLength": text.chars_max,
        }),
    }
}

fn object_schema(object: &'static Object) -> Json {
    let mut properties = JsonMap::new();
    for field in object.fields {
        let mut schema = field.shape.schema();
        schema["description"] = Json::from(field.doc);
        if let Need::Default(text) = field.need {
            schema["default"] = field.shape.default_json(text);
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required = object.fields.iter().filter(|field| field.need == Need::Required);
    let required = required.map(|field| field.name).collect::<Vec<_>>();
    let mut schema = json!({
        "type": "object",
        "description": object.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if !object.exactly_one.is_empty() {
        let one = object.exactly_one.iter().map(|key| json!({"required": [key]}));
        schema["oneOf"] = one.collect();
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::super::fault::listing;
    use super::super::tree;
    use super::*;
    use proptest::prelude::*;
    use proptest::string::string_regex;

    static NAME: Word = Word {
        name: "a name",
        literals: &["Everyone"],
        first: &[('a', 'z')],
        rest: &[('a', 'z'), ('0', '9')],
        joiner: Some('-'),
        chars_min: 1,
        chars_max: 12,
        example: "blue-1",
    };
    static LABEL: Text = Text {
        name: "a label",
        kind: TextKind::Line,
        chars_min: 1,
        chars_max: 10,
        example: "Blue",
    };
    static SMALL: Object = Object {
        name: "a thing",
        doc: "A thing.",
        fields: &[
            required("label", Shape::Localized(&LABEL), "What it is called"),
            default("count", "3", Shape::Integer { min: 1, max: 9 }, "How many"),
            optional("wait", Shape::Duration { min_ms: 1, max_ms: 60_000 }, "How long"),
            default("on", "false", Shape::Bool, "Whether"),
            optional("colour", Shape::Choice(&["red", "blue"]), "Its colour"),
        ],
        exactly_one: &[],
        later: &["approval"],
        example: "{label: Blue}",
    };

    fn faults_of(text: &str) -> String {
        let mut faults = Faults::new("f");
        if let Some(node) = tree::parse(text.as_bytes(), &mut faults) {
            Shape::Object(&SMALL).check(&node, &mut faults);
        }
        listing(&faults.finish())
    }

    #[test]
    fn what_fits_has_no_fault() {
        assert_eq!(faults_of("{label: {zh: 蓝, en: Blue}, count: 9, wait: 1m, on: true}"), "");
        assert_eq!(faults_of("{label: \"7\", colour: red}"), "");
    }

    #[test]
    fn every_misfit_says_what_was_found_and_what_is_expected() {
        insta::assert_snapshot!(faults_of("{label: 7, count: many, wait: 10, on: yes}"), @r#"
        f:1:9: a number found, a label (text) expected
            put quotes around it: "7"
        f:1:19: `many` found, a whole number expected
            for example: 9
        f:1:31: `10` has no unit
            write `10s` for seconds; units: ms, s, m, h, d
        f:1:39: `yes` found, true or false expected
            write `true`, without quotes
        "#);
        insta::assert_snapshot!(faults_of("{label: {zh: 蓝}, count: 10, wait: 2m, on: 'true'}"), @r"
        f:1:9: a label lacks `en`
            give both languages, or one plain text for both
        f:1:25: 10 is out of bounds: from 1 to 9
        f:1:35: `2m` is out of bounds: from 1ms to 1m
        f:1:43: `true` found, true or false expected
            write `true`, without quotes
        ");
        insta::assert_snapshot!(faults_of("{label: {Blue}, colour: rde, wait: soon}"), @r#"
        f:1:9: a map found, a label (text, or a map of zh and en) expected
            put quotes around text that begins with a brace: "{Blue}"
        f:1:25: `rde` is not one of the choices here
            did you mean `red`? choices: `red`, `blue`
        f:1:36: `soon` found, a duration expected
            for example: 10s
        "#);
        insta::assert_snapshot!(faults_of("{lable: x, approval: 1, count: [1]}"), @r"
        f:1:1: a thing needs `label`
            What it is called; for example `label: Blue`
        f:1:2: `lable` is not a key of a thing
            did you mean `label`? keys: `label`, `count`, `wait`, `on`, `colour`
        f:1:12: `approval` is not supported yet
            a later version reads it; remove it until then
        f:1:32: a list found, a whole number expected
            for example: 9
        ");
        insta::assert_snapshot!(faults_of("- a"), @r"
        f:1:1: a list found, a thing (a map) expected
            for example: {label: Blue}
        ");
        insta::assert_snapshot!(faults_of("{label: '', colour: ~}"), @r"
        f:1:9: a label is empty
            for example: Blue
        f:1:21: nothing found, one of red, blue expected
            for example: red
        ");
        insta::assert_snapshot!(faults_of("{label: \"two\\nlines\"}"), @"f:1:9: a label is one line, without control characters");
        insta::assert_snapshot!(faults_of("{label: {zh: 蓝, en: Blue, fr: Bleu}}"), @r"
        f:1:27: `fr` is not a language here
            languages: `zh`, `en`
        ");
    }

    #[test]
    fn a_word_is_spelt_exactly_as_its_pattern_says() {
        assert_eq!(NAME.pattern(), "^(Everyone|[a-z][a-z0-9]*(-[a-z0-9]+)*)$");
        for right in ["a", "a-b", "Everyone", "a1-2-c"] {
            assert!(NAME.is_spelt(right), "{right}");
        }
        for wrong in ["", "-a", "a-", "a--b", "A", "1a", "a_b", "everyone!", "a\n", "aaaaaaaaaaaaa"]
        {
            assert!(!NAME.is_spelt(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_the_pattern_makes_is_spelt_right(
            text in string_regex(&NAME.pattern()[1..NAME.pattern().len() - 1]).unwrap()
        ) {
            prop_assert_eq!(NAME.is_spelt(&text), text.chars().count() <= NAME.chars_max);
        }
    }
}
