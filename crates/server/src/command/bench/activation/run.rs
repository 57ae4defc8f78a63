//! Starts the processes: one that gives entities their states, and one for each round, which finds them
//! in the store. *Cold* is what a node finds that has just started, in a file that nothing is in memory
//! of; *warm* is what it finds when it had the same entities resident before: from memory, as far as
//! dormant states are kept there.

use std::ffi::OsString;

use quarry_ports::Host;

use super::process::Said;
use crate::{
    cli::ActivationArguments,
    command::bench::{
        baseline::Baseline,
        child,
        conditions::{Before, Size},
        load::Round,
        report::{Figure, Report},
        run::progress,
        store::BenchStore,
    },
    failure::Failure,
    output::Output,
};

/// Runs the command.
pub(crate) async fn run(arguments: &ActivationArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let ActivationArguments { payloads, concurrency, entities, rounds } = arguments;
    let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
    let before = Before::look(directory.path(), &host).await?;
    let steps = payloads.len().saturating_mul(concurrency.len());
    let progress = progress(steps as u64 * u64::from(rounds.count));
    let (mut baselines, mut results, mut last) = (Vec::new(), Vec::new(), None);
    for payload in payloads {
        last = BenchStore::with(rounds.store.as_deref(), &host, async |store| {
            let process = Process { store, entities: *entities, payload: *payload };
            let described = process.fill().await?;
            for concurrency in concurrency {
                progress.set_message(format!("{payload} bytes, {concurrency} callers"));
                let mut turns = Turns::default();
                for _ in 0..rounds.count {
                    store.forget()?;
                    process.turn(*concurrency, &mut turns).await?;
                    progress.inc(1);
                }
                let name = "read of a resident entity";
                let baseline = Baseline::of_rounds(name, *concurrency, &turns.resident);
                for (what, rounds) in [("cold", &turns.cold), ("warm", &turns.warm)] {
                    let surface = format!("{what}, {payload} bytes");
                    results.push(Figure::of(&surface, *concurrency, rounds, None, &baseline));
                }
                baselines.push(baseline);
            }
            Ok(Some((described, store.url.clone())))
        })
        .await?;
    }
    progress.finish_and_clear();
    let (described, url) = last.unwrap_or_default();
    let payload = payloads.iter().copied().max().unwrap_or(0);
    let size = Size { keys: *entities, payload, seconds: None, rounds: rounds.count };
    let conditions = before.conditions(described, &url, size);
    Report { bench: "activation", conditions, baselines, results }.print(output)
}

/// The rounds of each kind.
#[derive(Default)]
struct Turns {
    cold: Vec<Round>,
    warm: Vec<Round>,
    resident: Vec<Round>,
}

/// What all processes of one store are told.
struct Process<'a> {
    store: &'a BenchStore,
    entities: u32,
    payload: u32,
}

impl Process<'_> {
    /// Gives every entity its state; what the store calls itself.
    async fn fill(&self) -> Result<String, Failure> {
        let Said::Filled { store } = self.said(64, true).await? else {
            return Err(child::unexpected());
        };
        Ok(store)
    }

    /// One round of each kind, in a process of their own.
    async fn turn(&self, concurrency: u32, turns: &mut Turns) -> Result<(), Failure> {
        let Said::Called { cold, warm, resident } = self.said(concurrency, false).await? else {
            return Err(child::unexpected());
        };
        turns.cold.push(cold);
        turns.warm.push(warm);
        turns.resident.push(resident);
        Ok(())
    }

    async fn said(&self, concurrency: u32, is_to_fill: bool) -> Result<Said, Failure> {
        let mut line =
            ["activation-process", "--store", &self.store.url].map(OsString::from).to_vec();
        line.extend(["--directory".into(), self.store.directory().as_os_str().to_owned()]);
        for (flag, value) in [
            ("--entities", self.entities),
            ("--payload", self.payload),
            ("--concurrency", concurrency),
        ] {
            line.extend([flag.into(), value.to_string().into()]);
        }
        line.extend(is_to_fill.then(|| "--fill".into()));
        let mut process = child::start(line)?;
        let said = child::said(&mut process).await;
        process.kill().await?;
        said
    }
}
