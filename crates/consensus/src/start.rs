//! Starts the coordinator of a node.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use openraft::{
    BasicNode, Raft, SnapshotPolicy,
    errors::{InitializeError, RaftError},
};
use quarry_core::{coordinator::Loads, lease::LeaseTimes};
use quarry_plane::Refusals;
use quarry_ports::{Host, LeaseGuard, Metrics, Task};
use quarry_types::{ClusterId, NodeId};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    ask::Asker,
    compaction::compact,
    config::{Config, Recovery},
    consensus::{Consensus, Threads, stop_renewing},
    control::{FollowRequest, Links, Network, PATIENCE, Plane, Policy, serve},
    directory::{Directory, LockError},
    duty::{self, Duty, Foundation},
    follow::follow,
    keeper::{Keeper, Standing},
    leader::Lead,
    storage::{self, StorageError},
    view::Views,
};

/// Threads of Raft and heartbeats.
const THREADS: usize = 2;
/// How long a voter with an empty directory asks the others about itself.
const STANDING_LIMIT: Duration = Duration::from_secs(10);

/// Why the coordinator of a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("the coordinator's configuration is wrong: {}", mistakes.join("; "))]
    Configuration {
        /// What is wrong, each for itself.
        mistakes: Vec<String>,
    },
    /// Another process has the data directory.
    #[error("{path} is in use by another process of this node", path = path.display())]
    DirectoryInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of the control plane cannot be listened on.
    #[error("cannot listen on {address} for the control plane (--cluster): {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The coordinator's file cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A voter's data were lost.
    #[error(
        "voter {node} has an empty data directory, and the store belongs to cluster {cluster:016x} \
         already: replace the voter with `quarry cluster replace-voter`, or, if the data of all \
         voters are lost, start all of them with `--recover-coordinator`",
        cluster = cluster.0
    )]
    DirectoryLost {
        /// This voter.
        node: NodeId,
        /// The cluster that the store belongs to.
        cluster: ClusterId,
    },
    /// Whether a voter's data were lost could not be found out.
    #[error(
        "voter {node} has an empty data directory, the store belongs to cluster {cluster:016x}, and \
         no other voter could say whether this one is new: start the others first, replace the voter \
         with `quarry cluster replace-voter`, or, if the data of all voters are lost, start all of \
         them with `--recover-coordinator`",
        cluster = cluster.0
    )]
    StandingUnknown {
        /// This voter.
        node: NodeId,
        /// The cluster that the store belongs to.
        cluster: ClusterId,
    },
    /// Raft does not start.
    #[error("Raft does not start: {reason}")]
    Raft {
        /// What it said.
        reason: String,
    },
    /// The system gives no threads.
    #[error("cannot start the coordinator's threads: {0}")]
    Threads(std::io::Error),
}

/// Starts the coordinator of a node on threads of its own: locks the data directory, serves the
/// control plane, takes part in Raft where the node is a voter, joins, and keeps the lease. Returns
/// when it serves; the lease is held soon after.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    config: Config,
    host: Host,
    metrics: Metrics,
) -> Result<Arc<Consensus>, StartError> {
    let leases = config.check().map_err(|mistakes| StartError::Configuration { mistakes })?;
    let directory = Directory::lock(&config.data_dir).map_err(|error| match error {
        LockError::Held => StartError::DirectoryInUse { path: config.data_dir.clone() },
        LockError::Io(source) => StartError::Directory { path: config.data_dir.clone(), source },
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("quarry-coordinator")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let handle = runtime.handle().clone();
    let threads = Threads::new(runtime);
    let began = handle.spawn(begin(config, leases, host, metrics, directory, threads)).await;
    began.unwrap_or_else(|error| Err(StartError::Raft { reason: error.to_string() }))
}

/// The part of the start that runs on the coordinator's own threads, so that all tasks live there.
async fn begin(
    config: Config,
    leases: LeaseTimes,
    host: Host,
    metrics: Metrics,
    directory: Directory,
    threads: Threads,
) -> Result<Arc<Consensus>, StartError> {
    let listener = TcpListener::bind(&config.listen)
        .await
        .map_err(|source| StartError::Listen { address: config.listen.clone(), source })?;
    let views = Arc::new(Views::new());
    let policy = policy(&config, &metrics);
    let links = Arc::new(Links::new(policy.clone(), config.voters.clone()));
    let lead = if config.is_voter() {
        Some(vote(&config, leases, &host, &links, &views, &directory).await?)
    } else {
        None
    };
    let asker =
        Asker::new(config.node, lead.clone(), Arc::clone(&links), views.clone(), host.clone());
    let asker = Arc::new(asker);
    let plane = Plane::new(config.node, policy, Arc::clone(&views), lead.clone());
    let stop_serving = serve_plane(listener, plane, &host);
    let guard = LeaseGuard::new(Arc::clone(&host.clock));
    let (standing, stands) = watch::channel(Standing::default());
    let (heard, last_heard) = watch::channel(None);
    let (loads, reported) = watch::channel(Loads::new());
    let keeper = Keeper {
        member: config.member(),
        leases,
        asker: Arc::clone(&asker),
        views: Arc::clone(&views),
        host: host.clone(),
        metrics: metrics.clone(),
        guard: guard.clone(),
        standing,
        loads: reported,
        heard,
    };
    let keeper = Arc::new(Mutex::new(Some(host.spawn("coordinator lease", keeper.run()))));
    let failed = if let Some(lead) = &lead {
        watch_raft(Arc::clone(lead), Arc::clone(&views), metrics, guard.clone(), &keeper, &host)
    } else {
        let request = FollowRequest { node: config.node };
        let following = follow(request, links, Arc::clone(&asker), Arc::clone(&views), metrics);
        drop(host.spawn("coordinator views", following));
        watch::Sender::new(None).subscribe()
    };
    Ok(Arc::new(Consensus {
        config,
        host,
        views,
        guard,
        asker,
        lead,
        standing: stands,
        heard: last_heard,
        loads,
        failure: failed,
        stop_serving,
        keeper,
        runtime: threads,
        _directory: directory,
    }))
}

/// Who may speak on the control plane.
fn policy(config: &Config, metrics: &Metrics) -> Policy {
    Policy {
        cluster: config.cluster_name.clone(),
        cookie: config.cookie.clone(),
        security: config.security.clone(),
        refusals: Arc::new(Refusals::new("control", metrics.control_refused.clone())),
    }
}

/// Serves the control plane until the sender says so.
fn serve_plane(listener: TcpListener, plane: Plane, host: &Host) -> watch::Sender<bool> {
    let (stop_serving, mut stop) = watch::channel(false);
    let serving = serve(listener, Arc::new(plane), host.clone(), PATIENCE, async move {
        drop(stop.wait_for(|stop| *stop).await);
    });
    drop(host.spawn("coordinator server", async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the control plane is not served any more");
        }
    }));
    stop_serving
}

/// Follows what Raft says of itself; the receiver hears it when it has failed.
fn watch_raft(
    lead: Arc<Lead>,
    views: Arc<Views>,
    metrics: Metrics,
    guard: LeaseGuard,
    keeper: &Arc<Mutex<Option<Task>>>,
    host: &Host,
) -> watch::Receiver<Option<String>> {
    let (failure, failed) = watch::channel(None);
    let keeper = Arc::clone(keeper);
    drop(host.spawn("coordinator watch", async move {
        let reason = duty::watch(lead, views, metrics).await;
        // Without its log this node sees no changes any more: it must not keep its lease.
        stop_renewing(&keeper, &guard).await;
        failure.send_replace(Some(reason));
    }));
    failed
}

/// Takes part in Raft: opens the log, starts openraft, forms the group where it is new.
async fn vote(
    config: &Config,
    leases: LeaseTimes,
    host: &Host,
    links: &Arc<Links>,
    views: &Arc<Views>,
    directory: &Directory,
) -> Result<Arc<Lead>, StartError> {
    let (log, machine) = storage::open(&directory.coordinator(), host, Arc::clone(views)).await?;
    if log.is_empty() {
        check_standing(config, links, views, host).await?;
    }
    let network = Network::new(config.node, Arc::clone(links));
    let settings = settings(config).map_err(|reason| StartError::Raft { reason })?;
    let raft = Raft::new(config.node.0, Arc::new(settings), network, log.clone(), machine)
        .await
        .map_err(|error| StartError::Raft { reason: error.to_string() })?;
    let lead = Lead::start(raft, Arc::clone(views), host.clone(), leases);
    let foundation = Foundation {
        cluster: config.existing_identity.unwrap_or_else(|| ClusterId(host.random.next_u64())),
        shards: config.shards,
        max_moves: config.max_moves,
    };
    let duty = Duty {
        lead: Arc::clone(&lead),
        links: Arc::clone(links),
        views: Arc::clone(views),
        host: host.clone(),
        times: config.times,
        node: config.node,
        foundation,
    };
    drop(host.spawn("coordinator duties", duty.run()));
    let compaction = compact(Arc::clone(&lead), log, host.clone(), config.times);
    drop(host.spawn("coordinator compaction", compaction));
    form(config, &lead).await?;
    Ok(lead)
}

/// Forms the group of the configured voters, where this voter's log is empty. All of them do so
/// with the same set; who comes later finds that it is done.
async fn form(config: &Config, lead: &Lead) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft { reason: error.to_string() };
    if lead.raft().is_initialized().await.map_err(|error| failed(&error))? {
        return Ok(());
    }
    let voters: BTreeMap<u64, BasicNode> =
        config.voters.iter().map(|(node, address)| (node.0, BasicNode::new(address))).collect();
    match lead.raft().initialize(voters).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// A voter whose log is empty must be new: one that forgot its votes could vote again.
async fn check_standing(
    config: &Config,
    links: &Arc<Links>,
    views: &Arc<Views>,
    host: &Host,
) -> Result<(), StartError> {
    let Some(cluster) = config.existing_identity else { return Ok(()) };
    if config.recovery == Recovery::AllVotersLost {
        return Ok(());
    }
    let node = config.node;
    if config.voters.len() < 2 {
        return Err(StartError::DirectoryLost { node, cluster });
    }
    let asker = Asker::new(node, None, Arc::clone(links), Arc::clone(views), host.clone());
    match asker.standing(STANDING_LIMIT).await {
        Some(false) => Ok(()),
        Some(true) => Err(StartError::DirectoryLost { node, cluster }),
        None => Err(StartError::StandingUnknown { node, cluster }),
    }
}

fn settings(config: &Config) -> Result<openraft::Config, String> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let times = &config.times;
    let settings = openraft::Config {
        cluster_name: config.cluster_name.clone(),
        heartbeat_interval: milliseconds(times.raft_heartbeat),
        election_timeout_min: milliseconds(times.election_min),
        election_timeout_max: milliseconds(times.election_max),
        enable_pre_vote: Some(true),
        // A leader that starts again stands for election like any other: its leases are counted
        // from there, and what it had committed is applied before it acknowledges anything.
        enable_leader_restore: Some(false),
        // Compaction is ours: by bytes and age.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 64,
        max_payload_entries: 64,
        replication_lag_threshold: 5_000,
        install_snapshot_timeout: 30_000,
        backoff: "50ms 100ms 200ms ..500ms".to_owned(),
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| error.to_string())
}
