//! The configuration as values: what the wiring reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    time::Duration,
};

use quarry_consensus::Times;
use quarry_plane::Files;
use quarry_types::{NodeId, Role, parse_duration};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    bytes::parse_bytes,
    kind::{parse_voters, split_host_port},
    secret::Secret,
};

/// Everything a node is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// This process.
    pub(crate) node: NodeSettings,
    /// The cluster it belongs to.
    pub(crate) cluster: ClusterSettings,
    /// Where messages and states are stored.
    pub(crate) store: StoreSettings,
    /// How entities are hosted.
    pub(crate) entities: EntitiesSettings,
    /// How HTTP is answered.
    pub(crate) http: HttpSettings,
    /// What it says about itself.
    pub(crate) telemetry: TelemetrySettings,
}

/// How entities are hosted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitiesSettings {
    /// Messages that may wait for one entity.
    pub(crate) mailbox: usize,
    /// Attempts until a message is set aside.
    pub(crate) attempts: u32,
    /// Queries of one entity that run side by side.
    pub(crate) concurrency: usize,
    /// Entities of one type in the memory of a node at a time.
    pub(crate) residents: usize,
    /// What an entity does with its later messages then.
    pub(crate) after_quarantine: AfterQuarantine,
    /// How long an entity without messages stays in memory.
    #[serde(deserialize_with = "duration")]
    pub(crate) idle_after: Duration,
    /// The group of runners on which all types live in a new cluster.
    pub(crate) group: Option<String>,
    /// What single types have of their own, by name as it was written.
    #[serde(default)]
    pub(crate) types: BTreeMap<String, TypeSettings>,
}

/// What an entity does with its later messages while one is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterQuarantine {
    /// It handles them.
    GoOn,
    /// They wait.
    Wait,
}

/// What one entity type has of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeSettings {
    /// Messages that may wait for one entity.
    pub(crate) mailbox: Option<usize>,
    /// Attempts until a message is set aside.
    pub(crate) attempts: Option<u32>,
    /// Queries of one entity that run side by side.
    pub(crate) concurrency: Option<usize>,
    /// Entities of the type in the memory of a node at a time.
    pub(crate) residents: Option<usize>,
    /// What an entity does with its later messages then.
    pub(crate) after_quarantine: Option<AfterQuarantine>,
    /// How long an entity without messages stays in memory.
    #[serde(default, deserialize_with = "some_duration")]
    pub(crate) idle_after: Option<Duration>,
    /// How long an outcome is kept.
    #[serde(default, deserialize_with = "some_duration")]
    pub(crate) retention: Option<Duration>,
    /// The group of runners on which it lives in a new cluster.
    pub(crate) group: Option<String>,
}

/// How HTTP is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSettings {
    /// The largest body of a request, in bytes.
    #[serde(deserialize_with = "bytes")]
    pub(crate) body_limit: usize,
    /// How long a call waits where its request does not say.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Duration,
    /// Requests answered at a time.
    pub(crate) in_flight: usize,
}

/// This process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSettings {
    /// Its number.
    pub(crate) id: u64,
    /// What it does.
    #[serde(deserialize_with = "roles")]
    pub(crate) roles: BTreeSet<Role>,
    /// Where it keeps what is its own.
    pub(crate) data_dir: PathBuf,
    /// Where it answers HTTP.
    pub(crate) http: Listen,
    /// Where its control plane listens.
    pub(crate) cluster: Listen,
    /// Where its message plane listens.
    pub(crate) mesh: Listen,
    /// The host under which others reach it.
    pub(crate) advertise: Option<String>,
    /// How long running handlers may go on after SIGTERM.
    #[serde(deserialize_with = "duration")]
    pub(crate) drain_time: Duration,
    /// Entities in memory at a time.
    pub(crate) residents: usize,
    /// Memory for the states of other entities, in bytes.
    #[serde(deserialize_with = "bytes")]
    pub(crate) dormant_memory: usize,
}

/// The cluster it belongs to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterSettings {
    /// Its name.
    pub(crate) name: String,
    /// The coordinator's voters; empty for this node alone.
    #[serde(default, deserialize_with = "voters")]
    pub(crate) voters: Vec<Voter>,
    /// The secret that all nodes share.
    pub(crate) cookie: Option<Secret>,
    /// A file that holds it.
    pub(crate) cookie_file: Option<PathBuf>,
    /// The credentials of this node.
    #[serde(default)]
    pub(crate) tls: TlsSettings,
    /// Whether the planes may go beyond loopback without TLS.
    pub(crate) insecure: bool,
    /// How many shards a new cluster begins with.
    pub(crate) shards: u32,
    /// How often a runner renews its lease.
    #[serde(deserialize_with = "duration")]
    pub(crate) heartbeat: Duration,
    /// How long a lease lasts.
    #[serde(deserialize_with = "duration")]
    pub(crate) lease_ttl: Duration,
    /// This node's share of the shards.
    pub(crate) weight: u32,
    /// This node's labels.
    #[serde(default, deserialize_with = "words")]
    pub(crate) groups: BTreeSet<String>,
    /// How often the leader looks whether shards should move for balance.
    #[serde(deserialize_with = "duration")]
    pub(crate) rebalance_interval: Duration,
    /// How many shards may move for balance at a time.
    pub(crate) max_moves: u32,
    /// How large the coordinator's log may become before a snapshot takes its place, in bytes.
    #[serde(deserialize_with = "bytes")]
    pub(crate) snapshot_after: usize,
}

impl ClusterSettings {
    /// The intervals and limits of the coordinator.
    pub(crate) fn times(&self) -> Times {
        Times {
            heartbeat: self.heartbeat,
            lease_ttl: self.lease_ttl,
            rebalance: self.rebalance_interval,
            log_bytes: u64::try_from(self.snapshot_after).unwrap_or(u64::MAX),
            ..Times::default()
        }
    }
}

/// The credentials of this node: all of them, or none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// The certificate of the cluster's authority.
    pub(crate) ca: Option<PathBuf>,
    /// This node's certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Its private key.
    pub(crate) key: Option<PathBuf>,
}

impl TlsSettings {
    /// The files, where all of them are named.
    pub(crate) fn files(&self) -> Option<Files> {
        let Self { ca, cert, key } = self.clone();
        Some(Files { ca: ca?, cert: cert?, key: key? })
    }
}

/// Where messages and states are stored.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreSettings {
    /// Where; `None` for a SQLite file in the data directory.
    pub(crate) url: Option<Secret>,
    /// Take a database that may forget what it acknowledged.
    pub(crate) allow_unsafe_durability: bool,
    /// Take a SQLite file that another machine used last.
    pub(crate) take_from_other_host: bool,
    /// How long an outcome is kept.
    #[serde(deserialize_with = "duration")]
    pub(crate) retention: Duration,
}

/// What it says about itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetrySettings {
    /// Tracing directives.
    pub(crate) filter: Option<String>,
    /// How log lines look.
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// A voter of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voter {
    /// Its number.
    pub(crate) node: NodeId,
    /// `host:port` of its control plane.
    pub(crate) control: String,
}

/// `host:port` to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The host as written.
    pub(crate) host: String,
    /// The port; 0 for any.
    pub(crate) port: u16,
}

impl Listen {
    /// Whether only this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether it names every address of the machine, and thus none that others could use.
    pub(crate) fn is_unspecified(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (host, port) = split_host_port(&text).map_err(D::Error::custom)?;
        Ok(Self { host, port })
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let bytes = parse_bytes(&String::deserialize(deserializer)?).map_err(D::Error::custom)?;
    usize::try_from(bytes).map_err(D::Error::custom)
}

fn voters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Voter>, D::Error> {
    let voters = parse_voters(&String::deserialize(deserializer)?).map_err(D::Error::custom)?;
    Ok(voters.into_iter().map(|(id, control)| Voter { node: NodeId(id), control }).collect())
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.split(',').map(|word| word.trim().to_owned()).filter(|w| !w.is_empty()).collect())
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Role>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split(',')
        .map(|name| {
            Role::deserialize(serde::de::value::StrDeserializer::<D::Error>::new(name.trim()))
        })
        .collect()
}
