//! `quarry cluster plan` and `moves`.

use quarry_client::Client;
use quarry_types::{
    MoveReason, NodeId,
    api::{Moves, Plan},
};

use super::seen_at;
use crate::{
    cli::{Format, PlanArguments},
    failure::Failure,
    output::Output,
};

/// Shows what would change hands.
pub(super) async fn plan(
    client: &Client,
    arguments: &PlanArguments,
    output: Output,
) -> Result<(), Failure> {
    let lost: Vec<NodeId> = arguments.if_lost.iter().copied().map(NodeId).collect();
    let plan = client.plan(&lost).await?;
    if output.format() != Format::Table {
        return output.record(&[], &plan);
    }
    output.list(&["shard", "from", "to", "reason", "how"], &plan.moves, |change| {
        vec![
            change.shard.to_string(),
            node(change.from),
            change.to.to_string(),
            reason(change.reason).to_owned(),
            if change.handed_over { "handed over" } else { "taken at once" }.to_owned(),
        ]
    })?;
    output.line(&format!("\n{}", summary(&plan)))
}

fn summary(plan: &Plan) -> String {
    let moves = match plan.moves.len() {
        0 => "no shard changes hands".to_owned(),
        1 => "1 shard changes hands".to_owned(),
        many => format!("{many} shards change hands"),
    };
    let waiting = match plan.waiting.len() {
        0 => String::new(),
        many => format!("; {many} wait for a runner that can take them"),
    };
    format!("{moves}{waiting} (as of {})", seen_at(plan.applied, plan.leader))
}

/// Shows what changed hands.
pub(super) fn list(moves: &Moves, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], moves);
    }
    let columns = ["log index", "at", "from", "to", "shards", "epoch", "reason"];
    output.list(&columns, &moves.moves, |told| {
        vec![
            told.index.to_string(),
            told.at.clone(),
            node(told.from),
            told.to.to_string(),
            shards(&told.shards, told.count),
            told.epoch.to_string(),
            reason(told.reason).to_owned(),
        ]
    })
}

/// How many, and the first of them.
fn shards(ids: &[u32], count: u32) -> String {
    const SHOWN: usize = 4;
    let first: Vec<String> = ids.iter().take(SHOWN).map(u32::to_string).collect();
    let more = usize::try_from(count).unwrap_or(usize::MAX) > first.len();
    format!("{count}: {}{}", first.join(","), if more { ",…" } else { "" })
}

fn node(id: Option<u64>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| id.to_string())
}

const fn reason(reason: MoveReason) -> &'static str {
    match reason {
        MoveReason::Founded => "granted for the first time",
        MoveReason::Unowned => "nobody owned it",
        MoveReason::LeaseOver => "the owner's lease ran out",
        MoveReason::Goodbye => "the owner said goodbye",
        MoveReason::Restarted => "the owner's process was replaced",
        MoveReason::Drained => "the owner is drained",
        MoveReason::Balanced => "the owner had more than its share",
        MoveReason::EpochRaised => "the store knew a higher epoch",
        MoveReason::Split => "a half of a shard that was split",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_many_shards_are_named() {
        assert_eq!(shards(&[7], 1), "1: 7");
        assert_eq!(shards(&[1, 2, 3, 4], 4), "4: 1,2,3,4");
        assert_eq!(shards(&[1, 2, 3, 4, 5], 85), "85: 1,2,3,4,…");
    }
}
