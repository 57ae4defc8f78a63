//! Types of which it is being recorded that they are used: once at a time each.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use quarry_types::EntityType;

/// The types of which it is being recorded that they are used; as many as there are types at most. The
/// lock is held for a look-up only.
#[derive(Debug, Default)]
pub(crate) struct FirstUses(Mutex<BTreeSet<EntityType>>);

impl FirstUses {
    /// Whether it is the caller who has it recorded.
    pub(super) fn begin(&self, entity_type: &EntityType) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entity_type.clone())
    }

    /// It was tried.
    pub(super) fn end(&self, entity_type: &EntityType) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(entity_type);
    }
}
