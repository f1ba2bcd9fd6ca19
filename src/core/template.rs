//! `{name}` in a runbook's strings: only declared names substitute, a literal brace is doubled.

use serde::{Deserialize, Serialize};

/// A string of the runbook, taken apart once when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Piece {
    Literal(String),
    Name(String),
}

/// Why a string is not a template; offsets are bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` without its `}`.
    #[error("`{{` at byte {0} is never closed; double a literal brace: `{{{{`")]
    Unclosed(usize),
    /// A `}` that closes nothing.
    #[error("`}}` at byte {0} closes nothing; double a literal brace: `}}}}`")]
    Unopened(usize),
    /// `{}` or a name with other characters than letters, digits and `_`.
    #[error("`{{{0}}}` is not a name: use letters, digits and `_`")]
    BadName(String),
}

impl Template {
    /// Takes a string apart.
    ///
    /// # Errors
    /// [`TemplateError`] for an unbalanced brace or something that is not a name between braces.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '{' | '}' if letters.peek().is_some_and(|(_, next)| *next == letter) => {
                    letters.next();
                    literal.push(letter);
                }
                '{' => {
                    let rest = &text[at + 1..];
                    let end = rest.find('}').ok_or(TemplateError::Unclosed(at))?;
                    let name = &rest[..end];
                    if !is_name(name) {
                        return Err(TemplateError::BadName(name.to_owned()));
                    }
                    while letters.next_if(|(next, _)| *next <= at + 1 + end).is_some() {}
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Name(name.to_owned()));
                }
                '}' => return Err(TemplateError::Unopened(at)),
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Every name it mentions, in order, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The name it opens with, if it opens with one: there a value beginning with `-` could be read
    /// as an option.
    pub fn leading_name(&self) -> Option<&str> {
        match self.0.first() {
            Some(Piece::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Fills in the names for which `value` has something, and leaves the others.
    #[must_use]
    pub fn expand_known<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Self {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Name(name) => {
                value(name).map_or_else(|| piece.clone(), |value| Piece::Literal(value.to_owned()))
            }
            Piece::Literal(_) => piece.clone(),
        });
        Self(pieces.collect())
    }

    /// How people read it: names in braces, literal braces single.
    pub fn shown(&self) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Name(name) => format!("{{{name}}}"),
        });
        pieces.collect()
    }

    /// Fills the names in.
    ///
    /// # Errors
    /// The first name for which `value` has nothing.
    pub fn expand<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Name(name) => out.push_str(value(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(out)
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expand(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        template.expand(|name| (name == "version").then_some("v1.2"))
    }

    #[test]
    fn names_are_filled_in_and_doubled_braces_are_literal() {
        assert_eq!(expand("{version}^{{commit}}").as_deref(), Ok("v1.2^{commit}"));
        assert_eq!(expand("a{version}b{version}").as_deref(), Ok("av1.2bv1.2"));
        assert_eq!(expand("").as_deref(), Ok(""));
        assert_eq!(expand("{other}"), Err("other".to_owned()));
    }

    #[test]
    fn what_is_known_is_filled_in_and_the_rest_waits() {
        let template = Template::parse("{version}-{schema}^{{x}}").unwrap();

        let later = template.expand_known(|name| (name == "version").then_some("v1.2"));

        assert_eq!(later.shown(), "v1.2-{schema}^{x}");
        let whole = later.expand(|name| (name == "schema").then_some("{version}"));
        assert_eq!(whole.as_deref(), Ok("v1.2-{version}^{x}"));
    }

    #[test]
    fn a_lone_brace_is_refused() {
        assert_eq!(Template::parse("a{b"), Err(TemplateError::Unclosed(1)));
        assert_eq!(Template::parse("a}b"), Err(TemplateError::Unopened(1)));
        assert_eq!(Template::parse("{a b}"), Err(TemplateError::BadName("a b".to_owned())));
        assert_eq!(Template::parse("{}"), Err(TemplateError::BadName(String::new())));
    }

    proptest! {
        #[test]
        fn any_text_survives_with_its_braces_doubled(text: String) {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&doubled).expect("doubled braces are literal");
            prop_assert_eq!(template.expand(|_| None), Ok(text));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = Template::parse(&text);
        }
    }
}
