//! Whether a type is written as an object. Decoders take a list of the members' values for an object
//! as well; an interface does not, because the order of members is no promise.

use core::fmt;

use serde::{Deserialize, Deserializer, de::Visitor, forward_to_deserialize_any};

/// Whether `T` is written as an object: a struct with named fields, also within an option or a
/// newtype.
pub fn is_object<'de, T: Deserialize<'de>>() -> bool {
    matches!(T::deserialize(ObjectProbe), Err(Probed { is_object: true }))
}

/// A deserializer that has no data: it finds out what a type asks for, as an error.
#[derive(Clone, Copy, Debug)]
pub struct ObjectProbe;

/// What a type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Whether it was a struct with named fields.
    pub is_object: bool,
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_object { "an object" } else { "another value than an object" })
    }
}

impl core::error::Error for Probed {}

impl serde::de::Error for Probed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { is_object: false }
    }
}

impl<'de> Deserializer<'de> for ObjectProbe {
    type Error = Probed;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Probed> {
        Err(Probed { is_object: true })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Probed> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Probed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Probed> {
        Err(Probed { is_object: false })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec::Vec};

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Named {
        a: u8,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Wrapped(Named);

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Pair(u8, u8);

    #[test]
    fn structs_with_named_fields_are_objects() {
        assert!(is_object::<Named>() && is_object::<Wrapped>() && is_object::<Option<Named>>());
        assert!(!is_object::<Pair>() && !is_object::<Vec<Named>>() && !is_object::<String>());
    }
}
