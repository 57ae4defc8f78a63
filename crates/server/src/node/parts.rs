//! Starts the parts of a node, each from its settings.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use quarry_consensus::{Consensus, Recovery, StartError as ConsensusError};
use quarry_core::coordinator::Founding;
use quarry_mesh::Mesh;
use quarry_plane::Protocol;
use quarry_ports::{Host, Metrics, Store};
use quarry_store::OpenError;
use quarry_types::{BootId, ClusterId, EntityType, NodeId};

use super::{addresses::Addresses, guard::Guard, recover};
use crate::{
    configuration::Settings,
    failure::{Exit, Failure},
};

/// What the coordinator is told beside the settings.
pub(crate) struct Coordination {
    /// This process.
    pub(crate) boot: BootId,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The cluster that the store belongs to already.
    pub(crate) identity: Option<ClusterId>,
    /// What to do when the coordinator's data are gone.
    pub(crate) recovery: Recovery,
    /// What is said of entity types where this node makes the cluster.
    pub(crate) founding: Founding,
}

/// Opens the store.
pub(crate) async fn store(
    settings: &Settings,
    data: &Path,
    host: &Host,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, Failure> {
    let url = store_url(settings, data);
    let options = quarry_store::Options {
        allow_unsafe_durability: settings.store.allow_unsafe_durability,
        take_from_other_host: settings.store.take_from_other_host,
        ..quarry_store::Options::default()
    };
    let opened = quarry_store::open(&url, options, host.clone(), metrics.clone()).await;
    opened.map_err(|error| no_store(&error))
}

fn store_url(settings: &Settings, data: &Path) -> String {
    settings.store.url.as_ref().map_or_else(
        || format!("sqlite://{}", data.join("quarry.db").display()),
        |url| url.reveal().to_owned(),
    )
}

fn no_store(error: &OpenError) -> Failure {
    let exit =
        if matches!(error, OpenError::Database { .. }) { Exit::Unavailable } else { Exit::Failed };
    let failure = Failure::new(exit, error.to_string());
    // The others say by themselves what to do.
    match error {
        OpenError::OtherHost { .. } => failure,
        _ => failure.advise("check --store (store.url)"),
    }
}

/// What is said of entity types where this node makes the cluster: what is configured, and where the
/// coordinator's data were lost, what the opened store has rows of. A node that may make it anew and
/// knows it still only goes on.
pub(crate) async fn founding(
    settings: &Settings,
    data: &Path,
    bindings: BTreeMap<EntityType, String>,
    recovery: Recovery,
) -> Result<Founding, Failure> {
    let founding = match recovery {
        Recovery::Refuse => Founding { bindings, ..Founding::default() },
        Recovery::AllVotersLost => {
            let uses = quarry_store::uses(&store_url(settings, data)).await;
            let uses = uses.map_err(|error| no_store(&error))?;
            match recover::founding(bindings.clone(), uses) {
                Ok(founding) => founding,
                Err(_) if quarry_consensus::knows_cluster(data).await => {
                    Founding { bindings, ..Founding::default() }
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    recover::tried(&founding, settings.cluster.shards, settings.cluster.max_moves)?;
    Ok(founding)
}

/// Starts the message plane.
pub(crate) async fn mesh(
    settings: &Settings,
    addresses: &Addresses,
    guard: &Guard,
    host: &Host,
    metrics: &Metrics,
) -> Result<Arc<Mesh>, Failure> {
    let config = quarry_mesh::Config {
        node: NodeId(settings.node.id),
        protocol: Protocol::CURRENT,
        cluster_name: settings.cluster.name.clone(),
        cookie: guard.cookie.clone(),
        security: guard.security("mesh"),
        listen: addresses.mesh.to_string(),
        limits: quarry_mesh::Limits::default(),
    };
    let started = quarry_mesh::start(config, host.clone(), metrics.clone()).await;
    started.map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// Starts the coordinator of this node.
pub(crate) async fn consensus(
    settings: &Settings,
    addresses: &Addresses,
    guard: &Guard,
    coordination: Coordination,
    host: &Host,
    metrics: &Metrics,
) -> Result<Arc<Consensus>, Failure> {
    let cluster = &settings.cluster;
    let node = NodeId(settings.node.id);
    let mut voters: BTreeMap<NodeId, String> =
        cluster.voters.iter().map(|voter| (voter.node, voter.control.clone())).collect();
    if voters.is_empty() {
        voters.insert(node, addresses.advertised_cluster.clone());
    }
    let config = quarry_consensus::Config {
        node,
        boot: coordination.boot,
        protocol: Protocol::CURRENT,
        voters,
        listen: addresses.cluster.to_string(),
        advertise: addresses.advertised_cluster.clone(),
        data_dir: coordination.data,
        cookie: guard.cookie.clone(),
        security: guard.security("control"),
        cluster_name: cluster.name.clone(),
        times: cluster.times(),
        roles: settings.node.roles.clone(),
        weight: cluster.weight,
        groups: cluster.groups.clone(),
        http: addresses.http.clone(),
        mesh: addresses.advertised_mesh.clone(),
        shards: cluster.shards,
        max_moves: cluster.max_moves,
        founding: coordination.founding,
        existing_identity: coordination.identity,
        recovery: coordination.recovery,
    };
    quarry_consensus::start(config, host.clone(), metrics.clone())
        .await
        .map_err(|error| explain(&error))
}

fn explain(error: &ConsensusError) -> Failure {
    let exit = match error {
        ConsensusError::Configuration { .. } => Exit::Usage,
        ConsensusError::DirectoryInUse { .. }
        | ConsensusError::DirectoryLost { .. }
        | ConsensusError::StandingUnknown { .. } => Exit::Refused,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, error.to_string());
    match error {
        ConsensusError::DirectoryInUse { .. } => {
            failure.advise("stop that process, or name another directory with --data")
        }
        _ => failure,
    }
}
