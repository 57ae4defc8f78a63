//! Fills a store in a process that is killed, and lets another take over.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::Context;
use quarry_ports::Host;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    process::Said,
    report::{Figure, Report},
    serve::Taken,
};
use crate::{
    cli::TakeoverArguments,
    command::bench::{
        baseline,
        conditions::{self, Conditions},
        run as bench,
        store::BenchStore,
    },
    failure::{Exit, Failure},
    output::Output,
};

/// How long one process may take to say something.
const WITHIN: Duration = Duration::from_hours(1);
/// Messages of each entity, where the backlog is long enough.
const OF_EACH: u32 = 500;

/// Runs the command.
pub(crate) async fn run(arguments: &TakeoverArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let load_before = conditions::load_average();
    let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
    let disk = baseline::disk(directory.path(), bench::DISK, &host).await?;
    let progress = bench::progress(arguments.backlog.len() as u64 * u64::from(arguments.rounds));
    let (mut results, mut store) = (Vec::new(), String::new());
    for backlog in &arguments.backlog {
        let mut taken = Vec::new();
        for _ in 0..arguments.rounds {
            progress.set_message(format!("{backlog} messages"));
            let (place, found) = round(arguments, *backlog, &host).await?;
            store = place;
            taken.push(found);
            progress.inc(1);
        }
        results.push(Figure::of(*backlog, &taken));
    }
    progress.finish_and_clear();
    let durability = conditions::durability(if arguments.store.is_some() { "" } else { "sqlite:" });
    let report = Report {
        bench: "takeover",
        conditions: Conditions {
            cores: conditions::cores(),
            build: conditions::build(),
            store,
            durability,
            fdatasync_p50_us: disk.p50_us,
            load: [load_before, conditions::load_average()],
            keys: arguments.backlog.iter().map(|backlog| entities(*backlog)).max().unwrap_or(0),
            payload: arguments.payload,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
        },
        results,
    };
    report.print(output)
}

/// The entities of a backlog.
fn entities(backlog: u32) -> u32 {
    (backlog / OF_EACH).max(20)
}

async fn round(
    arguments: &TakeoverArguments,
    backlog: u32,
    host: &Host,
) -> Result<(String, Taken), Failure> {
    let store = BenchStore::create(arguments.store.as_deref(), host).await?;
    let found = taken_over(arguments, backlog, &store).await;
    let place = if arguments.store.is_some() { "postgres" } else { "sqlite" };
    store.remove().await?;
    Ok((place.to_owned(), found?))
}

async fn taken_over(
    arguments: &TakeoverArguments,
    backlog: u32,
    store: &BenchStore,
) -> Result<Taken, Failure> {
    let mut filling = start(arguments, backlog, store.directory(), &store.url, true)?;
    let filled = said(&mut filling).await;
    filling.kill().await?;
    let Said::Filled = filled? else { return Err(unexpected()) };
    let mut taking = start(arguments, backlog, store.directory(), &store.url, false)?;
    let taken = said(&mut taking).await;
    taking.kill().await?;
    let Said::Taken(taken) = taken? else { return Err(unexpected()) };
    Ok(taken)
}

fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "a process of the bench said something else than was asked")
}

fn start(
    arguments: &TakeoverArguments,
    backlog: u32,
    directory: &Path,
    url: &str,
    fill: bool,
) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "takeover-node", "--store", url]).arg("--directory").arg(directory);
    for (flag, value) in [
        ("--backlog", backlog),
        ("--entities", entities(backlog)),
        ("--payload", arguments.payload),
        ("--seconds", arguments.seconds),
    ] {
        command.arg(flag).arg(value.to_string());
    }
    if fill {
        command.arg("--fill");
    }
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().context("cannot start a process of the bench")
}

async fn said(child: &mut Child) -> Result<Said, Failure> {
    let stdout = child.stdout.take().context("the process has no output")?;
    let mut line = String::new();
    let mut lines = BufReader::new(stdout);
    let read = tokio::time::timeout(WITHIN, lines.read_line(&mut line)).await;
    read.context("a process of the bench says nothing")??;
    let said = serde_json::from_str(&line);
    Ok(said.with_context(|| format!("a process of the bench ended, saying {line:?}"))?)
}
