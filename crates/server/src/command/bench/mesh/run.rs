//! Starts everything, measures, and ends it all again.

use quarry_ports::Host;

use super::{
    cluster::Cluster,
    figures::Bench,
    report::{Figure, Report},
};
use crate::{
    cli::VolatileArguments,
    command::bench::{
        conditions::{Before, Size},
        store::BenchStore,
    },
    failure::{Exit, Failure},
    node::Signals,
    output::Output,
};

/// Runs the command. Whatever ends it, no process and no file of it stays.
pub(crate) async fn run(arguments: &VolatileArguments, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let mut signals = Signals::listen()?;
    let server = arguments.calls.timed.rounds.store.as_deref();
    let measured = BenchStore::with(server, &host, async |store| {
        measure(arguments, store, (&mut signals, output), &host).await
    });
    measured.await?.print(output)
}

async fn measure(
    arguments: &VolatileArguments,
    store: &BenchStore,
    (signals, output): (&mut Signals, Output),
    host: &Host,
) -> Result<Report, Failure> {
    let before = Before::look(store.directory(), host).await?;
    let place = (store.directory(), store.url.as_str());
    let cluster = Cluster::start(arguments.nodes, place, host, output)?;
    let measured = with_client(arguments, &cluster, signals, host).await;
    cluster.stop(signals).await;
    let (echo_bytes, described, results) = measured?;
    let size = Size { payload: 0, ..Size::from(&arguments.calls) };
    Ok(Report {
        bench: "volatile over the mesh",
        nodes: arguments.nodes,
        echo_bytes,
        conditions: before.conditions(described, &store.url, size),
        results,
    })
}

/// The bytes of an echo's frame, the store and the figures.
async fn with_client(
    arguments: &VolatileArguments,
    cluster: &Cluster,
    signals: &mut Signals,
    host: &Host,
) -> Result<(u32, String, Vec<Figure>), Failure> {
    let client = tokio::select! {
        joined = cluster.join(host) => joined?,
        failure = cluster.failed() => return Err(failure),
        () = signals.next() => return Err(stopped()),
    };
    let bench = Bench { arguments: &arguments.calls, cluster, client: &client, host };
    let measured = tokio::select! {
        measured = bench.figures(arguments.nodes) => measured,
        failure = cluster.failed() => Err(failure),
        () = signals.next() => Err(stopped()),
    };
    let described = client.node().ports().store.describe();
    client.end().await;
    let (echo_bytes, figures) = measured?;
    Ok((echo_bytes, described, figures))
}

fn stopped() -> Failure {
    Failure::new(Exit::Failed, "stopped by a signal: nothing was measured to its end")
}
