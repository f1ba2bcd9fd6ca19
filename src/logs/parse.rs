//! One line of an access log as a request. It borrows from the line and allocates nothing, but for a
//! JSON text with escapes.

use crate::core::action::AccessFormat;
use chrono::{DateTime, NaiveDate};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// `25/Nov/2026:16:03:32 +0000`
const TIME_BYTES: usize = 26;
/// Of the user's name nobody checks what it holds, so the time may be the second or third `[`.
const BRACKETS_MAX: usize = 4;
/// An IPv6 address, or a host's name.
const ADDRESS_BYTES_MAX: usize = 255;
const METHOD_BYTES_MAX: usize = 16;
/// Epochs beyond this are milliseconds.
const SECONDS_MAX: f64 = 1e11;
/// Stands for a request that is not HTTP.
const NO_METHOD: &[u8] = b"-";

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit<'l> {
    pub at_ms: i64,
    pub method: Cow<'l, [u8]>,
    /// As it was asked for, with its query.
    pub target: Cow<'l, [u8]>,
    pub status: u16,
    pub took_us: Option<u64>,
    /// The client's.
    pub address: Cow<'l, [u8]>,
}

pub(super) struct Parser {
    format: AccessFormat,
    /// The last time that was read: most lines have that of the line before.
    last: ([u8; TIME_BYTES], i64),
}

impl Parser {
    pub(super) fn new(format: AccessFormat) -> Self {
        Self { format, last: ([0; TIME_BYTES], 0) }
    }

    /// `None` for a line that is no request of this format.
    pub(super) fn parse<'l>(&mut self, line: &'l [u8]) -> Option<Hit<'l>> {
        match self.format {
            AccessFormat::Combined => self.combined(line),
            AccessFormat::Json => self.json(line),
        }
    }

    fn combined<'l>(&mut self, line: &'l [u8]) -> Option<Hit<'l>> {
        let line = line.trim_ascii_end();
        let space = memchr::memchr(b' ', line).filter(|at| (1..=ADDRESS_BYTES_MAX).contains(at))?;
        let (address, rest) = line.split_at(space);
        let mut brackets = memchr::memchr_iter(b'[', rest).take(BRACKETS_MAX);
        let (at_ms, rest) = brackets.find_map(|at| {
            let (time, rest) = rest[at + 1..].split_at_checked(TIME_BYTES)?;
            Some((self.time(time)?, rest.strip_prefix(b"] \"")?))
        })?;
        let (request, rest) = quoted(rest)?;
        let (status, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
        let status = status_of(status)?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
        let (method, target) = request_line(request);
        Some(Hit {
            at_ms,
            method: Cow::Borrowed(method),
            target: Cow::Borrowed(target),
            status,
            took_us: last_field(rest).and_then(seconds),
            address: Cow::Borrowed(address),
        })
    }

    fn json<'l>(&mut self, line: &'l [u8]) -> Option<Hit<'l>> {
        let fields: Fields<'l> = serde_json::from_slice(line).ok()?;
        let at_ms = match fields.time? {
            Scalar::Text(text) => DateTime::parse_from_rfc3339(&text)
                .map(|at| at.timestamp_millis())
                .ok()
                .or_else(|| self.time(text.as_bytes()))?,
            Scalar::Number(number) if number.abs() < SECONDS_MAX => (number * 1e3) as i64,
            Scalar::Number(number) => number as i64,
            Scalar::Other => return None,
        };
        let status = match fields.status? {
            Scalar::Text(text) => status_of(text.as_bytes())?,
            Scalar::Number(number) if (100.0..1e3).contains(&number) => number as u16,
            Scalar::Number(_) | Scalar::Other => return None,
        };
        Some(Hit {
            at_ms,
            method: method_of(fields.method.map_or(Cow::Borrowed(NO_METHOD), bytes)),
            target: bytes(fields.target?),
            status,
            took_us: fields.took_us,
            address: fields.address.map_or(Cow::Borrowed(b"-"), bytes),
        })
    }

    /// Milliseconds of a time as nginx and Apache write it, its offset honoured.
    fn time(&mut self, text: &[u8]) -> Option<i64> {
        if text == self.last.0 {
            return Some(self.last.1);
        }
        let text: &[u8; TIME_BYTES] = text.try_into().ok()?;
        let at_ms = time_ms(text)?;
        self.last = (*text, at_ms);
        Some(at_ms)
    }
}

fn time_ms(text: &[u8; TIME_BYTES]) -> Option<i64> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    const PUNCTUATION: [(usize, u8); 6] =
        [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if PUNCTUATION.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let month = MONTHS.chunks(3).position(|month| *month == text[3..6])? as u32 + 1;
    let number = |from: usize, to: usize| digits(&text[from..to]);
    let date = NaiveDate::from_ymd_opt(number(7, 11)? as i32, month, number(0, 2)?)?;
    // A leap second is told as the 60th.
    let second = number(18, 20).filter(|second| *second <= 60)?.min(59);
    let time = date.and_hms_opt(number(12, 14)?, number(15, 17)?, second)?;
    let offset = i64::from(number(22, 24)? * 60 + number(24, 26)?) * 60_000;
    let local_ms = time.and_utc().timestamp_millis();
    match text[21] {
        b'+' => Some(local_ms - offset),
        b'-' => Some(local_ms + offset),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn status_of(text: &[u8]) -> Option<u16> {
    let status = digits(text).filter(|_| text.len() == 3)?;
    u16::try_from(status).ok().filter(|status| *status >= 100)
}

/// What stands before the closing quote, and what stands behind it. A backslash takes the next byte's
/// meaning away.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[at] == b'"' {
            return Some((&text[..at], &text[at + 1..]));
        }
        from = at + 2;
    }
}

/// Method and target of `GET /x HTTP/1.1`. What is not HTTP, such as a TLS greeting or nothing at all,
/// was answered too and counts under no method.
fn request_line(request: &[u8]) -> (&[u8], &[u8]) {
    const NONE: (&[u8], &[u8]) = (NO_METHOD, b"");
    let Some(space) = memchr::memchr(b' ', request) else { return NONE };
    let (method, target) = (&request[..space], &request[space + 1..]);
    let target = memchr::memrchr(b' ', target).map_or(target, |space| &target[..space]);
    if is_method(method) { (method, target) } else { NONE }
}

fn is_method(method: &[u8]) -> bool {
    (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.iter().all(u8::is_ascii_uppercase)
}

fn method_of(method: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if is_method(&method) { method } else { Cow::Borrowed(NO_METHOD) }
}

fn last_field(rest: &[u8]) -> Option<&[u8]> {
    memchr::memrchr(b' ', rest).map(|at| &rest[at + 1..])
}

/// Microseconds of `0.123`; a point must be there, so that a number of bytes is none.
fn seconds(text: &[u8]) -> Option<u64> {
    let point = memchr::memchr(b'.', text)?;
    let (whole, rest) = (&text[..point], &text[point + 1..]);
    if whole.is_empty() || !(1..=6).contains(&rest.len()) {
        return None;
    }
    let parts = digits(rest)?.checked_mul(10_u32.pow(6 - rest.len() as u32))?;
    Some(u64::from(digits(whole)?) * 1_000_000 + u64::from(parts))
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The fields of a JSON line that are read; the last of several wins.
#[derive(Default)]
struct Fields<'l> {
    time: Option<Scalar<'l>>,
    method: Option<Cow<'l, str>>,
    target: Option<Cow<'l, str>>,
    status: Option<Scalar<'l>>,
    took_us: Option<u64>,
    address: Option<Cow<'l, str>>,
}

/// A value that is wanted only if it is simple.
enum Scalar<'l> {
    Text(Cow<'l, str>),
    Number(f64),
    Other,
}

impl<'l> Scalar<'l> {
    fn text(self) -> Option<Cow<'l, str>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Microseconds of a duration in units of so many.
    fn us(self, unit: f64) -> Option<u64> {
        let number = match self {
            Self::Number(number) => number,
            Self::Text(text) => text.parse().ok()?,
            Self::Other => return None,
        };
        (number.is_finite() && number >= 0.0).then_some((number * unit) as u64)
    }
}

impl<'de: 'l, 'l> Deserialize<'de> for Fields<'l> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            let Scalar::Text(key) = key else { continue };
            match &*key {
                "time" | "ts" | "timestamp" | "@timestamp" => fields.time = Some(map.next_value()?),
                "method" => fields.method = map.next_value::<Scalar<'_>>()?.text(),
                "path" | "uri" => fields.target = map.next_value::<Scalar<'_>>()?.text(),
                "status" => fields.status = Some(map.next_value()?),
                "duration_ms" => fields.took_us = map.next_value::<Scalar<'_>>()?.us(1e3),
                "request_time" => fields.took_us = map.next_value::<Scalar<'_>>()?.us(1e6),
                "remote_addr" | "client" => {
                    fields.address = map.next_value::<Scalar<'_>>()?.text();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

impl<'de: 'l, 'l> Deserialize<'de> for Scalar<'l> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
