//! Starts the processes, and compares what they say.

use std::{ffi::OsString, path::Path};

use quarry_ports::Host;
use quarry_types::duration_in_words;

use super::{
    process::{Held, Said},
    report::Figure,
};
use crate::{
    cli::MemoryArguments,
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

/// Runs the command.
pub(crate) async fn run(arguments: &MemoryArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let MemoryArguments { entities, payload, rounds, .. } = arguments;
    let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
    let before = Before::look(directory.path(), &host).await?;
    let progress = progress(entities.len() as u64 * u64::from(rounds.count));
    let (mut results, mut described, mut url) = (Vec::new(), String::new(), String::new());
    for entities in entities {
        let (mut held, mut plain) = (Vec::<Held>::new(), Vec::new());
        for _ in 0..rounds.count {
            progress.set_message(format!("{entities} entities"));
            let round = BenchStore::with(rounds.store.as_deref(), &host, async |store| {
                let place = (store.directory(), store.url.as_str());
                let tasks = said(arguments, *entities, place, true).await?;
                let node = said(arguments, *entities, place, false).await?;
                Ok((store.url.clone(), tasks, node))
            });
            let (place, Said::Tasks { bytes }, Said::Node(node)) = round.await? else {
                return Err(child::unexpected());
            };
            (url, described) = (place, node.store.clone());
            plain.push(bytes);
            held.push(node);
            progress.inc(1);
        }
        results.push(Figure::of(*entities, &held, &plain));
    }
    progress.finish_and_clear();
    let keys = entities.iter().copied().max().unwrap_or(0);
    let size = Size { keys, payload: *payload, seconds: None, rounds: rounds.count };
    let conditions = before.conditions(described, &url, size);
    Report { bench: "memory", conditions, baselines: Vec::new(), results }.print(output)
}

/// What a process of its own says.
async fn said(
    arguments: &MemoryArguments,
    entities: u32,
    (directory, url): (&Path, &str),
    is_plain: bool,
) -> Result<Said, Failure> {
    let mut line: Vec<OsString> = ["memory-process", "--store", url].map(OsString::from).to_vec();
    line.extend(["--directory".into(), directory.as_os_str().to_owned()]);
    for (flag, value) in [
        ("--entities", entities.to_string()),
        ("--payload", arguments.payload.to_string()),
        ("--idle-after", duration_in_words(arguments.idle_after)),
    ] {
        line.extend([flag.into(), value.into()]);
    }
    line.extend(is_plain.then(|| "--plain".into()));
    let mut process = child::start(line)?;
    let said = child::said(&mut process).await;
    process.kill().await?;
    said
}
