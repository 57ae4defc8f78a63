//! Several development nodes: a parent that starts node processes, watches and ends them.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Host, Task};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::watch,
};

use super::{
    layout::{DevNode, Layout},
    warden::{Warden, Watching},
};
use crate::{
    failure::{Exit, Failure},
    node::Signals,
    output::Output,
};

/// How long a killed node stays dead before it is started again.
const RESTART_AFTER: Duration = Duration::from_secs(10);
/// How long a node may take beyond its drain time until it is killed.
const GRACE: Duration = Duration::from_secs(12);

/// What the parent wants of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Stop,
}

/// The running nodes.
pub(crate) struct Fleet {
    members: Vec<Member>,
    wish: watch::Sender<Wish>,
    first_end: watch::Receiver<Option<String>>,
    /// Where the nodes share a SQLite file.
    #[expect(dead_code, reason = "it ends with this value")]
    warden: Option<Watching>,
    drain_time: Duration,
}

/// One node: its present process, and the task that watches it.
struct Member {
    node: DevNode,
    pid: Arc<AtomicI32>,
    watcher: Task,
}

/// How nodes are run.
pub(crate) struct Plan<'a> {
    /// Ports and directories.
    pub(crate) layout: &'a Layout,
    /// The configuration file of the nodes.
    pub(crate) config: &'a Path,
    /// Whether a killed node is started again.
    pub(crate) restarts: bool,
    /// How long a node may drain.
    pub(crate) drain_time: Duration,
    /// After how long without a heartbeat a lease has ended.
    pub(crate) lease: Duration,
}

impl Fleet {
    /// Starts all nodes.
    ///
    /// # Errors
    /// Where a process cannot be started; those started before are ended.
    pub(crate) fn start(plan: &Plan<'_>, host: &Host, output: Output) -> Result<Self, Failure> {
        let (wish, wishes) = watch::channel(Wish::Run);
        let (first_end_sender, first_end) = watch::channel(None);
        let first_end_sender = Arc::new(first_end_sender);
        let mut members = Vec::new();
        for node in &plan.layout.nodes {
            let starter = Starter::new(plan, node)?;
            let child = starter.start()?;
            let pid = Arc::new(AtomicI32::new(pid_of(&child)));
            let watcher = Watcher {
                starter,
                pid: Arc::clone(&pid),
                wishes: wishes.clone(),
                first_end: Arc::clone(&first_end_sender),
                restarts: plan.restarts,
                output,
            };
            let watcher = host.spawn("dev-node", watcher.watch(child));
            members.push(Member { node: node.clone(), pid, watcher });
        }
        let pids = members.iter().map(|member| (member.node.id, Arc::clone(&member.pid)));
        let file = quarry_store::sqlite_path(&plan.layout.store).ok().flatten();
        let warden = file.map(|file| Warden {
            file,
            lease: plan.lease,
            nodes: pids.collect(),
            host: host.clone(),
            output,
        });
        let (drain_time, warden) = (plan.drain_time, warden.map(Warden::start));
        Ok(Self { members, wish, first_end, warden, drain_time })
    }

    /// The process of node `id`; 0 where there is none now.
    pub(crate) fn pid(&self, id: u64) -> i32 {
        let member = self.members.iter().find(|member| member.node.id == id);
        member.map_or(0, |member| member.pid.load(Ordering::Relaxed))
    }

    /// Waits until a node has ended by itself; what is to be said about it.
    pub(crate) async fn first_end(&self) -> String {
        let mut first_end = self.first_end.clone();
        match first_end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "the nodes are no longer watched".to_owned(),
        }
    }

    /// Asks all nodes to drain and end; kills what does not within the drain time, or when another
    /// signal comes.
    pub(crate) async fn stop(self, signals: &mut Signals) {
        self.wish.send_replace(Wish::Stop);
        let pids: Vec<Arc<AtomicI32>> =
            self.members.iter().map(|member| Arc::clone(&member.pid)).collect();
        for pid in &pids {
            send(pid, Signal::TERM);
        }
        let ended = async {
            for member in self.members {
                member.watcher.ended().await;
            }
        };
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            () = &mut ended => return,
            () = signals.next() => {}
            () = tokio::time::sleep(self.drain_time.saturating_add(GRACE)) => {}
        }
        for pid in &pids {
            send(pid, Signal::KILL);
        }
        ended.await;
    }
}

fn send(pid: &AtomicI32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.load(Ordering::Relaxed)) {
        // It may have ended a moment ago.
        let _ = kill_process(pid, signal);
    }
}

fn pid_of(child: &Child) -> i32 {
    child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
}

/// Starts the process of one node.
struct Starter {
    id: u64,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    cookie_file: PathBuf,
}

impl Starter {
    fn new(plan: &Plan<'_>, node: &DevNode) -> Result<Self, Failure> {
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        let flags = [
            ("--config", plan.config.display().to_string()),
            ("--node", node.id.to_string()),
            ("--voters", plan.layout.voters()),
            ("--http", loopback(node.http)),
            ("--cluster", loopback(node.cluster)),
            ("--mesh", loopback(node.mesh)),
            ("--store", plan.layout.store.clone()),
            ("--data", node.directory.display().to_string()),
            ("--parent", std::process::id().to_string()),
        ];
        let mut arguments = vec!["serve".to_owned()];
        arguments.extend(flags.into_iter().map(|(flag, value)| format!("{flag}={value}")));
        Ok(Self {
            id: node.id,
            program: std::env::current_exe()?,
            arguments,
            log: node.directory.join("log"),
            cookie_file: plan.layout.cookie_file.clone(),
        })
    }

    /// Starts it in a process group of its own, so that a Ctrl-C reaches the parent alone.
    fn start(&self) -> Result<Child, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env("QUARRY_CLUSTER__COOKIE_FILE", &self.cookie_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        child.map_err(|error| {
            let message = format!(
                "node {} cannot be started from {}: {error}",
                self.id,
                self.program.display()
            );
            Failure::new(Exit::Failed, message)
        })
    }

    /// What the node said last.
    fn last_words(&self) -> String {
        let text =
            File::open(&self.log).and_then(|mut log| read_tail(&mut log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(6).collect();
        lines.into_iter().rev().fold(String::new(), |text, line| text + "\n    " + line)
    }
}

fn read_tail(log: &mut File) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(4_096)))?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Watches one node.
struct Watcher {
    starter: Starter,
    pid: Arc<AtomicI32>,
    wishes: watch::Receiver<Wish>,
    first_end: Arc<watch::Sender<Option<String>>>,
    restarts: bool,
    output: Output,
}

impl Watcher {
    async fn watch(mut self, mut child: Child) {
        loop {
            let ended = child.wait().await;
            let pid = self.pid.swap(0, Ordering::Relaxed);
            if *self.wishes.borrow() == Wish::Stop {
                return;
            }
            self.tell(pid, ended);
            if !self.restarts {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART_AFTER) => {}
                _ = self.wishes.wait_for(|wish| *wish == Wish::Stop) => return,
            }
            match self.starter.start() {
                Ok(started) => {
                    child = started;
                    let pid = pid_of(&child);
                    self.pid.store(pid, Ordering::Relaxed);
                    if *self.wishes.borrow() == Wish::Stop {
                        // It was started while the others were told to end.
                        send(&self.pid, Signal::TERM);
                    }
                    self.output
                        .say(&format!("node {} runs again as process {pid}", self.starter.id));
                }
                Err(failure) => {
                    self.output.say_failure(&failure);
                    return;
                }
            }
        }
    }

    fn tell(&self, pid: i32, ended: std::io::Result<ExitStatus>) {
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        let id = self.starter.id;
        let end = format!("node {id} (process {pid}) ended: {how}");
        let next = if self.restarts {
            format!("it is started again in {} s", RESTART_AFTER.as_secs())
        } else {
            "it is left dead".to_owned()
        };
        self.output.say(&format!("{end}; {next}"));
        self.first_end.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(format!("{end}{}", self.starter.last_words()));
            }
            is_first
        });
    }
}
