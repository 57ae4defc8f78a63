//! Commands on the cluster.

use clap::{Args, Subcommand};

/// `quarry cluster …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Leader, nodes and how many shards each owns
    Status,
    /// The nodes
    Nodes,
    /// The shards: slots, owner, epoch
    Shards,
    /// Move all shards off a node; it stays up
    Drain(NodeArgument),
    /// Let a node take shards again
    Undrain(NodeArgument),
}

/// A node.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NodeArgument {
    /// The number of the node
    #[arg(value_name = "NODE")]
    pub(crate) node: u64,
}
