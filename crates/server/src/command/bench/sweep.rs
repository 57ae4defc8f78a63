//! `quarry bench sweep`: durable calls over sizes of payloads and numbers of entities.

use std::{sync::Arc, time::Duration};

use quarry_client::Json;
use quarry_ports::Host;

use super::{
    baseline,
    conditions::{self, Conditions},
    entity::Probe,
    load::{self, Load},
    report::{Figure, Report},
    run::{self, READY_WITHIN},
    store::BenchStore,
    surface::{Calls, InProcess},
};
use crate::{cli::SweepArguments, failure::Failure, node::RunningNode, output::Output};

/// Runs the command.
pub(crate) async fn run(arguments: &SweepArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let load_before = conditions::load_average();
    let store = BenchStore::create(arguments.store.as_deref(), &host).await?;
    let measured = measure(arguments, &store, load_before, &host).await;
    store.remove().await?;
    measured?.print(output)
}

async fn measure(
    arguments: &SweepArguments,
    store: &BenchStore,
    load_before: f64,
    host: &Host,
) -> Result<Report, Failure> {
    let disk = baseline::disk(store.directory(), run::DISK, host).await?;
    let node = run::start(store.directory(), &store.url, Probe::default(), host).await?;
    node.until_ready(READY_WITHIN).await?;
    let steps = arguments.payloads.len().saturating_mul(arguments.entities.len());
    let progress = run::progress(u64::try_from(steps).unwrap_or(1));
    let (mut results, mut baselines) = (Vec::new(), Vec::new());
    for payload in &arguments.payloads {
        for entities in &arguments.entities {
            progress.set_message(format!("{payload} bytes, {entities} entities"));
            // Beside each point, since a shared machine does not stay the same.
            let baseline = baseline::disk(store.directory(), run::DISK, host).await?;
            results.push(point(arguments, (*payload, *entities), &node, &baseline, host).await?);
            baselines.push(baseline);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let described = node.node().ports().store.describe();
    node.end().await;
    Ok(Report {
        bench: "sweep",
        conditions: Conditions {
            cores: conditions::cores(),
            build: conditions::build(),
            store: described,
            durability: conditions::durability(&store.url),
            fdatasync_p50_us: disk.p50_us,
            load: [load_before, conditions::load_average()],
            keys: arguments.entities.iter().copied().max().unwrap_or(0),
            payload: arguments.payloads.iter().copied().max().unwrap_or(0),
            seconds: arguments.seconds,
            rounds: arguments.rounds,
        },
        baselines,
        results,
    })
}

/// One point of the curve.
async fn point(
    arguments: &SweepArguments,
    (payload, entities): (u32, u32),
    node: &RunningNode,
    baseline: &baseline::Baseline,
    host: &Host,
) -> Result<Figure, Failure> {
    let text = Json::String("x".repeat(usize::try_from(payload).unwrap_or(0)));
    let calls = Arc::new(Calls::new(entities, "put", Some(&text))?);
    let target = Arc::new(InProcess::new(node.node().clone(), calls));
    let length = Duration::from_secs(u64::from(arguments.seconds));
    let load = Load { concurrency: arguments.concurrency, keys: entities, length };
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        rounds.push(load::run(&target, load, host).await?);
    }
    let surface = format!("{payload} bytes, {entities} entities");
    Ok(Figure::of(&surface, arguments.concurrency, &rounds, None, baseline))
}
