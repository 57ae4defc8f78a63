//! One `quarry serve` process: started, signalled, watched.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// What a node keeps its data in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One file that all nodes of the host share.
    Sqlite,
    /// A database of the test's server.
    Postgres,
}

/// Where the binary under test is.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("QUARRY_BIN") {
        return Ok(PathBuf::from(path));
    }
    // Tests live in target/<profile>/deps, the binary one above.
    let test = env::current_exe()?;
    let profile = test.parent().and_then(Path::parent).context("a test without a profile")?;
    let path = profile.join("quarry");
    ensure!(
        path.is_file(),
        "{} is missing; build it (cargo build --package quarry-server) or set QUARRY_BIN",
        path.display()
    );
    Ok(path)
}

/// Where the binary is in which bugs can be planted: beside the one under test.
pub fn planted() -> Result<PathBuf> {
    let path = binary()?.with_file_name("quarry-planted");
    ensure!(
        path.is_file(),
        "{} is missing; build it (cargo build --workspace --bin quarry-planted \
         --features quarry-server/planted-bugs)",
        path.display()
    );
    Ok(path)
}

/// A range of ports that nobody else of the harness uses while this value lives: its first port is
/// held as the claim, the others were free when it was made. It lies below the range that outgoing
/// connections take their ports from.
#[derive(Debug)]
pub struct PortBlock {
    _claim: TcpListener,
    first: u16,
}

impl PortBlock {
    const SIZE: u16 = 32;
    const FIRST: u16 = 11_000;
    const LAST: u16 = 19_000;

    /// Claims a free range.
    pub fn claim() -> Result<Self> {
        for first in (Self::FIRST..Self::LAST).step_by(usize::from(Self::SIZE)) {
            let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) else { continue };
            let mut others = first + 1..first + Self::SIZE;
            if others.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
                return Ok(Self { _claim: claim, first });
            }
        }
        bail!("no {} free ports in a row on loopback", Self::SIZE)
    }

    /// The `index`-th usable address, from 0.
    pub fn address(&self, index: u16) -> Result<String> {
        ensure!(index + 1 < Self::SIZE, "a block has {} ports", Self::SIZE - 1);
        Ok(format!("127.0.0.1:{}", self.first + 1 + index))
    }
}

/// How a node is started, each time it is.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The binary, where it is not the one under test.
    pub binary: Option<PathBuf>,
    /// A program that becomes the binary, with its arguments; none to start the binary itself.
    pub command: Vec<String>,
    /// Command line behind the binary.
    pub arguments: Vec<String>,
    /// Environment on top of the test's own.
    pub environment: Vec<(String, String)>,
    /// Where stdout and stderr are appended.
    pub log: PathBuf,
}

/// A running process. Dropping it ends the process with SIGKILL.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
}

impl Process {
    /// Starts the binary under test.
    pub fn start(launch: &Launch) -> Result<Self> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&launch.log)
            .with_context(|| launch.log.display().to_string())?;
        let binary = launch.binary.clone().map_or_else(binary, Ok)?;
        let mut command = match launch.command.split_first() {
            None => Command::new(&binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&binary);
                command
            }
        };
        let child = command
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| binary.display().to_string())?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.context("the process ended before it began")?;
        Ok(Self { child, pid })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("signal {signal:?}"))
    }

    /// Whether it stands still, by a signal or by itself.
    pub fn is_stopped(&self) -> bool {
        let path = format!("/proc/{}/stat", self.pid.as_raw_nonzero());
        // The name of the program stands before the state and may hold anything.
        let stat = fs::read_to_string(path).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Bytes of memory that it has resident.
    pub fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: u64 =
            kibibytes.with_context(|| format!("{path} names no VmRSS"))?.parse()?;
        Ok(kibibytes * 1024)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let status = timeout(within, self.child.wait()).await;
        Ok(status.with_context(|| format!("the process still runs after {within:?}"))??)
    }
}

/// The last lines of a log.
pub(crate) fn tail_of(log: &Path) -> String {
    const LINES: usize = 40;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_ports_do_not_overlap() -> Result<()> {
        let one = PortBlock::claim()?;
        let two = PortBlock::claim()?;
        assert!(one.first.abs_diff(two.first) >= PortBlock::SIZE);
        assert!(one.address(0)?.starts_with("127.0.0.1:"));
        assert!(one.address(PortBlock::SIZE).is_err());
        Ok(())
    }

    #[test]
    fn a_tail_is_the_end_of_the_log() -> Result<()> {
        let log = tempfile::NamedTempFile::new()?;
        let text: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        fs::write(log.path(), text.join("\n"))?;
        let tail = tail_of(log.path());
        assert!(tail.starts_with("60\n") && tail.ends_with("\n99"));
        Ok(())
    }
}
