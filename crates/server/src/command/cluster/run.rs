//! `quarry cluster …`.

use quarry_types::{
    DEFAULT_GROUP, NodeState, Role,
    api::{Binding, Cluster, Node, Protection, Shard, Split},
};

use super::{certs, drain, moves, split, voters};
use crate::{
    cli::{BindArguments, ClusterCommand, Format, Global},
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
        ClusterCommand::Nodes => {
            let cluster = client()?.cluster().await?;
            nodes(&cluster.nodes, output)?;
            say_when(cluster.applied, cluster.leader, output);
            Ok(())
        }
        ClusterCommand::Shards => {
            let all = client()?.shards().await?;
            shards(&all.shards, output)?;
            say_when(all.applied, all.leader, output);
            Ok(())
        }
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
        ClusterCommand::Bind(BindArguments { entity_type, group }) => {
            let bound = client()?.bind_type(entity_type, group).await?;
            let facts = [
                ("type", bound.entity_type.clone()),
                ("group", bound.group.clone()),
                ("log index", bound.applied.to_string()),
            ];
            output.record(&facts, &bound)
        }
        ClusterCommand::Certs(arguments) => certs::run(arguments, output),
    }
}

/// Which state of the coordinator is shown, by its log index and leader.
pub(crate) fn seen_at(applied: u64, leader: Option<u64>) -> String {
    let leader = leader.map_or_else(String::new, |leader| format!(", led by node {leader}"));
    format!("log index {applied}{leader}")
}

/// Says it beside a table.
fn say_when(applied: u64, leader: Option<u64>, output: Output) {
    if output.format() == Format::Table {
        output.say(&format!("as of {}", seen_at(applied, leader)));
    }
}

fn status(cluster: &Cluster, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], cluster);
    }
    let leader = cluster.leader.map_or_else(|| "none".to_owned(), |node| format!("node {node}"));
    let voters: Vec<String> = cluster.voters.iter().map(u64::to_string).collect();
    let shards = &cluster.shards;
    let bound = |binding: &Binding| format!("{} on {}", binding.entity_type, binding.group);
    let bindings: Vec<String> = cluster.bindings.iter().map(bound).collect();
    let mut facts = vec![
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
    ];
    if !bindings.is_empty() {
        facts.push(("bound", bindings.join(", ")));
    }
    let seen = format!("log index {}, seen by node {}", cluster.applied, cluster.node);
    facts.push(("as of", seen));
    output.line(&format!("{}\n", aligned(&facts)))?;
    nodes(&cluster.nodes, output)
}

fn nodes(nodes: &[Node], output: Output) -> Result<(), Failure> {
    output.list(&["node", "state", "shards", "weight", "groups", "roles", "http"], nodes, |node| {
        vec![
            node.id.to_string(),
            state_name(node.state).to_owned(),
            node.shards.to_string(),
            node.weight.to_string(),
            if node.groups.is_empty() { DEFAULT_GROUP.to_owned() } else { node.groups.join(",") },
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
