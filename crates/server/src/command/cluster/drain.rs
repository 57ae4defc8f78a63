//! `quarry cluster drain` and `undrain`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use quarry_client::Client;
use quarry_ports::Host;
use quarry_types::{NodeId, api::Change};

use crate::{
    cli::DrainArguments,
    failure::{Exit, Failure},
    output::Output,
};

/// How often the cluster is asked how far a drain is.
const PAUSE: Duration = Duration::from_millis(200);

/// Drains nodes, and waits for it where that is asked for.
pub(super) async fn drain(
    client: &Client,
    arguments: &DrainArguments,
    output: Output,
) -> Result<(), Failure> {
    let nodes = ids(&arguments.nodes.nodes);
    let change = client.drain(&nodes).await?;
    if let Some(limit) = arguments.wait {
        until_empty(client, &nodes, limit).await?;
        return say("drained", &change, output);
    }
    say("draining", &change, output)
}

/// Lets nodes take shards again.
pub(super) async fn undrain(client: &Client, nodes: &[u64], output: Output) -> Result<(), Failure> {
    say("taking shards", &client.undrain(&ids(nodes)).await?, output)
}

fn ids(nodes: &[u64]) -> Vec<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// Waits until the nodes own no shard; a bar shows how many are left.
async fn until_empty(client: &Client, nodes: &[NodeId], limit: Duration) -> Result<(), Failure> {
    let host = Host::system();
    let deadline = host.now().after(limit);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} shards handed over")
        .map_err(anyhow::Error::from)?;
    let bar = ProgressBar::no_length().with_style(style);
    let mut most = 0;
    loop {
        let left = owned(client, nodes).await?;
        most = most.max(left);
        bar.set_length(most);
        bar.set_position(most.saturating_sub(left));
        if left == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if deadline.since(host.now()).is_zero() {
            bar.abandon();
            let message = format!("{left} shards are not handed over after {} s", limit.as_secs());
            return Err(Failure::new(Exit::Unavailable, message).advise(
                "the drain goes on; `quarry cluster plan` says what waits for a runner that can \
                 take it",
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn owned(client: &Client, nodes: &[NodeId]) -> Result<u64, Failure> {
    let cluster = client.cluster().await?;
    let of_these = cluster.nodes.iter().filter(|node| nodes.contains(&NodeId(node.id)));
    Ok(of_these.map(|node| u64::from(node.shards)).sum())
}

fn say(what: &str, change: &Change, output: Output) -> Result<(), Failure> {
    let nodes: Vec<String> = change.nodes.iter().map(u64::to_string).collect();
    let facts = [
        (if nodes.len() == 1 { "node" } else { "nodes" }, nodes.join(", ")),
        ("state", what.to_owned()),
        ("log index", change.applied.to_string()),
    ];
    output.record(&facts, change)
}
