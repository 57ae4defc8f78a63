//! Processes of a bench: the same program, which says one line of JSON.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use anyhow::Context;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::failure::{Exit, Failure};

/// How long a process may take to say something.
const WITHIN: Duration = Duration::from_hours(1);

/// Starts `quarry bench` with `arguments`; it ends with this value.
pub(crate) fn start<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bench").args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().context("cannot start a process of the bench")
}

/// What the process says.
pub(crate) async fn said<T: DeserializeOwned>(child: &mut Child) -> Result<T, Failure> {
    let stdout = child.stdout.take().context("the process has no output")?;
    let mut line = String::new();
    let mut lines = BufReader::new(stdout);
    let read = tokio::time::timeout(WITHIN, lines.read_line(&mut line)).await;
    read.context("a process of the bench says nothing")??;
    let said = serde_json::from_str(&line);
    Ok(said.with_context(|| format!("a process of the bench ended, saying {line:?}"))?)
}

/// A process said what it was not asked for.
pub(crate) fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "a process of the bench said something else than was asked")
}

/// A figure of this process's memory, in KiB: `VmRSS` is what is resident, `VmHWM` the most that was.
pub(crate) fn memory_kib(what: &str) -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("/proc/self/status has no {what}"))?)
}
