//! The entity types that a node hosts.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use quarry_core::delivery::{Limits, TypeLimits};
use quarry_types::{Delivery, EntityType, Method, Refusal, RefusalCode};

use crate::{
    Entity, ReadMode,
    instance::{Instance, Live},
    method,
};

/// A method of an entity type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSpec {
    /// Its name.
    pub name: &'static str,
    /// How it is delivered.
    pub delivery: Delivery,
}

/// An entity type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSpec {
    /// Its name.
    pub name: &'static str,
    /// Its methods.
    pub methods: Vec<MethodSpec>,
}

/// The entity types of a node; the same on every node of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<BTreeMap<String, Registered>>);

/// Collects entity types.
#[derive(Default)]
pub struct RegistryBuilder(BTreeMap<String, Registered>);

type Activate = dyn Fn(Option<Bytes>) -> Result<Arc<dyn Instance>, String> + Send + Sync;

#[derive(Clone)]
struct Registered {
    spec: TypeSpec,
    activate: Arc<Activate>,
    check: fn(&MethodSpec, &[u8]) -> Result<(), String>,
    bound: fn(TypeLimits) -> TypeLimits,
}

impl Registry {
    /// Starts to collect types.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// All types, by name.
    pub fn types(&self) -> Vec<TypeSpec> {
        self.0.values().map(|registered| registered.spec.clone()).collect()
    }

    /// The type of this name.
    pub fn get(&self, entity_type: &EntityType) -> Option<TypeSpec> {
        self.0.get(entity_type.as_str()).map(|registered| registered.spec.clone())
    }

    /// How a message would be delivered.
    ///
    /// # Errors
    /// A [`Refusal`] that lists what exists, or says where the payload does not fit.
    pub fn check(
        &self,
        entity_type: &EntityType,
        method: &Method,
        payload: &[u8],
    ) -> Result<Delivery, Refusal> {
        let registered = self.registered(entity_type)?;
        let methods = &registered.spec.methods;
        let Some(spec) = methods.iter().find(|spec| spec.name == method.as_str()) else {
            let known: Vec<&str> = methods.iter().map(|spec| spec.name).collect();
            let text = format!(
                "entity type {entity_type} has no method {method}; it has {}",
                known.join(", ")
            );
            return Err(refusal(RefusalCode::UnknownMethod, text));
        };
        (registered.check)(spec, payload)
            .map_err(|error| refusal(RefusalCode::InvalidPayload, format!("{method}: {error}")))?;
        Ok(spec.delivery)
    }

    /// The bounds of a node with these types: what a type declares counts before the node's default
    /// for all types, and what `limits` say of the type itself before that.
    pub(crate) fn bounded(&self, mut limits: Limits) -> Limits {
        for name in self.0.keys() {
            if let Ok(entity_type) = EntityType::new(name) {
                let bound = self.bounds(&entity_type, limits.default_type);
                limits.types.entry(entity_type).or_insert(bound);
            }
        }
        limits
    }

    /// The bounds of a type: what it declares counts before `default`.
    pub fn bounds(&self, entity_type: &EntityType, default: TypeLimits) -> TypeLimits {
        let registered = self.0.get(entity_type.as_str());
        registered.map_or(default, |registered| (registered.bound)(default))
    }

    pub(crate) fn activate(
        &self,
        entity_type: &EntityType,
        stored: Option<Bytes>,
    ) -> Result<Arc<dyn Instance>, String> {
        let registered = self.registered(entity_type).map_err(|refusal| refusal.message)?;
        (registered.activate)(stored)
    }

    fn registered(&self, entity_type: &EntityType) -> Result<&Registered, Refusal> {
        self.0.get(entity_type.as_str()).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let text =
                format!("there is no entity type {entity_type}; there are {}", known.join(", "));
            refusal(RefusalCode::UnknownType, text)
        })
    }
}

impl RegistryBuilder {
    /// Adds a type; of two with one name the later counts.
    #[must_use]
    pub fn with<E: Entity>(mut self, entity: E) -> Self {
        let entity = Arc::new(entity);
        let read = |name: &str| match E::read_mode(name) {
            ReadMode::Local => Delivery::VolatileLocal,
            ReadMode::Current => Delivery::VolatileCurrent,
        };
        let commands =
            method::variants::<E::Command>().iter().map(|name| (*name, Delivery::Durable));
        let queries = method::variants::<E::Query>().iter().map(|name| (*name, read(name)));
        let methods = commands.chain(queries).map(|(name, delivery)| MethodSpec { name, delivery });
        let registered = Registered {
            spec: TypeSpec { name: E::TYPE, methods: methods.collect() },
            activate: Arc::new(move |stored| Ok(Arc::new(Live::new(Arc::clone(&entity), stored)?))),
            check: check::<E>,
            bound: bound::<E>,
        };
        self.0.insert(E::TYPE.to_owned(), registered);
        self
    }

    /// The collected types.
    pub fn build(self) -> Registry {
        Registry(Arc::new(self.0))
    }
}

fn bound<E: Entity>(default: TypeLimits) -> TypeLimits {
    const {
        assert!(
            is_name(E::TYPE),
            "a type's name is a letter, then at most 63 letters, digits or _"
        );
        assert!(!matches!(E::ATTEMPTS, Some(0)), "a type whose messages are never handled");
        assert!(!matches!(E::MAILBOX, Some(0)), "a type whose messages are always refused");
        assert!(!matches!(E::RESIDENTS, Some(0)), "a type whose entities are never in memory");
        assert!(!matches!(E::CONCURRENCY, Some(0)), "a type whose queries never run");
    }
    TypeLimits {
        mailbox: E::MAILBOX.unwrap_or(default.mailbox),
        attempts: E::ATTEMPTS.unwrap_or(default.attempts),
        concurrency: E::CONCURRENCY.unwrap_or(default.concurrency),
        residents: E::RESIDENTS.unwrap_or(default.residents),
        after_quarantine: E::AFTER_QUARANTINE.unwrap_or(default.after_quarantine),
        idle_after: E::IDLE_AFTER.unwrap_or(default.idle_after),
        retention: E::RETENTION.unwrap_or(default.retention),
    }
}

/// Whether addresses can hold it: the rule of [`EntityType`].
const fn is_name(name: &str) -> bool {
    let mut rest = name.as_bytes();
    let is_short = rest.len() <= 64;
    let mut is_valid = matches!(rest.first(), Some(letter) if letter.is_ascii_alphabetic());
    while let Some((byte, after)) = rest.split_first() {
        is_valid = is_valid && (byte.is_ascii_alphanumeric() || *byte == b'_');
        rest = after;
    }
    is_valid && is_short
}

fn check<E: Entity>(spec: &MethodSpec, payload: &[u8]) -> Result<(), String> {
    match spec.delivery {
        Delivery::Durable => method::decode::<E::Command>(spec.name, payload).map(drop),
        Delivery::VolatileLocal | Delivery::VolatileCurrent => {
            method::decode::<E::Query>(spec.name, payload).map(drop)
        }
    }
}

fn refusal(code: RefusalCode, message: String) -> Refusal {
    Refusal { code, message, retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_as_addresses_are() {
        let (long, longer) = ("a".repeat(64), "a".repeat(65));
        for name in ["Counter", "a_1", "a", &long, &longer, "", "1a", "_a", "a-b", "a/b", "ä"] {
            assert_eq!(is_name(name), EntityType::new(name).is_ok(), "{name}");
        }
    }
}
