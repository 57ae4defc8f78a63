//! What a node has to say at its start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use quarry_core::{
    coordinator::{Founding, Member},
    lease::LeaseTimes,
};
use quarry_plane::{Cookie, Protocol, Security};
use quarry_types::{BootId, ClusterId, NodeId, Role};

/// What a node has to say at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// This process: random per start (L5).
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

/// Intervals and limits of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often a runner asks for its lease to be renewed.
    pub heartbeat: Duration,
    /// How long a lease lives.
    pub lease_ttl: Duration,
    /// How often the leader looks whether shards should move for balance.
    pub rebalance: Duration,
    /// How often Raft's leader tells its followers that it is there.
    pub raft_heartbeat: Duration,
    /// The shortest time after which a voter stands for election. It is counted from when the
    /// leader's hold on its followers has ended, `election_max` after they last heard of it: so a
    /// new leader is there between the sum of both and twice `election_max` after the old one died.
    pub election_min: Duration,
    /// The longest.
    pub election_max: Duration,
    /// How large the log may become before it is compacted, in bytes.
    pub log_bytes: u64,
    /// How often a voter looks whether to compact.
    pub compaction: Duration,
    /// How old the oldest entry outside of the snapshot may become.
    pub log_age: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            lease_ttl: Duration::from_secs(3),
            rebalance: Duration::from_secs(5),
            raft_heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            log_bytes: 1024 * 1024,
            compaction: Duration::from_secs(5),
            log_age: Duration::from_hours(1),
        }
    }
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
        let times = &self.times;
        let mut mistakes = Vec::new();
        let mut expect = |holds: bool, text: &str| {
            if !holds {
                mistakes.push(text.to_owned());
            }
        };
        expect(!self.voters.is_empty(), "at least one voter is needed");
        expect(!times.raft_heartbeat.is_zero(), "the Raft heartbeat cannot be zero");
        expect(
            times.election_min >= times.raft_heartbeat.saturating_mul(2),
            "the election timeout has to be at least two Raft heartbeats",
        );
        expect(
            times.election_max > times.election_min,
            "the longest election timeout has to be above the shortest",
        );
        match LeaseTimes::new(times.heartbeat, times.lease_ttl) {
            Ok(leases) => {
                expect(
                    leases.runner_span() > times.election_max.saturating_mul(2),
                    "leases have to outlive an election: 85 % of the lease time must be over twice the longest election timeout",
                );
                if mistakes.is_empty() { Ok(leases) } else { Err(mistakes) }
            }
            Err(error) => {
                mistakes.push(error.to_string());
                Err(mistakes)
            }
        }
    }
}
