//! Starts the coordinator of a node.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use openraft::{
    BasicNode, Raft, SnapshotPolicy,
    errors::{InitializeError, RaftError},
};
use quarry_core::{coordinator::Loads, lease::LeaseTimes};
use quarry_plane::Refusals;
use quarry_ports::{Host, LeaseGuard, Metrics, Task, Transport};
use quarry_types::{ClusterId, NodeId};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    ask::Asker,
    compaction::compact,
    config::{Config, Recovery},
    consensus::{Consensus, Threads, stop_renewing},
    control::{FollowRequest, Links, Network, PATIENCE, Plane, Policy, serve, serve_messages},
    directory::{Directory, LockError},
    duty::{self, Duty, Foundation},
    follow::follow,
    keeper::{Keeper, Standing},
    leader::Lead,
    place::Place,
    raft_runtime,
    storage::{self, Auditor, Log, Machine, MemoryDisk, StorageError},
    unowned,
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
/// control plane, and takes part in Raft where the node is a voter. Returns when it serves; the process
/// joins and holds a lease soon after [`Consensus::join`].
///
/// # Errors
/// [`StartError`].
pub async fn start(
    mut config: Config,
    host: Host,
    metrics: Metrics,
) -> Result<Arc<Consensus>, StartError> {
    let leases = config.check().map_err(|mistakes| StartError::Configuration { mistakes })?;
    let directory = Directory::lock(&config.data_dir).map_err(|error| match error {
        LockError::Held => StartError::DirectoryInUse { path: config.data_dir.clone() },
        LockError::Io(source) => StartError::Directory { path: config.data_dir.clone(), source },
    })?;
    let number = directory.number(&*host.random);
    let number = number.map_err(|source| {
        let path = config.data_dir.clone();
        StartError::Directory { path, source }
    })?;
    config.boot = config.boot.over(number);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("quarry-coordinator")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let handle = runtime.handle().clone();
    let threads = Threads::new(runtime);
    // All of it on the coordinator's own threads, so that all tasks live there.
    let began = handle.spawn(async move {
        let listener = TcpListener::bind(&config.listen)
            .await
            .map_err(|source| StartError::Listen { address: config.listen.clone(), source })?;
        let ground = Ground::Machine { listener, directory, threads };
        begin(config, leases, host, metrics, ground).await
    });
    let began = began.await;
    began.unwrap_or_else(|error| Err(StartError::Raft { reason: error.to_string() }))
}

/// Whether the coordinator whose data are in `data_dir` knows a cluster: then it is not made anew, even
/// where it may be ([`Recovery::AllVotersLost`]). Not where its data cannot be read: to start it then
/// says why.
pub async fn knows_cluster(data_dir: &Path) -> bool {
    storage::is_known(&Directory::coordinator_in(data_dir)).await
}

/// As [`start`], for simulations: on `transport` instead of sockets, `disk` instead of files, and
/// tasks of `host` instead of threads. Returns when it serves; where the disk is empty and the store
/// belongs to a cluster, when the other voters said that this is right.
///
/// # Errors
/// [`StartError`].
pub async fn start_in_memory(
    config: Config,
    host: Host,
    metrics: Metrics,
    transport: Arc<dyn Transport>,
    disk: MemoryDisk,
) -> Result<Arc<Consensus>, StartError> {
    let leases = config.check().map_err(|mistakes| StartError::Configuration { mistakes })?;
    begin(config, leases, host, metrics, Ground::Memory { transport, disk }).await
}

/// What a coordinator stands on.
enum Ground {
    /// The machine.
    Machine { listener: TcpListener, directory: Directory, threads: Threads },
    /// A simulation.
    Memory { transport: Arc<dyn Transport>, disk: MemoryDisk },
}

impl Ground {
    fn links(&self, config: &Config, policy: &Policy, views: &Arc<Views>) -> Links {
        let (voters, views) = (config.voters.clone(), Arc::clone(views));
        match self {
            Self::Machine { .. } => Links::new(policy.clone(), voters, views),
            Self::Memory { transport, .. } => Links::over(Arc::clone(transport), voters, views),
        }
    }

    async fn open(
        &self,
        (host, metrics): (&Host, &Metrics),
        views: &Arc<Views>,
    ) -> Result<(Log, Machine), StorageError> {
        match self {
            Self::Machine { directory, .. } => {
                let path = directory.coordinator();
                let (log, machine) = storage::open(&path, host, Arc::clone(views)).await?;
                let auditor = Auditor::new(metrics.clone(), log.last_index());
                Ok((log, machine.seen_by(Some(Arc::new(auditor)))))
            }
            Self::Memory { disk, .. } => storage::open_memory(disk, host, Arc::clone(views)),
        }
    }

    /// Whether what stands here may be of a voter that was replaced; in simulations none is.
    const fn may_have_been_left(&self) -> bool {
        matches!(self, Self::Machine { .. })
    }

    /// Serves `plane` until the sender says so, and keeps what has to live as long.
    fn serve(self, plane: Plane, host: &Host) -> Served {
        match self {
            Self::Machine { listener, directory, threads } => Served {
                stop: serve_plane(listener, plane, host),
                directory: Some(directory),
                threads: Some(threads),
            },
            Self::Memory { transport, .. } => {
                serve_messages(&*transport, plane, host.clone());
                Served { stop: watch::Sender::new(false), directory: None, threads: None }
            }
        }
    }
}

struct Served {
    stop: watch::Sender<bool>,
    directory: Option<Directory>,
    threads: Option<Threads>,
}

async fn begin(
    config: Config,
    leases: LeaseTimes,
    host: Host,
    metrics: Metrics,
    ground: Ground,
) -> Result<Arc<Consensus>, StartError> {
    let views = Arc::new(Views::new());
    let policy = policy(&config, &metrics);
    let links = Arc::new(ground.links(&config, &policy, &views));
    let mut follows = true;
    let lead = if config.is_voter() {
        let (log, machine) = ground.open((&host, &metrics), &views).await?;
        follows = is_taken_in(&config, &log);
        Some(vote(&config, leases, (&host, &metrics), &links, &views, (log, machine)).await?)
    } else {
        None
    };
    let asker =
        Asker::new(config.node, lead.clone(), Arc::clone(&links), views.clone(), host.clone());
    let plane = Plane::new(config.node, policy, Arc::clone(&views), lead.clone());
    let asks_for_its_place = !follows && ground.may_have_been_left();
    let served = ground.serve(plane, &host);
    let guard = LeaseGuard::new(Arc::clone(&host.clock));
    let (standing, stands) = watch::channel(Standing::default());
    let (heard, last_heard) = watch::channel(None);
    let (loads, reported) = watch::channel(Loads::new());
    let (is_warm, warmed) = watch::channel(false);
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
        is_warm: warmed,
    };
    let keeper = Arc::new(Mutex::new(Some(host.spawn("coordinator lease", keeper.run()))));
    unowned::follow(&views, &metrics, &host);
    if follows {
        follow_others(config.node, &links, &asker, &views, &metrics, &host);
    }
    let failed = if let Some(lead) = &lead {
        let search = asks_for_its_place.then(|| Place::of(config.node, lead, links, &asker));
        watch_raft((lead, search), &views, metrics, guard.clone(), &keeper, &host)
    } else {
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
        stop_serving: served.stop,
        is_warm,
        keeper,
        runtime: served.threads,
        _directory: served.directory,
    }))
}

/// Gets the views of the voters, where this node has no log of its own to apply.
fn follow_others(
    node: NodeId,
    links: &Arc<Links>,
    asker: &Arc<Asker>,
    views: &Arc<Views>,
    metrics: &Metrics,
    host: &Host,
) {
    let (links, asker, views) = (Arc::clone(links), Arc::clone(asker), Arc::clone(views));
    let on = (host.clone(), metrics.clone());
    let following = follow(FollowRequest { node }, links, asker, views, on);
    drop(host.spawn("coordinator views", following));
}

/// Who may speak on the control plane.
fn policy(config: &Config, metrics: &Metrics) -> Policy {
    Policy {
        protocol: config.protocol,
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

/// Follows what Raft says of itself; the receiver hears it when it has failed, or when this voter has no
/// place any more.
fn watch_raft(
    (lead, place): (&Arc<Lead>, Option<Place>),
    views: &Arc<Views>,
    metrics: Metrics,
    guard: LeaseGuard,
    keeper: &Arc<Mutex<Option<Task>>>,
    host: &Host,
) -> watch::Receiver<Option<String>> {
    let (failure, failed) = watch::channel(None);
    let (lead, views, keeper) = (Arc::clone(lead), Arc::clone(views), Arc::clone(keeper));
    drop(host.spawn("coordinator watch", async move {
        let lost = async {
            match place {
                Some(place) => place.lost().await,
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            biased;
            reason = duty::watch(lead, views, metrics) => reason,
            reason = lost => reason,
        };
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
    (host, metrics): (&Host, &Metrics),
    links: &Arc<Links>,
    views: &Arc<Views>,
    (log, machine): (Log, Machine),
) -> Result<Arc<Lead>, StartError> {
    let is_taken_in = is_taken_in(config, &log);
    if log.is_empty() {
        check_standing(config, links, views, host).await?;
    }
    let network = Network::new(config.node, Arc::clone(links));
    let settings = settings(config).map_err(|reason| StartError::Raft { reason })?;
    let raft = Raft::new(config.node.0, Arc::new(settings), network, log.clone(), machine);
    let raft = raft_runtime::within(host, raft)
        .await
        .map_err(|error| StartError::Raft { reason: error.to_string() })?;
    let on = (host.clone(), metrics.clone());
    let reach = (raft, Arc::clone(links));
    let lead = Lead::start(reach, Arc::clone(views), on, leases, config.protocol);
    let foundation = Foundation {
        cluster: config.existing_identity.unwrap_or_else(|| ClusterId(host.random.next_u64())),
        shards: config.shards,
        max_moves: config.max_moves,
        founding: config.founding.clone(),
    };
    let duty = Duty {
        lead: Arc::clone(&lead),
        links: Arc::clone(links),
        views: Arc::clone(views),
        host: host.clone(),
        times: config.times,
        node: config.node,
        metrics: metrics.clone(),
        foundation,
    };
    drop(host.spawn("coordinator duties", duty.run()));
    let compaction = compact(Arc::clone(&lead), log, (host.clone(), metrics.clone()), config.times);
    drop(host.spawn("coordinator compaction", compaction));
    if !is_taken_in {
        form(config, &lead).await?;
    }
    Ok(lead)
}

/// Whether this voter comes to a cluster of which it has nothing: it must not form a group of its own,
/// and waits until the leader sends it the log, as a voter from the beginning or one that replaces
/// another. Until then it follows the others' views as a runner does.
fn is_taken_in(config: &Config, log: &Log) -> bool {
    log.is_empty() && config.existing_identity.is_some() && config.recovery == Recovery::Refuse
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
        heartbeat_interval: milliseconds(times.raft_patience()),
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
