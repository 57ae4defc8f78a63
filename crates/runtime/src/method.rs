//! A method's name and JSON argument as a variant of an enum.

use bytes::Bytes;
use quarry_types::in_words_of_json;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeSeed, EnumAccess, VariantAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};
use serde_json::Value;

use crate::{HandlerError, Reply, method_shape::takes_object};

/// Decodes `method` with `payload` (JSON; empty for no argument) as a variant of `T`.
///
/// # Errors
/// A text that names the path of what does not fit, and why.
pub(crate) fn decode<'a, T: Deserialize<'a>>(
    method: &'a str,
    payload: &'a [u8],
) -> Result<T, String> {
    if payload.trim_ascii_start().starts_with(b"[") && takes_object::<T>(method) {
        return Err("found a list, expected an object".to_owned());
    }
    T::deserialize(Call { method, payload }).map_err(|error| error.0)
}

/// A command as the name of a method and its JSON argument: what [`decode`] makes of them.
///
/// # Errors
/// A final failure where it is no variant of an enum as serde writes them, or cannot be JSON.
pub(crate) fn encode<T: Serialize>(command: &T) -> Result<(String, Bytes), HandlerError> {
    let error = |text: String| HandlerError::fail("not_json", text);
    let command = serde_json::to_value(command).map_err(|error_| error(error_.to_string()))?;
    let (method, argument) = match command {
        Value::String(method) => return Ok((method, Bytes::new())),
        Value::Object(variant) => {
            let mut variants = variant.into_iter();
            let only = variants.next().filter(|_| variants.len() == 0);
            only.ok_or_else(|| error("a command must be a variant of an enum".to_owned()))?
        }
        _ => return Err(error("a command must be a variant of an enum".to_owned())),
    };
    Ok((method, Reply::of(&argument)?.0))
}

/// The names of the variants of `T`; empty where it is not an enum.
pub(crate) fn variants<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The deserializer always ends in an error once it has seen the names.
    drop(T::deserialize(Names(&mut names)));
    names
}

#[derive(Debug)]
struct Fault(String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<M: std::fmt::Display>(message: M) -> Self {
        Self(message.to_string())
    }
}

struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Fault;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fault> {
        *self.0 = variants;
        Err(Fault(String::new()))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault("not an enum".to_owned()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Call<'a> {
    method: &'a str,
    payload: &'a [u8],
}

impl<'de> Deserializer<'de> for Call<'de> {
    type Error = Fault;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault("commands and queries must be enums".to_owned()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Call<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(StrDeserializer::<Fault>::new(self.method))?, self))
    }
}

impl<'de> Call<'de> {
    fn argument<T>(
        self,
        read: impl FnOnce(
            serde_path_to_error::Deserializer<
                '_,
                '_,
                &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
            >,
        ) -> Result<T, serde_json::Error>,
    ) -> Result<T, Fault> {
        let is_absent = self.payload.is_empty();
        let text: &'de [u8] = if is_absent { b"null" } else { self.payload };
        let mut json = serde_json::Deserializer::from_slice(text);
        let mut track = serde_path_to_error::Track::new();
        let value = read(serde_path_to_error::Deserializer::new(&mut json, &mut track));
        let value = value.map_err(|error| {
            if is_absent {
                return Fault("it takes an argument, and none was sent".to_owned());
            }
            let (path, reason) = (track.path().to_string(), in_words_of_json(&error.to_string()));
            if path == "." { Fault(reason) } else { Fault(format!("{path}: {reason}")) }
        })?;
        json.end().map_err(|error| Fault(in_words_of_json(&error.to_string())))?;
        Ok(value)
    }
}

impl<'de> VariantAccess<'de> for Call<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let is_nothing = self.payload.is_empty()
            || serde_json::from_slice(self.payload).is_ok_and(
                |value: serde_json::Value| match value {
                    serde_json::Value::Null => true,
                    serde_json::Value::Object(members) => members.is_empty(),
                    _ => false,
                },
            );
        if is_nothing {
            return Ok(());
        }
        Err(Fault(format!("method {} takes no argument: send an empty body", self.method)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.argument(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.argument(|json| json.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.argument(|json| json.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Command {
        Add(i64),
        Clear,
        MoveTo { x: u8, name: String },
        Both(u8, u8),
    }

    #[test]
    fn a_method_and_its_argument_become_a_variant() {
        assert_eq!(decode("add", b"5"), Ok(Command::Add(5)));
        assert_eq!(decode("clear", b""), Ok(Command::Clear));
        assert_eq!(decode("clear", b"null"), Ok(Command::Clear));
        assert_eq!(decode("clear", b" {} "), Ok(Command::Clear));
        assert_eq!(decode("both", b"[1,2]"), Ok(Command::Both(1, 2)));
        let moved = Command::MoveTo { x: 1, name: "n".to_owned() };
        assert_eq!(decode("move_to", br#"{"x":1,"name":"n"}"#), Ok(moved));
    }

    #[test]
    fn a_variant_becomes_a_method_and_its_argument() {
        for command in [
            Command::Add(5),
            Command::Clear,
            Command::MoveTo { x: 1, name: "n".to_owned() },
            Command::Both(1, 2),
        ] {
            let (method, argument) = encode(&command).unwrap();
            assert_eq!(decode(&method, &argument), Ok(command));
        }
        assert!(encode(&5).is_err() && encode(&[1]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong =
            |method, payload: &'static [u8]| decode::<Command>(method, payload).unwrap_err();
        assert!(wrong("nope", b"").contains("unknown variant `nope`"));
        assert!(wrong("clear", b"1").contains("takes no argument"));
        assert!(wrong("move_to", br#"{"x":300,"name":"n"}"#).starts_with("x: "));
        assert!(wrong("move_to", br#"{"x":1}"#).contains("missing field `name`"));
        assert!(wrong("move_to", br#"[1,"n"]"#).contains("expected an object"));
        assert!(wrong("add", b"5 6").contains("trailing characters"));
        assert!(wrong("add", b"").contains("takes an argument"));
        assert!(wrong("add", b"null").contains("found null"));
    }

    #[test]
    fn the_methods_of_a_type_are_the_names_of_its_variants() {
        assert_eq!(variants::<Command>(), ["add", "clear", "move_to", "both"]);
        assert!(variants::<crate::NoQuery>().is_empty());
        assert!(variants::<u8>().is_empty());
    }
}
