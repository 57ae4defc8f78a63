//! `quarry cluster …`.

use quarry_types::{
    NodeState, Role,
    api::{Cluster, Node, Protection, Shard, Split},
};

use super::{certs, drain, moves, split, voters};
use crate::{
    cli::{ClusterCommand, Format, Global},
    command::connection::connect,
    failure::Failure,
    output::{Output, aligned},
};

/// Runs the command.
pub(crate) async fn run(
    command: &ClusterCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = || connect(global);
    match command {
        ClusterCommand::Status => status(&client()?.cluster().await?, output),
        ClusterCommand::Nodes => nodes(&client()?.cluster().await?.nodes, output),
        ClusterCommand::Shards => shards(&client()?.shards().await?.shards, output),
        ClusterCommand::Plan(arguments) => moves::plan(&client()?, arguments, output).await,
        ClusterCommand::Moves => moves::list(&client()?.moves().await?, output),
        ClusterCommand::Drain(arguments) => drain::drain(&client()?, arguments, output).await,
        ClusterCommand::Undrain(arguments) => {
            drain::undrain(&client()?, &arguments.nodes, output).await
        }
        ClusterCommand::ReplaceVoter(arguments) => {
            voters::replace(&client()?, *arguments, output).await
        }
        ClusterCommand::SplitShard(arguments) => {
            halves(&split::split(&client()?, *arguments).await?, output)
        }
        ClusterCommand::Certs(arguments) => certs::run(arguments, output),
    }
}

fn status(cluster: &Cluster, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], cluster);
    }
    let leader = cluster.leader.map_or_else(|| "none".to_owned(), |node| format!("node {node}"));
    let voters: Vec<String> = cluster.voters.iter().map(u64::to_string).collect();
    let shards = &cluster.shards;
    let facts = [
        ("leader", format!("{leader}, term {}", cluster.term)),
        ("voters", voters.join(", ")),
        ("quorum", if cluster.has_quorum { "yes" } else { "no" }.to_owned()),
        ("planes", protection_name(cluster.planes).to_owned()),
        (
            "shards",
            format!(
                "{} in all, {} owned, {} unowned, {} moving",
                shards.total, shards.owned, shards.unowned, shards.moving
            ),
        ),
        ("as of", format!("log index {}, seen by node {}", cluster.applied, cluster.node)),
    ];
    output.line(&format!("{}\n", aligned(&facts)))?;
    nodes(&cluster.nodes, output)
}

fn nodes(nodes: &[Node], output: Output) -> Result<(), Failure> {
    output.list(&["node", "state", "shards", "weight", "roles", "http"], nodes, |node| {
        vec![
            node.id.to_string(),
            state_name(node.state).to_owned(),
            node.shards.to_string(),
            node.weight.to_string(),
            node.roles.iter().copied().map(role_name).collect::<Vec<_>>().join(","),
            node.http.clone(),
        ]
    })
}

fn shards(shards: &[Shard], output: Output) -> Result<(), Failure> {
    let node = |id: Option<u64>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    output.list(&["shard", "slots", "owner", "epoch", "moving to", "load"], shards, |shard| {
        vec![
            shard.id.to_string(),
            format!("{}-{}", shard.first, shard.last),
            node(shard.owner),
            shard.epoch.to_string(),
            node(shard.moving_to),
            shard.load.to_string(),
        ]
    })
}

fn halves(split: &Split, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], split);
    }
    shards(&split.parts, output)
}

const fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Down => "down",
    }
}

const fn protection_name(protection: Protection) -> &'static str {
    match protection {
        Protection::Tls => "mutual TLS",
        Protection::Loopback => "on this machine only, without TLS",
        Protection::Insecure => "INSECURE: beyond this machine without TLS (cluster.insecure)",
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Runner => "runner",
        Role::Coordinator => "coordinator",
        Role::Gateway => "gateway",
        Role::Limiter => "limiter",
    }
}
