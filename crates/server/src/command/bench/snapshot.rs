//! `quarry bench snapshot`: durable calls while someone else keeps a snapshot of the database open, in
//! turn with rounds without one.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use sqlx::{Connection, Executor, PgConnection};

use super::{
    baseline::Baseline,
    conditions::{Before, Size},
    database,
    load::{self, Load, Round},
    report::{Figure, Report},
    run::{self, WARM_UP},
    store::BenchStore,
    surface::{Calls, InProcess, text},
};
use crate::{
    cli::SnapshotArguments,
    failure::{Exit, Failure},
    node::RunningNode,
    output::Output,
};

/// Runs the command.
pub(crate) async fn run(arguments: &SnapshotArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let measured = BenchStore::with(Some(&arguments.store), &host, async |store| {
        let before = Before::look(store.directory(), &host).await?;
        let place = (store.directory(), store.url.as_str());
        let (described, [alone, beside]) = run::on_a_node(place, None, &host, async |node| {
            rounds(arguments, &store.url, node, &host).await
        })
        .await?;
        let size = Size {
            keys: arguments.keys,
            payload: arguments.payload,
            seconds: Some(arguments.seconds),
            rounds: arguments.rounds,
        };
        let conditions = before.conditions(described, &store.url, size);
        let (concurrency, name) = (arguments.concurrency, "rounds without a snapshot");
        let baseline = Baseline::of_rounds(name, concurrency, &alone);
        let figure = |surface: &str, rounds: &[Round]| {
            Figure::of(surface, concurrency, rounds, None, &baseline)
        };
        let results =
            vec![figure("without a snapshot", &alone), figure("beside a snapshot", &beside)];
        Ok(Report { bench: "snapshot", conditions, baselines: vec![baseline], results })
    });
    measured.await?.print(output)
}

/// The rounds without a snapshot, and those beside one.
async fn rounds(
    arguments: &SnapshotArguments,
    url: &str,
    node: &RunningNode,
    host: &Host,
) -> Result<[Vec<Round>; 2], Failure> {
    let calls = Arc::new(Calls::new(arguments.keys, "put", Some(&text(arguments.payload)))?);
    let target = Arc::new(InProcess::new(node.node().clone(), calls));
    let length = Duration::from_secs(u64::from(arguments.seconds));
    let load = Load { concurrency: arguments.concurrency, keys: arguments.keys, length };
    load::run(&target, Load { length: WARM_UP, ..load }, host).await?;
    let progress = run::progress(u64::from(arguments.rounds) * 2);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        alone.push(load::run(&target, load, host).await?);
        progress.inc(1);
        let snapshot = hold(url).await?;
        beside.push(load::run(&target, load, host).await?);
        progress.inc(1);
        snapshot.close().await.map_err(anyhow::Error::from)?;
    }
    progress.finish_and_clear();
    Ok([alone, beside])
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
