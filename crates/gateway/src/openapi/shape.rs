//! What a body looks like.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The schema of a body, and whether a body keeps to the type that the schema is made from.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// The schema, as a reference to what the generator collects.
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
    #[cfg(test)]
    fits: fn(&Value) -> Result<(), String>,
}

impl Shape {
    /// Of a type that is written to bodies. One fits where reading it loses and adds nothing but
    /// `null`.
    pub(super) fn of<T: JsonSchema + Serialize + DeserializeOwned>() -> Self {
        Self {
            schema: SchemaGenerator::subschema_for::<T>,
            #[cfg(test)]
            fits: |value| {
                let read: T =
                    serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
                let written = serde_json::to_value(&read).map_err(|error| error.to_string())?;
                let same = without_nulls(&written) == without_nulls(value);
                if same { Ok(()) } else { Err(format!("reads as {written}")) }
            },
        }
    }

    /// Of a type that stands for several, of which nothing is checked here.
    pub(super) fn described<T: JsonSchema>() -> Self {
        Self {
            schema: SchemaGenerator::subschema_for::<T>,
            #[cfg(test)]
            fits: |_| Ok(()),
        }
    }

    /// Any JSON.
    pub(super) fn any() -> Self {
        Self::described::<Value>()
    }

    /// Text.
    pub(super) fn text() -> Self {
        Self::described::<String>()
    }

    /// Whether `value` fits.
    #[cfg(test)]
    pub(crate) fn fits(&self, value: &Value) -> Result<(), String> {
        (self.fits)(value)
    }
}

#[cfg(test)]
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
