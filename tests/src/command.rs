//! The binary as a person uses it: commands in a directory, and a development node to ask.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{process::binary, wait::Stopwatch};

/// How long a command, or the start of a node, may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// The directory in which commands run. It goes with this value.
#[derive(Debug)]
pub struct Workbench(TempDir);

impl Workbench {
    /// An empty directory.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("quarry-bench.").tempdir()?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the binary with `arguments`, and nothing of the test's own settings.
    pub async fn quarry(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = clean(Command::new(binary()?));
        command.args(arguments).current_dir(self.path());
        finish(command).await.with_context(|| format!("quarry {}", arguments.join(" ")))
    }

    /// Starts a development node on a free port, with its data here.
    pub async fn dev(&self) -> Result<DevNode> {
        let fleet = self.dev_nodes(1).await?;
        let url = fleet.nodes.into_iter().next().context("it names no node")?.url;
        Ok(DevNode { url, said_after: fleet.said_after, _child: fleet.child })
    }

    /// Starts so many development nodes on free ports, with their data here.
    pub async fn dev_nodes(&self, count: u32) -> Result<DevFleet> {
        let watch = Stopwatch::start();
        let mut command = clean(Command::new(binary()?));
        let count = count.to_string();
        command.args(["dev", "--nodes", &count, "--port", "0", "-o", "json"]);
        command.current_dir(self.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("the node has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line =
            timeout(PATIENCE, lines.next_line()).await.context("the node says nothing")??;
        let said_after = watch.elapsed();
        let line = line.context("the node ended while it started")?;
        let Ready { nodes, data } = serde_json::from_str(&line).with_context(|| line.clone())?;
        Ok(DevFleet { nodes, data, said_after, child })
    }
}

/// A development node. Dropping it ends its process with SIGKILL.
#[derive(Debug)]
pub struct DevNode {
    /// Where it answers.
    pub url: String,
    /// From its start to the line in which it says that it is ready.
    pub said_after: Duration,
    _child: Child,
}

/// Several development nodes. Dropping it ends their parent with SIGKILL, and they end with it.
#[derive(Debug)]
pub struct DevFleet {
    /// The nodes.
    pub nodes: Vec<ReadyNode>,
    /// Where their data is.
    pub data: PathBuf,
    said_after: Duration,
    child: Child,
}

#[derive(Deserialize)]
struct Ready {
    nodes: Vec<ReadyNode>,
    data: PathBuf,
}

/// A development node that is ready.
#[derive(Debug, Deserialize)]
pub struct ReadyNode {
    /// Where it answers.
    pub url: String,
    /// Its process.
    pub pid: i32,
}

/// The directory of the binary under test.
pub fn binary_directory() -> Result<PathBuf> {
    let binary = std::path::absolute(binary()?)?;
    Ok(binary.parent().context("a binary without a directory")?.to_owned())
}

/// `command` without a terminal, and without the settings of the test's own environment.
pub fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("QUARRY_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What the binary answers to the words of `line` about the node at `url`, which it has to serve.
pub async fn answered(url: &str, line: &str) -> Result<Value> {
    let mut command = clean(Command::new(binary()?));
    command.args(line.split(' ')).args(["--url", url, "-o", "json"]);
    let ran = finish(command).await?.ended_with(0)?;
    Ok(serde_json::from_str(&ran.stdout)?)
}

/// Runs `command` to its end.
pub async fn finish(mut command: Command) -> Result<Ran> {
    let watch = Stopwatch::start();
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("it still runs after {PATIENCE:?}"))??;
    Ok(Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: watch.elapsed(),
    })
}

impl Ran {
    /// Makes sure that it ended with `code`.
    pub fn ended_with(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "it did not end with {code}: {self:#?}");
        Ok(self)
    }

    /// Makes sure that it said `part` on stderr.
    pub fn said(self, part: &str) -> Result<Self> {
        ensure!(self.stderr.contains(part), "it did not say {part:?}: {self:#?}");
        Ok(self)
    }
}
