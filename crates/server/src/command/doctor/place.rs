//! What hinders a message or an entity where it lives.

use quarry_types::{NodeState, api::Placement};

use super::{
    facts::Facts,
    finding::{Finding, Severity},
};

/// Where it lives, and what is wrong there.
pub(super) fn findings(facts: &Facts, of_cluster: &[Finding], place: &Placement) -> Vec<Finding> {
    let mut found = vec![owner(facts, place)];
    let owner = place.shard.as_ref().and_then(|shard| shard.owner);
    let concerns = |finding: &&Finding| {
        finding.severity < Severity::Notice
            && (finding.code == "no_quorum" || finding.nodes.iter().any(|id| Some(*id) == owner))
    };
    found.extend(of_cluster.iter().filter(concerns).cloned());
    found
}

/// Who owns its shard, or why nobody does.
fn owner(facts: &Facts, place: &Placement) -> Finding {
    let Some(shard) = &place.shard else {
        let what = format!("it waits for the first shards: {}", place.reason);
        return Finding::error("no_owner", what)
            .advise("the coordinator makes them when it has a leader and a runner has joined");
    };
    let lies = format!("slot {} lies in shard {}", place.slot, shard.id);
    let Some(owner) = shard.owner else {
        let what = format!("it waits for an owner: {lies}, which nobody owns");
        return Finding::error("no_owner", what).advise(
            "a runner that is up takes the shard within seconds; where none does, start one or \
             `quarry cluster undrain` one",
        );
    };
    let held = format!("{lies}, which node {owner} owns in epoch {}", shard.epoch);
    if facts.node(owner).is_some_and(|of| of.node.state == NodeState::Down) {
        let what = format!("it waits for another owner: {held}, and that node is down");
        return Finding::error("no_owner", what)
            .advise("another runner takes the shard when the lease is over, within seconds")
            .of([owner]);
    }
    match shard.moving_to {
        Some(next) => {
            let what = format!("{held}, and hands over to node {next}");
            Finding::notice("moving", what).advise("it goes on at the new owner").of([owner])
        }
        None => Finding::notice("owner", held).of([owner]),
    }
}
