//! `quarry entity …`.

use quarry_client::EntityQuery;
use quarry_types::api::{Entity, EntitySummary};

use super::connection::{address, connect};
use crate::{
    cli::{EntityCommand, EntityListArguments, Global},
    failure::Failure,
    output::Output,
};

/// The most that a server gives at a time.
const PAGE: u32 = 100;

/// Runs the command.
pub(crate) async fn run(
    command: &EntityCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    match command {
        EntityCommand::Ls(arguments) => list(arguments, global, output).await,
        EntityCommand::Show { entity } => {
            let entity = connect(global)?.entity(&address(entity)?).await?;
            output.record(&facts(&entity), &entity)
        }
    }
}

async fn list(
    arguments: &EntityListArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let mut query =
        EntityQuery { entity_type: arguments.entity_type.clone(), ..EntityQuery::default() };
    let mut entities: Vec<EntitySummary> = Vec::new();
    loop {
        let known = u32::try_from(entities.len()).unwrap_or(u32::MAX);
        query.limit = Some(arguments.limit.saturating_sub(known).min(PAGE));
        let page = client.entities(&query).await?;
        entities.extend(page.items);
        let known = u32::try_from(entities.len()).unwrap_or(u32::MAX);
        query.cursor = page.next;
        if query.cursor.is_none() || known >= arguments.limit {
            break;
        }
    }
    output.list(&["entity", "slot", "bytes", "updated"], &entities, |entity| {
        vec![
            format!("{}/{}", entity.entity_type, entity.id),
            entity.slot.to_string(),
            entity.state_bytes.to_string(),
            entity.updated_at.clone(),
        ]
    })
}

fn facts(entity: &Entity) -> Vec<(&'static str, String)> {
    let place = &entity.placement;
    let none = || "-".to_owned();
    let shard = place.shard.as_ref();
    let owner = shard.and_then(|shard| shard.owner);
    vec![
        ("entity", format!("{}/{}", place.entity_type, place.id)),
        ("slot", place.slot.to_string()),
        ("shard", shard.map_or_else(none, |shard| shard.id.to_string())),
        ("owner", owner.map_or_else(none, |owner| format!("node {owner}"))),
        ("epoch", shard.map_or_else(none, |shard| shard.epoch.to_string())),
        ("state", entity.state_bytes.map_or_else(none, |bytes| format!("{bytes} bytes"))),
        ("commit", entity.sequence.map_or_else(none, |sequence| sequence.to_string())),
        ("open", entity.open.len().to_string()),
        ("quarantined", entity.quarantined.len().to_string()),
        ("last error", entity.last_error.clone().unwrap_or_else(none)),
        ("because", place.reason.clone()),
    ]
}
