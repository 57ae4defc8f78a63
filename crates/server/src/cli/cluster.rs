//! Commands on the cluster.

use std::path::PathBuf;

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
    /// Make certificates for the nodes of a cluster; asks no server
    Certs(CertsArguments),
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

/// A node.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NodeArgument {
    /// The number of the node
    #[arg(value_name = "NODE")]
    pub(crate) node: u64,
}
