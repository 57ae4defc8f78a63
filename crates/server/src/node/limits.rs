//! The bounds of entity types, from the configuration.

use std::{collections::BTreeMap, sync::Arc};

use quarry::runtime::{self, Limits, NodeConfig, Registry, TypeLimits};
use quarry_ports::Coordinator;
use quarry_types::{BootId, EntityType, NodeId};

use crate::{
    configuration::{AfterQuarantine, Settings, TypeSettings},
    failure::{Exit, Failure},
};

/// How a node of `settings` behaves that hosts the types of `registry`.
///
/// # Errors
/// Names an entity type that the node does not host.
pub(crate) fn node_config(
    settings: &Settings,
    registry: &Registry,
    boot: BootId,
) -> Result<NodeConfig, Failure> {
    let entities = &settings.entities;
    let default_type = TypeLimits {
        mailbox: entities.mailbox,
        attempts: entities.attempts,
        concurrency: entities.concurrency,
        residents: entities.residents,
        after_quarantine: after_quarantine(entities.after_quarantine),
        idle_after: entities.idle_after,
        retention: settings.store.retention,
    };
    let mut limits = Limits { default_type, ..Limits::default() };
    for (written, own) in &entities.types {
        let entity_type = hosted(registry, written)?;
        let bounds = registry.bounds(&entity_type, default_type);
        limits.types.insert(entity_type, of_type(bounds, own));
    }
    Ok(NodeConfig {
        drain_time: settings.node.drain_time,
        residents: settings.node.residents,
        dormant_bytes: settings.node.dormant_memory,
        limits,
        ..NodeConfig::new(NodeId(settings.node.id), boot)
    })
}

/// The hosted type of this name. Variables of the environment are written without regard to case.
fn hosted(registry: &Registry, written: &str) -> Result<EntityType, Failure> {
    let types = registry.types();
    let names: Vec<&str> = types.iter().map(|spec| spec.name).collect();
    let exact = names.iter().find(|name| **name == written);
    let name = exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(written)));
    let Some(name) = name else {
        let message = format!("the section [entities.{written}] names no entity type");
        return Err(Failure::new(Exit::Usage, message)
            .advise(format!("this node hosts {}", names.join(", "))));
    };
    Ok(EntityType::new(name).map_err(anyhow::Error::from)?)
}

const fn after_quarantine(written: AfterQuarantine) -> runtime::AfterQuarantine {
    match written {
        AfterQuarantine::GoOn => runtime::AfterQuarantine::GoOn,
        AfterQuarantine::Wait => runtime::AfterQuarantine::Wait,
    }
}

/// The groups to which a new cluster binds the types of `registry`.
///
/// # Errors
/// Names an entity type that the node does not host.
pub(crate) fn bindings(
    settings: &Settings,
    registry: &Registry,
) -> Result<BTreeMap<EntityType, String>, Failure> {
    let entities = &settings.entities;
    let mut bindings = BTreeMap::new();
    if let Some(group) = &entities.group {
        for spec in registry.types() {
            bindings.insert(hosted(registry, spec.name)?, group.clone());
        }
    }
    for (written, own) in &entities.types {
        if let Some(group) = &own.group {
            bindings.insert(hosted(registry, written)?, group.clone());
        }
    }
    Ok(bindings)
}

/// Says, once the cluster's bindings are known, where they are others than this node was told.
pub(crate) async fn compare_bindings(
    wanted: BTreeMap<EntityType, String>,
    coordinator: Arc<dyn Coordinator>,
) {
    let mut view = coordinator.view();
    loop {
        let seen = Arc::clone(&view.borrow_and_update());
        if !seen.shards.is_empty() {
            for (entity_type, group) in &wanted {
                let bound = seen.bindings.group_name(seen.bindings.bound_to(entity_type));
                if bound != group {
                    tracing::warn!(%entity_type, configured = %group, %bound, "the cluster binds a type to another group than this node's configuration: the cluster's binding holds (quarry cluster bind)");
                }
            }
            return;
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn of_type(default: TypeLimits, own: &TypeSettings) -> TypeLimits {
    TypeLimits {
        mailbox: own.mailbox.unwrap_or(default.mailbox),
        attempts: own.attempts.unwrap_or(default.attempts),
        concurrency: own.concurrency.unwrap_or(default.concurrency),
        residents: own.residents.unwrap_or(default.residents),
        after_quarantine: own.after_quarantine.map_or(default.after_quarantine, after_quarantine),
        idle_after: own.idle_after.unwrap_or(default.idle_after),
        retention: own.retention.unwrap_or(default.retention),
    }
}
