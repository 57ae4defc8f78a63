//! JSON that every decoder reads alike.

use alloc::{
    borrow::{Cow, ToOwned},
    collections::BTreeSet,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// Any value of JSON in which no object names a member twice (RFC 7493, 2.3): deserializing it fails
/// with `duplicate field` otherwise, and where it nests deeper than the decoder goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundJson;

impl<'de> Deserialize<'de> for SoundJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = SoundJson;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_i64<E>(self, _: i64) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_u64<E>(self, _: u64) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_f64<E>(self, _: f64) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_str<E>(self, _: &str) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_unit<E>(self) -> Result<SoundJson, E> {
        Ok(SoundJson)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SoundJson, A::Error> {
        while list.next_element::<SoundJson>()?.is_some() {}
        Ok(SoundJson)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<SoundJson, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = object.next_key_seed(Name)? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            names.insert(name);
            object.next_value::<SoundJson>()?;
        }
        Ok(SoundJson)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_member_may_stand_once_in_an_object() {
        let read = |text: &str| serde_json::from_str::<SoundJson>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"[{"a":1,"b":{"a":[null,true,1.5,"x"]}},{"a":-1}]"#), Ok(SoundJson));
        let doubled = "duplicate field `a` at line 1 column 15".to_owned();
        assert_eq!(read(r#"{"\u0061":1,"a":2}"#), Err(doubled));
        assert!(read("{").is_err());
    }
}
