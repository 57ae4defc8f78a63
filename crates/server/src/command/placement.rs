//! `quarry placement …`.

use quarry_types::api::Placement;

use super::{
    cluster::seen_at,
    connection::{address, connect},
};
use crate::{
    cli::{ExplainArguments, Format, Global, PlacementCommand},
    failure::Failure,
    output::{Output, aligned},
};

/// Runs the command.
pub(crate) async fn run(
    command: &PlacementCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let PlacementCommand::Explain(ExplainArguments { entity }) = command;
    let placement = connect(global)?.placement(&address(entity)?).await?;
    if output.format() != Format::Table {
        return output.record(&[], &placement);
    }
    output.line(&format!("{}\n", aligned(&facts(&placement))))?;
    let owner = placement.shard.and_then(|shard| shard.owner);
    output.list(&["node", "cost", "load", "share", "owner"], &placement.candidates, |candidate| {
        vec![
            candidate.node.to_string(),
            candidate.cost.to_string(),
            candidate.load.to_string(),
            candidate.share.to_string(),
            if owner == Some(candidate.node) { "yes" } else { "" }.to_owned(),
        ]
    })
}

fn facts(placement: &Placement) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("entity", format!("{}/{}", placement.entity_type, placement.id)),
        ("tenant", placement.tenant.clone()),
        ("slot", placement.slot.to_string()),
        ("group", format!("{}, space {}", placement.group, placement.space)),
    ];
    if let Some(shard) = &placement.shard {
        facts.push(("shard", format!("{}, slots {} to {}", shard.id, shard.first, shard.last)));
        let owner = shard.owner.map_or_else(|| "nobody".to_owned(), |node| format!("node {node}"));
        let at = placement.owner_http.as_ref().map(|http| format!(" at {http}"));
        facts.push(("owner", format!("{owner}{}", at.unwrap_or_default())));
        facts.push(("epoch", shard.epoch.to_string()));
    }
    facts.push(("why", placement.reason.clone()));
    facts.push(("as of", seen_at(placement.applied, placement.leader)));
    facts
}
