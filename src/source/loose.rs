//! JSON whose types nobody vouches for: a value of the wrong type is remembered as such instead of ending
//! the whole body. What is not asked for is passed over without being kept, so that a body takes no more
//! memory than a few times its bytes.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A single value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Loose<'de> {
    /// Not there, or null.
    #[default]
    Nothing,
    /// A text.
    Text(Cow<'de, str>),
    /// A number or a truth value, as it is written.
    Plain(String),
    /// Something else, and what.
    Wrong(&'static str),
}

impl Loose<'_> {
    /// The text; a number's as it is written. `Err` says what stands there instead.
    pub(super) fn text(&self) -> Result<Option<&str>, &'static str> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Plain(text) => Ok(Some(text)),
            Self::Wrong(what) => Err(what),
        }
    }

    /// The same where something else counts as nothing.
    pub(super) fn text_or_none(&self) -> Option<&str> {
        self.text().ok().flatten()
    }
}

/// Names and values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum LooseMap<'de> {
    /// Not there, or null.
    #[default]
    Nothing,
    /// In their order.
    Map(Vec<(Cow<'de, str>, Loose<'de>)>),
    /// Something else, and what.
    Wrong(&'static str),
}

impl<'de> LooseMap<'de> {
    /// The entries; none where there are none.
    pub(super) fn entries(&self) -> &[(Cow<'de, str>, Loose<'de>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A value's text.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.entries().iter().find(|(key, _)| key == name)?;
        found.1.text_or_none()
    }
}

/// A list's items, of which only so many are kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LooseList<T> {
    /// The first ones, and how many came after them.
    List(Vec<Item<T>>, usize),
    /// Something else, and what.
    Wrong(&'static str),
}

/// An item that should be an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item<T> {
    /// It is one.
    Object(T),
    /// Something else, and what.
    Wrong(&'static str),
}

/// What every visitor here says of the types that it does not take.
macro_rules! wrong {
    ($wrong:expr; $($kind:ident),+) => { $(wrong!(@ $kind, $wrong);)+ };
    (@ bool, $wrong:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($wrong("a truth value")) }
    };
    (@ number, $wrong:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($wrong("a number")) }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($wrong("a number")) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($wrong("a number")) }
    };
    (@ text, $wrong:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($wrong("a text")) }
    };
    (@ null, $wrong:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($wrong("null")) }
    };
    (@ list, $wrong:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($wrong("a list"))
        }
    };
    (@ map, $wrong:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($wrong("an object"))
        }
    };
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = Loose<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Loose::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Loose::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Loose::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Loose::Plain(value.to_string()))
    }

    wrong!(Loose::Wrong; list, map);
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(One)
    }
}

/// A name, borrowed where the body allows it.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_str(One)? {
            Loose::Text(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a name is a text")),
        }
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = LooseMap<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            entries.push((name, value));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let is_twice =
            entries.windows(2).any(|pair| matches!(pair, [one, next] if one.0 == next.0));
        Ok(if is_twice {
            LooseMap::Wrong("an object with a name twice")
        } else {
            LooseMap::Map(entries)
        })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(LooseMap::Nothing)
    }

    wrong!(LooseMap::Wrong; bool, number, text, list);
}

impl<'de: 'a, 'a> Deserialize<'de> for LooseMap<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Entries)
    }
}

struct Objects<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Objects<T> {
    type Value = Item<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Item::Object)
    }

    wrong!(Item::Wrong; bool, number, text, null, list);
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Objects(PhantomData))
    }
}

struct Items<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = LooseList<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < super::ALERTS_MAX {
            let Some(item) = list.next_element()? else { return Ok(LooseList::List(items, 0)) };
            items.push(item);
        }
        let mut more = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        Ok(LooseList::List(items, more))
    }

    wrong!(LooseList::Wrong; bool, number, text, null, map);
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for LooseList<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Items(PhantomData))
    }
}
