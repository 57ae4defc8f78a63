//! A development node that stands still in the middle of a write, with the lock of the file that all nodes
//! share: it is ended once its lease is over, and the others write again.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use quarry_tests::{
    client::Client,
    command::Workbench,
    failover::progressed,
    report::say,
    wait::{Stopwatch, until},
    workload::{Load, Registers},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const STEP_WITHIN: Duration = Duration::from_mins(1);
/// A lease of 3 s, two looks, and what a busy machine takes.
const FREE_WITHIN: Duration = Duration::from_secs(20);
/// By how much a node's share of commits is looked at again until it is stopped within one.
const APART: Duration = Duration::from_millis(7);

/// Whether the process holds the lock of whoever writes to a SQLite file.
fn writes(process: Pid) -> bool {
    let (process, locks) = (process.to_string(), fs::read_to_string("/proc/locks"));
    locks.unwrap_or_default().lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, "POSIX", _, "WRITE", holder, _, "120", _] if *holder == process)
    })
}

async fn is_stopped(process: Pid) -> Result<()> {
    until("it stands still", STEP_WITHIN, async || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
    })
    .await
}

/// Stops the process while it writes.
async fn stop_within_a_write(process: Pid) -> Result<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < STEP_WITHIN {
        kill_process(process, Signal::STOP)?;
        is_stopped(process).await?;
        if writes(process) {
            return Ok(());
        }
        kill_process(process, Signal::CONT)?;
        watch.reaches(watch.elapsed() + APART).await?;
    }
    anyhow::bail!("it was never stopped within a write")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_with_the_lock_of_the_file_is_ended() -> Result<()> {
    let bench = Workbench::new()?;
    let dev = bench.dev_nodes(3).await?;
    let client = Client::new()?;
    let urls: Vec<String> = dev.nodes.iter().map(|node| node.url.clone()).collect();
    let registers = Registers::new(client.clone(), urls.clone());
    let load = registers.load(Load::endless(8, 50));
    progressed(&registers, 100, STEP_WITHIN).await?;
    let frozen = Pid::from_raw(dev.nodes[1].pid).ok_or_else(|| anyhow::anyhow!("no process"))?;
    stop_within_a_write(frozen).await?;
    let (watch, done) = (Stopwatch::start(), registers.done());
    // What was under way is through, so it goes on.
    progressed(&registers, done + 100, FREE_WITHIN).await?;
    say(format!("100 more appends were done {:?} after it stood still", watch.elapsed()));
    ensure!(test_kill_process(frozen).is_err(), "it is still there");
    let ready = format!("{}/readyz", urls[1]);
    until("another process is in its place", STEP_WITHIN, async || {
        client.status(&ready).await.filter(reqwest::StatusCode::is_success)
    })
    .await?;
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", registers.verify().await?));
    Ok(())
}
