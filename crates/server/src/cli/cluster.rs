//! Commands on the cluster.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use quarry_types::parse_duration;

/// `quarry cluster …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Leader, nodes and how many shards each owns
    Status,
    /// The nodes
    Nodes,
    /// The shards: slots, owner, epoch
    Shards,
    /// What would change hands, also if nodes were lost
    Plan(PlanArguments),
    /// What changed hands lately, and why
    Moves,
    /// Move all shards off nodes; they stay up
    Drain(DrainArguments),
    /// Let nodes take shards again
    Undrain(NodeArguments),
    /// Let one node vote in the place of another, whose process has ended
    ReplaceVoter(ReplaceVoterArguments),
    /// Put two shards of half the slots in the place of one
    SplitShard(SplitArguments),
    /// Let an entity type that was never used live on one group of runners
    Bind(BindArguments),
    /// Make certificates for the nodes of a cluster; asks no server
    Certs(CertsArguments),
}

/// `quarry cluster replace-voter`.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "\
A voter whose machine or disk is lost is replaced in two steps: start a node under a number that was
never used, with an empty directory and with itself among its --voters in the place of the old one;
then say so to any node. The old number must not be started again. Where it was broken off, say it
once more.

Example:
  quarry serve --node 4 --voters 1=a:7411,3=c:7411,4=d:7411 …
  quarry cluster replace-voter 2 --by 4")]
pub(crate) struct ReplaceVoterArguments {
    /// The number of the voter that is lost
    #[arg(value_name = "NODE")]
    pub(crate) old: u64,
    /// The number of the node that votes instead
    #[arg(long, value_name = "NODE")]
    pub(crate) by: u64,
}

/// `quarry cluster certs`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Makes an authority in DIR where there is none yet, and uses the one that is there otherwise; for
each node a directory with three files to copy. It overwrites nothing.

Example:
  quarry cluster certs --out certs --nodes 1,2,3")]
pub(crate) struct CertsArguments {
    /// Where to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The numbers of the nodes
    #[arg(long, value_name = "ID,…", value_delimiter = ',', required = true)]
    pub(crate) nodes: Vec<u64>,
    /// The cluster's name, as cluster.name has it
    #[arg(long, value_name = "NAME", default_value = "quarry")]
    pub(crate) name: String,
    /// How long the nodes' certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=36_500))]
    pub(crate) days: i64,
}

/// `quarry cluster plan`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry cluster plan                          what is still to come of itself
  quarry cluster plan --if-lost 2 --if-lost 3  who would take what")]
pub(crate) struct PlanArguments {
    /// Take this node to be lost
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub(crate) if_lost: Vec<u64>,
}

/// Nodes.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArguments {
    /// The numbers of the nodes
    #[arg(value_name = "NODE", required = true, value_delimiter = ',')]
    pub(crate) nodes: Vec<u64>,
}

/// `quarry cluster drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrainArguments {
    /// Which nodes
    #[command(flatten)]
    pub(crate) nodes: NodeArguments,
    /// Wait until they own no shard any more, at most so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "5m", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
}

/// `quarry cluster split-shard`.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "\
The owner of the shard owns both halves at first; they can move apart from then on. A shard that was
split already is left as it is. `quarry cluster shards` lists the shards with their loads.

Examples:
  quarry cluster split-shard 17
  quarry cluster split-shard 17 --wait=30s   if it is moving, when it is there")]
pub(crate) struct SplitArguments {
    /// The number of the shard
    #[arg(value_name = "SHARD")]
    pub(crate) shard: u32,
    /// Wait until it is not moving any more, at most so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1m", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
}

/// `quarry cluster bind`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Entities of the type live on nodes with the group among their cluster.groups only. The group default
stands for all nodes. A type that was used stays where its entities are: it is bound before its first
message, here or by [entities.TYPE] group in the configuration with which the cluster is made.

Example:
  quarry cluster bind KGExtractor gpu")]
pub(crate) struct BindArguments {
    /// The entity type
    #[arg(value_name = "TYPE")]
    pub(crate) entity_type: String,
    /// The group
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
}

/// `quarry placement …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PlacementCommand {
    /// Where an entity lives, and why there
    Explain(ExplainArguments),
}

/// `quarry placement explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The entity
    #[arg(value_name = "TYPE/ID")]
    pub(crate) entity: String,
}
