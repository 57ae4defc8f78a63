//! Addresses of entities, parsed at the edge.

use alloc::{borrow::ToOwned, boxed::Box, string::String, sync::Arc};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Slot;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct Invalid {
    /// What was to be named, for example `entity type`.
    pub what: &'static str,
    /// What was given, cut to 64 characters.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl Invalid {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(64).collect(), rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// [`Invalid`] names the rule that `value` breaks.
            pub fn new(value: &str) -> Result<Self, Invalid> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) { Ok(Self(value.into())) } else { Err(Invalid::new($what, value, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(value: &str) -> Result<Self, Invalid> {
                Self::new(value)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Box::<str>::deserialize(deserializer)?;
                Self::new(&value).map_err(de::Error::custom)
            }
        }
    };
}

fn is_identifier(value: &str) -> bool {
    let mut bytes = value.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && value.len() <= 64
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

name! {
    /// A tenant; `default` where authentication is off.
    Tenant, "tenant", "1 to 64 of a-z, 0-9 and -",
    |v| (1..=64).contains(&v.len())
        && v.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
name! {
    /// The type of an entity.
    EntityType, "entity type", "a letter, then at most 63 letters, digits or _", is_identifier
}
name! {
    /// The id of an entity within its tenant and type.
    EntityId, "entity id", "1 to 256 bytes of UTF-8 without control characters",
    |v| (1..=256).contains(&v.len()) && !v.chars().any(char::is_control)
}
name! {
    /// A method of an entity.
    Method, "method", "a letter, then at most 63 letters, digits or _", is_identifier
}

impl Tenant {
    /// The tenant where authentication is off.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".into())
    }
}

/// The address of an entity: tenant, type, id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The tenant that the entity belongs to.
    pub tenant: Tenant,
    /// The entity's type.
    pub entity_type: EntityType,
    /// The entity's id within tenant and type.
    pub id: EntityId,
}

impl Address {
    /// The slot that the entity lives in.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot::of(self.tenant.as_str(), self.entity_type.as_str(), self.id.as_str())
    }

    /// Parses `Type/id` within `tenant`. The id may itself contain slashes.
    ///
    /// # Errors
    /// [`Invalid`] where the slash is missing or a part breaks its rule.
    pub fn parse(tenant: Tenant, text: &str) -> Result<Self, Invalid> {
        let Some((entity_type, id)) = text.split_once('/') else {
            return Err(Invalid::new("entity", text, "write it as Type/id"));
        };
        Ok(Self { tenant, entity_type: EntityType::new(entity_type)?, id: EntityId::new(id)? })
    }
}

/// `Type/id`, without the tenant.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.entity_type, self.id)
    }
}

impl From<&Tenant> for String {
    fn from(tenant: &Tenant) -> Self {
        tenant.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_is_written_as_it_is_parsed() -> Result<(), Invalid> {
        let address = Address::parse(Tenant::default_tenant(), "Counter/a/b c")?;
        assert_eq!(address.to_string(), "Counter/a/b c");
        assert_eq!(address.id.as_str(), "a/b c");
        Ok(())
    }

    #[test]
    fn names_that_break_a_rule_are_refused() {
        for (entity_type, id) in [("", "x"), ("1a", "x"), ("a-b", "x"), ("A", ""), ("A", "x\u{7}")]
        {
            let text = alloc::format!("{entity_type}/{id}");
            assert!(Address::parse(Tenant::default_tenant(), &text).is_err(), "{text:?}");
        }
        assert!(EntityId::new(&"x".repeat(256)).is_ok());
        assert!(EntityId::new(&"x".repeat(257)).is_err());
        assert!(Tenant::new("Upper").is_err());
        assert!(Address::parse(Tenant::default_tenant(), "Counter").is_err());
    }

    #[test]
    fn decoding_checks_the_same_rules() {
        assert!(serde_json::from_str::<EntityType>("\"Counter\"").is_ok());
        assert!(serde_json::from_str::<EntityType>("\"no type\"").is_err());
    }
}
