//! The entity types that every node hosts.

use quarry::runtime::{Registry, RegistryBuilder};
use quarry_services::{Counter, Register};

/// The built-in entity types.
pub(crate) fn built_in() -> RegistryBuilder {
    Registry::builder().with(Counter).with(Register)
}
