//! Fills a store in a process that is killed, and lets another take over.

use std::{ffi::OsString, path::Path};

use quarry_ports::Host;
use tokio::process::Child;

use super::{process::Said, report::Figure, serve::Taken};
use crate::{
    cli::TakeoverArguments,
    command::bench::{
        child,
        conditions::{Before, Size},
        report::Report,
        run::progress,
        store::BenchStore,
    },
    failure::Failure,
    output::Output,
};

/// Messages of each entity, where the backlog is long enough.
const OF_EACH: u32 = 500;

/// Runs the command.
pub(crate) async fn run(arguments: &TakeoverArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let rounds = &arguments.rounds;
    let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
    let before = Before::look(directory.path(), &host).await?;
    let progress = progress(arguments.backlog.len() as u64 * u64::from(rounds.count));
    let mut results = Vec::new();
    for backlog in &arguments.backlog {
        let mut taken = Vec::new();
        for _ in 0..rounds.count {
            progress.set_message(format!("{backlog} messages"));
            taken.push(
                BenchStore::with(rounds.store.as_deref(), &host, async |store| {
                    taken_over(arguments, *backlog, store).await
                })
                .await?,
            );
            progress.inc(1);
        }
        results.push(Figure::of(*backlog, &taken));
    }
    progress.finish_and_clear();
    let url = if rounds.store.is_some() { "postgres:" } else { "sqlite:" };
    let size = Size {
        keys: arguments.backlog.iter().map(|backlog| entities(*backlog)).max().unwrap_or(0),
        payload: arguments.payload,
        seconds: Some(arguments.seconds),
        rounds: rounds.count,
    };
    let conditions = before.conditions(url.trim_end_matches(':').to_owned(), url, size);
    Report { bench: "takeover", conditions, baselines: Vec::new(), results }.print(output)
}

/// The entities of a backlog.
fn entities(backlog: u32) -> u32 {
    (backlog / OF_EACH).max(20)
}

async fn taken_over(
    arguments: &TakeoverArguments,
    backlog: u32,
    store: &BenchStore,
) -> Result<Taken, Failure> {
    let mut filling = start(arguments, backlog, store.directory(), &store.url, true)?;
    let filled = child::said(&mut filling).await;
    filling.kill().await?;
    let Said::Filled = filled? else { return Err(child::unexpected()) };
    let mut taking = start(arguments, backlog, store.directory(), &store.url, false)?;
    let taken = child::said(&mut taking).await;
    taking.kill().await?;
    let Said::Taken(taken) = taken? else { return Err(child::unexpected()) };
    Ok(taken)
}

fn start(
    arguments: &TakeoverArguments,
    backlog: u32,
    directory: &Path,
    url: &str,
    fill: bool,
) -> anyhow::Result<Child> {
    let mut line: Vec<OsString> = ["takeover-node", "--store", url].map(OsString::from).to_vec();
    line.extend(["--directory".into(), directory.as_os_str().to_owned()]);
    for (flag, value) in [
        ("--backlog", backlog),
        ("--entities", entities(backlog)),
        ("--payload", arguments.payload),
        ("--seconds", arguments.seconds),
    ] {
        line.extend([flag.into(), value.to_string().into()]);
    }
    line.extend(fill.then(|| "--fill".into()));
    child::start(line)
}
