//! A node that stands still while it holds the write lock of the SQLite file keeps all others from
//! writing. Once its lease must have ended, nothing is lost with it: it is killed.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use quarry_ports::{Host, Task};
use quarry_types::Monotonic;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    locks::{Lock, holder_of},
    output::Output,
};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);
/// What a writer locks of the shared memory beside a file, by the format of SQLite's WAL index.
const WRITE_LOCK: Lock = Lock::Byte(120);

/// Who watches the lock of a file.
pub(super) struct Warden {
    /// The file, which the nodes make.
    pub(super) file: PathBuf,
    /// After how long without a heartbeat a lease has ended.
    pub(super) lease: Duration,
    /// The nodes and their present processes.
    pub(super) nodes: Vec<(u64, Arc<AtomicI32>)>,
    pub(super) host: Host,
    pub(super) output: Output,
}

impl Warden {
    /// Watches until the answer is dropped.
    pub(super) fn start(self) -> Watching {
        Watching(self.host.clone().spawn("dev-warden", self.watch()))
    }

    async fn watch(self) {
        let mut standstill = Standstill::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let holder = self.memory().and_then(|memory| holder_of(&memory, WRITE_LOCK));
            let still = holder.filter(|process| is_stopped(*process));
            let lasted = standstill.seen(self.host.now(), still);
            if let Some(process) = still.filter(|_| lasted > self.lease) {
                self.end(process);
            }
        }
    }

    /// The shared memory, which is beside the file itself where its path is a link.
    fn memory(&self) -> Option<PathBuf> {
        let mut path = fs::canonicalize(&self.file).ok()?.into_os_string();
        path.push("-shm");
        Some(path.into())
    }

    fn end(&self, process: i32) {
        let is_its = |pid: &AtomicI32| pid.load(Ordering::Relaxed) == process;
        let Some((node, _)) = self.nodes.iter().find(|(_, pid)| is_its(pid)) else { return };
        self.output.say(&format!(
            "node {node} (process {process}) stands still and keeps all others from writing to {}: it is \
             killed",
            self.file.display()
        ));
        if let Some(pid) = Pid::from_raw(process) {
            // It may have ended a moment ago.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A warden at work.
pub(super) struct Watching(Task);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Since when a process has stood still with the lock, and when it was seen so last.
#[derive(Default)]
struct Standstill(Option<(i32, Monotonic, Monotonic)>);

impl Standstill {
    /// For how long `process` has, where each look before saw it too, and none was left out.
    fn seen(&mut self, now: Monotonic, process: Option<i32>) -> Duration {
        let goes_on = |(known, _, last): &(i32, Monotonic, Monotonic)| {
            Some(*known) == process && now.since(*last) <= LOOK.saturating_mul(3)
        };
        let since = self.0.filter(goes_on).map_or(now, |(_, since, _)| since);
        self.0 = process.map(|process| (process, since, now));
        now.since(since)
    }
}

/// Whether a process was stopped by a signal.
fn is_stopped(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| state(&stat) == Some('T'))
}

/// The state in a process's line, behind its name, which may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_that_was_seen_each_time_stands_still() {
        let mut standstill = Standstill::default();
        for (second, process, lasted) in [
            (1, None, 0),
            (2, Some(7), 0),
            (3, Some(7), 1),
            (4, Some(8), 0),
            (5, Some(8), 1),
            (6, Some(8), 2),
            (7, None, 0),
            (8, Some(8), 0),
            // Who looks stood still too.
            (20, Some(8), 0),
            (21, Some(8), 1),
        ] {
            let now = Monotonic(0).after(Duration::from_secs(second));
            assert_eq!(standstill.seen(now, process), Duration::from_secs(lasted), "{second}");
        }
    }

    #[test]
    fn the_state_of_a_process_stands_behind_its_name() {
        assert_eq!(state("42 (quarry) T 1 42 42 0"), Some('T'));
        assert_eq!(state("42 (a) T (b) S 1 42 42 0"), Some('S'));
        assert_eq!(state("42"), None);
        assert!(!is_stopped(i32::try_from(std::process::id()).unwrap()));
    }
}
