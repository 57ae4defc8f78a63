//! `quarry bench sweep`: durable calls over sizes of payloads and numbers of entities.

use std::sync::Arc;

use quarry_ports::Host;

use super::{
    baseline::{self, Baseline},
    conditions::{Before, Size},
    load::{self, Load},
    report::{Figure, Report},
    run::{on_a_node, progress},
    store::BenchStore,
    surface::{Calls, InProcess, text},
};
use crate::{cli::SweepArguments, failure::Failure, node::RunningNode, output::Output};

/// Runs the command.
pub(crate) async fn run(arguments: &SweepArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let server = arguments.timed.rounds.store.as_deref();
    let measured = BenchStore::with(server, &host, async |store| {
        let before = Before::look(store.directory(), &host).await?;
        let place = (store.directory(), store.url.as_str());
        let (described, (baselines, results)) =
            on_a_node(place, None, &host, async |node| points(arguments, store, node, &host).await)
                .await?;
        let size = Size {
            keys: arguments.entities.iter().copied().max().unwrap_or(0),
            payload: arguments.payloads.iter().copied().max().unwrap_or(0),
            seconds: Some(arguments.timed.seconds),
            rounds: arguments.timed.rounds.count,
        };
        let conditions = before.conditions(described, &store.url, size);
        Ok(Report { bench: "sweep", conditions, baselines, results })
    });
    measured.await?.print(output)
}

/// Every point of the curve, and the disk beside each, since a shared machine does not stay the same.
async fn points(
    arguments: &SweepArguments,
    store: &BenchStore,
    node: &RunningNode,
    host: &Host,
) -> Result<(Vec<Baseline>, Vec<Figure>), Failure> {
    let steps = arguments.payloads.len().saturating_mul(arguments.entities.len());
    let progress = progress(u64::try_from(steps).unwrap_or(1));
    let (mut baselines, mut results) = (Vec::new(), Vec::new());
    for payload in &arguments.payloads {
        for entities in &arguments.entities {
            progress.set_message(format!("{payload} bytes, {entities} entities"));
            let baseline = baseline::disk(store.directory(), host).await?;
            results.push(point(arguments, (*payload, *entities), node, &baseline, host).await?);
            baselines.push(baseline);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok((baselines, results))
}

/// One point of the curve.
async fn point(
    arguments: &SweepArguments,
    (payload, entities): (u32, u32),
    node: &RunningNode,
    baseline: &Baseline,
    host: &Host,
) -> Result<Figure, Failure> {
    let calls = Arc::new(Calls::new(entities, "put", Some(&text(payload)))?);
    let target = Arc::new(InProcess::new(node.node().clone(), calls));
    let length = arguments.timed.length();
    let load = Load { concurrency: arguments.concurrency, keys: entities, length };
    let mut rounds = Vec::new();
    for _ in 0..arguments.timed.rounds.count {
        rounds.push(load::run(&target, load, host).await?);
    }
    let surface = format!("{payload} bytes, {entities} entities");
    Ok(Figure::of(&surface, arguments.concurrency, &rounds, None, baseline))
}
