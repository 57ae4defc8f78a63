//! `quarry bench snapshot`: durable calls while someone else keeps a snapshot of the database open, in
//! turn with rounds without one.

use std::sync::Arc;

use quarry_client::Json;
use quarry_ports::Host;
use sqlx::{Connection, Executor, PgConnection};

use super::{
    baseline::Baseline,
    conditions::{self, Conditions},
    database,
    entity::Probe,
    load::{self, Load, Round},
    report::{Figure, Report, Spread},
    run::{self, READY_WITHIN},
    store::BenchStore,
    surface::{Calls, InProcess},
};
use crate::{
    cli::SnapshotArguments,
    failure::{Exit, Failure},
    output::Output,
};

/// Runs the command.
pub(crate) async fn run(arguments: &SnapshotArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let store = BenchStore::create(Some(&arguments.store), &host).await?;
    let measured = measure(arguments, &store, &host).await;
    store.remove().await?;
    measured?.print(output)
}

async fn measure(
    arguments: &SnapshotArguments,
    store: &BenchStore,
    host: &Host,
) -> Result<Report, Failure> {
    let load_before = conditions::load_average();
    let disk = super::baseline::disk(store.directory(), run::DISK, host).await?;
    let node = run::start(store.directory(), &store.url, Probe::default(), host).await?;
    node.until_ready(READY_WITHIN).await?;
    let payload = Json::String("x".repeat(usize::try_from(arguments.payload).unwrap_or(0)));
    let calls = Arc::new(Calls::new(arguments.keys, "put", Some(&payload))?);
    let target = Arc::new(InProcess::new(node.node().clone(), calls));
    let length = std::time::Duration::from_secs(u64::from(arguments.seconds));
    let load = Load { concurrency: arguments.concurrency, keys: arguments.keys, length };
    load::run(&target, Load { length: run::WARM_UP, ..load }, host).await?;
    let progress = run::progress(u64::from(arguments.rounds) * 2);
    let (mut alone, mut beside): (Vec<Round>, Vec<Round>) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        alone.push(load::run(&target, load, host).await?);
        progress.inc(1);
        let snapshot = hold(&store.url).await?;
        beside.push(load::run(&target, load, host).await?);
        progress.inc(1);
        snapshot.close().await.map_err(anyhow::Error::from)?;
    }
    progress.finish_and_clear();
    let described = node.node().ports().store.describe();
    node.end().await;
    let per_second = Spread::of(alone.iter().map(Round::per_second).collect()).median;
    let p50 =
        Spread::of(alone.iter().map(|round| round.percentile(0.5).as_secs_f64() * 1e6).collect());
    let (concurrency, name) = (arguments.concurrency, "rounds without a snapshot");
    let baseline = Baseline { name, concurrency, per_second, p50_us: p50.median };
    let figure =
        |surface: &str, rounds: &[Round]| Figure::of(surface, concurrency, rounds, None, &baseline);
    let results = vec![figure("without a snapshot", &alone), figure("beside a snapshot", &beside)];
    Ok(Report {
        bench: "snapshot",
        conditions: Conditions {
            cores: conditions::cores(),
            build: conditions::build(),
            store: described,
            durability: conditions::durability(&store.url),
            fdatasync_p50_us: disk.p50_us,
            load: [load_before, conditions::load_average()],
            keys: arguments.keys,
            payload: arguments.payload,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
        },
        baselines: vec![baseline],
        results,
    })
}

/// Opens a snapshot that sees the database as it is now, for as long as the session lives.
async fn hold(url: &str) -> Result<PgConnection, Failure> {
    let mut session = database::connect(url).await?;
    let held = async {
        session.execute("begin isolation level repeatable read").await?;
        session.execute("select count(*) from shard_fence").await?;
        Ok::<_, sqlx::Error>(())
    };
    let held = held.await;
    held.map_err(|error| {
        Failure::new(Exit::Failed, format!("no snapshot could be held: {error}"))
    })?;
    Ok(session)
}
