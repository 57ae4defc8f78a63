//! What a node has to say at its start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use quarry_core::{
    coordinator::{Founding, Member},
    lease::LeaseTimes,
};
use quarry_plane::{Cookie, Protocol, Security};
use quarry_types::{BootId, ClusterId, NodeId, Role};

use crate::times::Times;

/// What a node has to say at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This process: random per start (L5). [`start`](crate::start) puts the number of the data directory
    /// into it.
    pub boot: BootId,
    /// The versions of the protocol that it speaks: [`Protocol::CURRENT`], but in tests.
    pub protocol: Protocol,
    /// The voters with the addresses (`host:port`) of their control planes, the same everywhere.
    pub voters: BTreeMap<NodeId, String>,
    /// Where this node's control plane listens (`host:port`); `--cluster`.
    pub listen: String,
    /// Where others reach it.
    pub advertise: String,
    /// The node's own directory. It is locked for the life of the process.
    pub data_dir: PathBuf,
    /// The secret of the cluster.
    pub cookie: Cookie,
    /// What becomes of the control plane's connections before anything is said on them.
    pub security: Security,
    /// The cluster's name; a node of another one is not spoken to.
    pub cluster_name: String,
    /// Intervals and limits.
    pub times: Times,
    /// What this node does.
    pub roles: BTreeSet<Role>,
    /// Its share of the shards; 100 is usual.
    pub weight: u32,
    /// Its labels.
    pub groups: BTreeSet<String>,
    /// `host:port` of its HTTP listener, as others reach it.
    pub http: String,
    /// `host:port` of its message plane, as others reach it.
    pub mesh: String,
    /// Into how many shards a new cluster is divided: a power of two.
    pub shards: u32,
    /// How many shards may move for balance at a time.
    pub max_moves: u32,
    /// What is said of entity types where this node makes the cluster.
    pub founding: Founding,
    /// The cluster that the store belongs to already, where it belongs to one.
    pub existing_identity: Option<ClusterId>,
    /// What to do when the store belongs to a cluster and this voter's directory is empty.
    pub recovery: Recovery,
}

/// What a voter with an empty directory does when its store belongs to a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// It asks the other voters whether it was ever here, and refuses to start if so, or if nobody
    /// can tell.
    #[default]
    Refuse,
    /// The data of all voters are lost, says the operator: the cluster is made anew under its old
    /// id. Shards get epochs above those that the store recorded as they are loaded.
    AllVotersLost,
}

impl Config {
    /// Whether this node is a voter.
    pub fn is_voter(&self) -> bool {
        self.voters.contains_key(&self.node)
    }

    /// What this process says of itself when it joins.
    pub(crate) fn member(&self) -> Member {
        Member {
            id: self.node,
            boot: self.boot,
            roles: self.roles.clone(),
            weight: self.weight,
            groups: self.groups.clone(),
            http: self.http.clone(),
            control: self.advertise.clone(),
            mesh: self.mesh.clone(),
        }
    }

    /// The times of leases, or what is wrong with the configuration, for people.
    pub(crate) fn check(&self) -> Result<LeaseTimes, Vec<String>> {
        let mut mistakes = Vec::new();
        if self.voters.is_empty() {
            mistakes.push("at least one voter is needed".to_owned());
        }
        match self.times.leases() {
            Ok(leases) if mistakes.is_empty() => Ok(leases),
            Ok(_) => Err(mistakes),
            Err(errors) => {
                mistakes.extend(errors.iter().map(ToString::to_string));
                Err(mistakes)
            }
        }
    }
}
