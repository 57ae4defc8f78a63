//! Whether a method takes an object.

use quarry_types::{ObjectProbe, Probed};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

/// Whether the argument of `method`, a variant of `T`, is written as an object.
pub(crate) fn takes_object<'a, T: Deserialize<'a>>(method: &'a str) -> bool {
    matches!(T::deserialize(Shape(method)), Err(Probed { is_object: true }))
}

const OTHER: Probed = Probed { is_object: false };

/// A call of the method, without its argument.
struct Shape<'a>(&'a str);

impl<'de> Deserializer<'de> for Shape<'de> {
    type Error = Probed;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Probed> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Probed> {
        Err(OTHER)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Shape<'de> {
    type Error = Probed;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Probed> {
        Ok((seed.deserialize(StrDeserializer::<Probed>::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Shape<'de> {
    type Error = Probed;

    fn unit_variant(self) -> Result<(), Probed> {
        Err(OTHER)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Probed> {
        seed.deserialize(ObjectProbe)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Probed> {
        Err(OTHER)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Probed> {
        Err(Probed { is_object: true })
    }
}
