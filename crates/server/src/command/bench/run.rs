//! Runs a bench on a node of its own.

use std::{path::Path, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use quarry_ports::Host;
use quarry_types::duration_in_words;

use super::{
    activation,
    baseline::{self, Baseline},
    chunks,
    conditions::{Before, Conditions, Size},
    entity::Probe,
    load::{self, Load, Round, Target, count},
    memory, mesh,
    meter::{Cost, Count, Meter, TOLD_WITHIN},
    plan,
    report::{Figure, Report},
    sends, snapshot,
    store::BenchStore,
    surface::{Calls, InProcess, OverHttp, text},
    sweep, takeover,
};
use crate::{
    cli::{BenchArguments, BenchCommand},
    configuration::{self, Sources},
    failure::Failure,
    node::{Hosted, Phases, Recovery, RunningNode},
    output::Output,
};

/// How long every entity is called before the first round.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);
/// How long the node may take until it is ready.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);
/// Where values that the command itself chooses are said to come from.
pub(super) const ORIGIN: &str = "quarry bench";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Durable,
    Volatile,
}

/// Runs the command.
pub(crate) async fn run(command: &BenchCommand, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let (name, kind, arguments) = match command {
        BenchCommand::Durable(arguments) => ("durable", Kind::Durable, arguments.clone()),
        BenchCommand::Hot(arguments) => {
            ("hot", Kind::Durable, BenchArguments { keys: 1, ..arguments.clone() })
        }
        BenchCommand::Volatile(arguments) if arguments.nodes > 1 => {
            return mesh::run(arguments, output).await;
        }
        BenchCommand::Volatile(arguments) => ("volatile", Kind::Volatile, arguments.calls.clone()),
        BenchCommand::Echo(arguments) => return mesh::echo_server(arguments, output).await,
        BenchCommand::Sweep(arguments) => return sweep::run(arguments, output).await,
        BenchCommand::Snapshot(arguments) => return snapshot::run(arguments, output).await,
        BenchCommand::Plan(arguments) => return plan::run(arguments, &host, output),
        BenchCommand::Takeover(arguments) => return takeover::run(arguments, output).await,
        BenchCommand::TakeoverNode(node) => return takeover::node(node, output).await,
        BenchCommand::Sends(arguments) => return sends::run(arguments, output).await,
        BenchCommand::Chunks(arguments) => return chunks::run(arguments, output).await,
        BenchCommand::Memory(arguments) => return memory::run(arguments, output).await,
        BenchCommand::MemoryProcess(process) => return memory::process(process, output).await,
        BenchCommand::Activation(arguments) => return activation::run(arguments, output).await,
        BenchCommand::ActivationProcess(process) => {
            return activation::process(process, output).await;
        }
    };
    let server = arguments.timed.rounds.store.as_deref();
    let measured = BenchStore::with(server, &host, async |store| {
        measure((name, kind), &arguments, store, &host).await
    });
    measured.await?.print(output)
}

async fn measure(
    (name, kind): (&'static str, Kind),
    arguments: &BenchArguments,
    store: &BenchStore,
    host: &Host,
) -> Result<Report, Failure> {
    let (directory, url) = (store.directory(), store.url.as_str());
    let before = Before::look(directory, host).await?;
    let (described, (syncs, (baselines, results))) =
        on_a_node((directory, url), None, host, async |node| {
            let bench = Bench { kind, arguments, node, host, directory };
            let metrics = node.node().ports().metrics.clone();
            let mut meter = Meter::open(url, before.flushes(), metrics).await?;
            Ok((meter.describe(), bench.figures(&mut meter).await?))
        })
        .await?;
    let conditions = before.conditions(described, url, Size::from(arguments));
    let syncs = (kind == Kind::Durable).then_some(syncs);
    Ok(Report { bench: name, conditions: Conditions { syncs, ..conditions }, baselines, results })
}

/// Does `work` on a node alone at `place`, a directory and the URL of a store, and ends it; what the
/// store calls itself, too.
pub(super) async fn on_a_node<T>(
    (directory, url): (&Path, &str),
    idle_after: Option<Duration>,
    host: &Host,
    work: impl AsyncFnOnce(&RunningNode) -> Result<T, Failure>,
) -> Result<(String, T), Failure> {
    let node = start(directory, url, Probe::default(), idle_after, host).await?;
    let worked = match node.until_ready(READY_WITHIN).await {
        Ok(()) => work(&node).await,
        Err(failure) => Err(failure),
    };
    let described = node.node().ports().store.describe();
    node.end().await;
    Ok((described, worked?))
}

/// Starts a node alone in `directory`, with `entity` beside the built-in types; entities stay resident
/// for `idle_after`.
pub(super) async fn start(
    directory: &Path,
    url: &str,
    entity: impl quarry::prelude::Entity,
    idle_after: Option<Duration>,
    host: &Host,
) -> Result<RunningNode, Failure> {
    let mut sources = Sources::default();
    for (path, text) in [
        ("node.data_dir", directory.join("node").display().to_string()),
        ("node.http", "127.0.0.1:0".to_owned()),
        ("node.cluster", "127.0.0.1:0".to_owned()),
        ("node.mesh", "127.0.0.1:0".to_owned()),
        ("store.url", url.to_owned()),
    ] {
        sources.flags.push((path, ORIGIN, text));
    }
    let idle_after = idle_after.map(duration_in_words);
    sources.flags.extend(idle_after.map(|text| ("entities.idle_after", ORIGIN, text)));
    let settings = configuration::load(sources)?.settings;
    let hosted = Hosted::built_in()?.with(entity);
    let mut phases = Phases::begin(host);
    RunningNode::start(&settings, hosted, Recovery::Refuse, host, &mut phases).await
}

struct Bench<'a> {
    kind: Kind,
    arguments: &'a BenchArguments,
    node: &'a RunningNode,
    host: &'a Host,
    directory: &'a Path,
}

impl Bench<'_> {
    async fn figures(
        &self,
        meter: &mut Meter<'_>,
    ) -> Result<(Vec<Baseline>, Vec<Figure>), Failure> {
        let arguments = self.arguments;
        let put = Arc::new(Calls::new(arguments.keys, "put", Some(&text(arguments.payload)))?);
        let calls = match self.kind {
            Kind::Durable => Arc::clone(&put),
            Kind::Volatile => Arc::new(Calls::new(arguments.keys, "length", None)?),
        };
        let in_process = Arc::new(InProcess::new(self.node.node().clone(), Arc::clone(&calls)));
        let over_http = Arc::new(OverHttp::new(self.node.url(), calls)?);
        let steps =
            arguments.concurrency.len() as u64 * 2 * u64::from(arguments.timed.rounds.count);
        let progress = progress(steps);
        // Every entity exists and is in memory before anything is measured.
        self.round(&Arc::new(InProcess::new(self.node.node().clone(), put)), 64, WARM_UP).await?;
        let (mut baselines, mut figures) = (Vec::new(), Vec::new());
        for concurrency in &arguments.concurrency {
            let baseline = self.baseline(*concurrency).await?;
            let under = (*concurrency, &baseline);
            let inside = self.figure("in process", &in_process, under, meter, &progress);
            figures.push(inside.await?);
            let over = self.figure("http", &over_http, under, meter, &progress);
            figures.push(over.await?);
            baselines.push(baseline);
        }
        progress.finish_and_clear();
        Ok((baselines, figures))
    }

    async fn baseline(&self, concurrency: u32) -> Result<Baseline, Failure> {
        match self.kind {
            Kind::Durable => baseline::disk(self.directory, self.host).await,
            Kind::Volatile => {
                baseline::channel(concurrency, self.arguments.timed.length(), self.host).await
            }
        }
    }

    async fn figure<T: Target>(
        &self,
        surface: &'static str,
        target: &Arc<T>,
        (concurrency, baseline): (u32, &Baseline),
        meter: &mut Meter<'_>,
        progress: &ProgressBar,
    ) -> Result<Figure, Failure> {
        progress.set_message(format!("{surface}, {concurrency} callers"));
        let mut rounds = Vec::new();
        let store = &self.node.node().ports().store;
        let is_durable = self.kind == Kind::Durable;
        let before = self.counted(meter, target).await?;
        let commits_before = store.commits();
        for _ in 0..self.arguments.timed.rounds.count {
            rounds.push(self.round(target, concurrency, self.arguments.timed.length()).await?);
            progress.inc(1);
        }
        let commits = usize::try_from(store.commits().saturating_sub(commits_before)).unwrap_or(0);
        let messages: usize = rounds.iter().map(|round| round.latencies.len()).sum();
        let ratio = count(commits) / count(messages).max(1.0);
        let figure =
            Figure::of(surface, concurrency, &rounds, is_durable.then_some(ratio), baseline);
        let after = self.counted(meter, target).await?;
        let cost = before.zip(after).map(|(before, after)| Cost::between(before, after));
        Ok(figure.with_cost(cost.unwrap_or_default()))
    }

    /// What was done so far, where durable calls are measured. A few calls let every session of the
    /// database tell what it did.
    async fn counted<T: Target>(
        &self,
        meter: &mut Meter<'_>,
        target: &Arc<T>,
    ) -> Result<Option<Count>, Failure> {
        if self.kind != Kind::Durable {
            return Ok(None);
        }
        if meter.is_of_a_server() {
            self.host.sleep_until(self.host.now().after(TOLD_WITHIN)).await;
            self.round(target, 64, Duration::from_millis(20)).await?;
        }
        Ok(Some(meter.read().await?))
    }

    async fn round<T: Target>(
        &self,
        target: &Arc<T>,
        concurrency: u32,
        length: Duration,
    ) -> Result<Round, Failure> {
        let load = Load { concurrency, keys: self.arguments.keys, length };
        load::run(target, load, self.host).await
    }
}

pub(super) fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
