//! Starts nodes as processes, talks to them, and ends them.

use std::{path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::node::{LOGS, MARK, VARIABLE};

/// The cookie of the tests' cluster.
pub(crate) const COOKIE: &str = "a-cookie-of-at-least-thirty-two-bytes";

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A node that runs as a process of its own, and is killed when dropped.
pub(crate) struct Process {
    pub(crate) id: u64,
    /// Where its mesh listens.
    pub(crate) address: String,
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// How a node is started.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) id: u64,
    pub(crate) cluster: &'static str,
    pub(crate) cookie: &'static str,
    pub(crate) listen: String,
    pub(crate) idle_milliseconds: u64,
    /// The directory of its credentials, or `-`.
    pub(crate) credentials: String,
    /// The oldest and the newest version of the protocol that it speaks.
    pub(crate) speaks: (u16, u16),
    /// How many connections it holds that have not proved who they are.
    pub(crate) places: usize,
    /// Where its connector tells of every failure; where none is named, it says what it says to the test.
    pub(crate) log: Option<PathBuf>,
}

impl Spec {
    pub(crate) fn new(id: u64) -> Self {
        let listen = "127.0.0.1:0".to_owned();
        let credentials = "-".to_owned();
        Self {
            id,
            cluster: "test",
            cookie: COOKIE,
            listen,
            idle_milliseconds: 15_000,
            credentials,
            speaks: (1, 2),
            places: 64,
            log: None,
        }
    }

    pub(crate) async fn start(self) -> Process {
        let Self { id, cluster, cookie, listen, idle_milliseconds, credentials, .. } = self;
        let ((oldest, newest), places) = (self.speaks, self.places);
        let spec = format!(
            "{id} {cluster} {cookie} {listen} {idle_milliseconds} {credentials} {oldest} {newest} \
             {places}"
        );
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(log) = self.log {
            let log = std::fs::File::create(log).unwrap();
            command.env(LOGS, "quarry_mesh::connector=debug").stderr(log);
        }
        let mut child = command
            .args(["node::node_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, spec)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Process { id, address: String::new(), child, commands, answers };
        process.address = process.answer().await;
        process
    }
}

/// Starts the nodes 1 to `count` as peers of one another.
pub(crate) async fn cluster(count: u64) -> Vec<Process> {
    let mut nodes = Vec::new();
    for id in 1..=count {
        nodes.push(Spec::new(id).start().await);
    }
    introduce(&mut nodes).await;
    nodes
}

/// Makes the nodes peers of one another.
pub(crate) async fn introduce(nodes: &mut [Process]) {
    let peers: Vec<_> = nodes.iter().map(|node| format!("{}={}", node.id, node.address)).collect();
    for node in nodes {
        assert_eq!(node.tell(&format!("peers {}", peers.join(" "))).await, "ok");
    }
}

impl Process {
    /// Gives a command and waits for its answer.
    pub(crate) async fn tell(&mut self, command: &str) -> String {
        self.say(command).await;
        self.answer().await
    }

    /// Gives a command.
    pub(crate) async fn say(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        self.commands.flush().await.unwrap();
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> String {
        let next = async {
            loop {
                let line = self.answers.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("node {} ended", self.id));
                if let Some(answer) = line.strip_prefix(MARK) {
                    return answer.to_owned();
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the node answers in time")
    }

    /// Repeats a command until its answer satisfies `good`, with a deadline.
    pub(crate) async fn until(&mut self, command: &str, good: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let polled = async {
            loop {
                last = self.tell(command).await;
                if good(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let polled = tokio::time::timeout(PATIENCE, polled).await;
        assert!(polled.is_ok(), "node {} still answers {last:?} to {command:?}", self.id);
        last
    }

    /// Waits until requests to `peer` are answered.
    pub(crate) async fn reaches(&mut self, peer: u64) {
        self.until(&format!("ask {peer} 2000"), |answer| answer == "ok").await;
    }

    /// A counter of its metrics, written as `name{label,…}`; 0 where it has not been counted.
    pub(crate) async fn counter(&mut self, name: &str) -> u64 {
        let metrics = self.tell("metrics").await;
        value(&metrics, name)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Stops the process and waits until none of its threads runs: a signal takes effect a moment
    /// after it was sent.
    pub(crate) async fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id().unwrap());
        let stopped = async {
            while !std::fs::read_dir(&threads).unwrap().all(|thread| is_stopped(&thread.unwrap())) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, stopped).await.expect("the node stops in time");
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Closes its standard input, upon which it ends by itself.
    pub(crate) async fn quits(self) {
        let Self { mut child, commands, answers, .. } = self;
        drop(commands);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        drop(answers);
        assert!(ended.expect("it ends in time").unwrap().success());
    }

    /// The TCP ports of IPv4 on which the process listens.
    pub(crate) fn listens_on(&self) -> Vec<u16> {
        let id = self.child.id().unwrap();
        let links = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        let sockets: Vec<String> = links
            .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
            .filter_map(|link| {
                Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
            })
            .collect();
        let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).unwrap();
        let port = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9]);
            let port = u16::from_str_radix(fields[1].split_once(':')?.1, 16).ok()?;
            is_ours.then_some(port)
        };
        table.lines().skip(1).filter_map(port).collect()
    }

    /// Bytes of memory that the process holds.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id().unwrap());
        let pages = std::fs::read_to_string(path).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
    }
}

/// Whether a thread of `/proc` is stopped; its state follows its name, which is in parentheses.
fn is_stopped(thread: &std::fs::DirEntry) -> bool {
    let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
}

/// The value of a counter in a node's answer to `metrics`.
pub(crate) fn value(metrics: &str, name: &str) -> u64 {
    let found = metrics.split(' ').find_map(|counter| counter.strip_prefix(&format!("{name}=")));
    found.map_or(0, |value| value.parse().unwrap())
}
