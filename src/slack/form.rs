//! A form body, strictly: nothing is guessed.

use super::inbound::Malformed;

/// Fields in a form; Slack sends about fifteen.
const FORM_FIELDS_MAX: usize = 64;

/// A form's fields in order, decoded.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a whole body.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Vec::new();
        for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == FORM_FIELDS_MAX {
                return Err(Malformed::Form);
            }
            let equals = field.iter().position(|byte| *byte == b'=');
            let (name, value) = field.split_at(equals.unwrap_or(field.len()));
            fields.push((decode(name)?, decode(value.strip_prefix(b"=").unwrap_or_default())?));
        }
        Ok(Self(fields))
    }

    /// A field. One that we read and that comes twice makes the form malformed: whoever checked the first
    /// and whoever used the second would disagree. Fields that we do not read may repeat.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Malformed> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Malformed::Form);
        }
        Ok(first.map(|(_, value)| value.as_str()))
    }

    /// A field that holds something.
    pub fn some(&self, name: &str) -> Result<Option<String>, Malformed> {
        Ok(self.get(name)?.filter(|value| !value.is_empty()).map(str::to_owned))
    }

    /// A field that must hold something.
    pub fn need(&self, name: &'static str) -> Result<&str, Malformed> {
        self.get(name)?.filter(|value| !value.is_empty()).ok_or(Malformed::Missing(name))
    }
}

/// Percent-decodes; unlike the crates, refuses broken escapes and text that is not UTF-8.
fn decode(text: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = after else { return Err(Malformed::Form) };
                rest = after;
                nibble(*high)? << 4 | nibble(*low)?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Malformed::Form)
}

fn nibble(digit: u8) -> Result<u8, Malformed> {
    let value = char::from(digit).to_digit(16).ok_or(Malformed::Form)?;
    u8::try_from(value).map_err(|_| Malformed::Form)
}
