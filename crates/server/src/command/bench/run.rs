//! Runs a bench on a node of its own.

use std::{path::Path, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use quarry_client::Json;
use quarry_ports::Host;

use super::{
    baseline::{self, Baseline},
    conditions::{self, Conditions},
    database::Database,
    entity::Probe,
    load::{self, Load, Round, Target, count},
    report::{Figure, Report},
    surface::{Calls, InProcess, OverHttp},
};
use crate::{
    cli::{BenchArguments, BenchCommand},
    configuration::{self, Sources, mask_url},
    failure::{Exit, Failure},
    node::{Hosted, Phases, Recovery, RunningNode},
    output::Output,
};

/// How long every entity is called before the first round.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the node may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long the baseline of the disk is measured.
const DISK: Duration = Duration::from_secs(1);
/// Where values that the command itself chooses are said to come from.
const ORIGIN: &str = "quarry bench";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Durable,
    Volatile,
}

/// Runs the command.
pub(crate) async fn run(command: &BenchCommand, output: Output) -> Result<(), Failure> {
    let (kind, arguments) = match command {
        BenchCommand::Durable(arguments) => (Kind::Durable, arguments),
        BenchCommand::Volatile(arguments) => (Kind::Volatile, arguments),
    };
    let host = Host::system();
    let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
    let database = match &arguments.store {
        Some(url) if url.starts_with("postgres") => Some(Database::create(url, &host).await?),
        Some(url) => {
            let message = format!("--store: {} is no server of PostgreSQL", mask_url(url));
            return Err(Failure::new(Exit::Usage, message)
                .advise("write postgres://USER@HOST/DATABASE; without it SQLite is measured"));
        }
        None => None,
    };
    let url = database.as_ref().map_or_else(
        || format!("sqlite://{}", directory.path().join("bench.db").display()),
        |database| database.url.clone(),
    );
    let measured = measure(kind, arguments, directory.path(), &url, &host).await;
    if let Some(database) = database {
        database.remove().await?;
    }
    measured?.print(output)
}

async fn measure(
    kind: Kind,
    arguments: &BenchArguments,
    directory: &Path,
    url: &str,
    host: &Host,
) -> Result<Report, Failure> {
    let load_before = conditions::load_average();
    let disk = baseline::disk(directory, DISK, host).await?;
    let node = start(directory, url, host).await?;
    let bench = Bench { kind, arguments, node: &node, host, directory };
    let measured = bench.figures().await;
    let store = node.node().ports().store.describe();
    node.end().await;
    let (baselines, results) = measured?;
    Ok(Report {
        bench: if kind == Kind::Durable { "durable" } else { "volatile" },
        conditions: Conditions {
            cores: conditions::cores(),
            build: conditions::build(),
            store,
            durability: conditions::durability(url),
            fdatasync_p50_us: disk.p50_us,
            load: [load_before, conditions::load_average()],
            keys: arguments.keys,
            payload: arguments.payload,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
        },
        baselines,
        results,
    })
}

/// A node alone in `directory`, with the probe beside the built-in types.
async fn start(directory: &Path, url: &str, host: &Host) -> Result<RunningNode, Failure> {
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
    let settings = configuration::load(sources)?.settings;
    let hosted = Hosted::built_in()?.with(Probe::default());
    let mut phases = Phases::begin(host);
    let node = RunningNode::start(&settings, hosted, Recovery::Refuse, host, &mut phases).await?;
    node.until_ready(READY_WITHIN).await?;
    Ok(node)
}

struct Bench<'a> {
    kind: Kind,
    arguments: &'a BenchArguments,
    node: &'a RunningNode,
    host: &'a Host,
    directory: &'a Path,
}

impl Bench<'_> {
    async fn figures(&self) -> Result<(Vec<Baseline>, Vec<Figure>), Failure> {
        let arguments = self.arguments;
        let length = usize::try_from(arguments.payload).unwrap_or(0);
        let payload = Json::String("x".repeat(length));
        let put = Arc::new(Calls::new(arguments.keys, "put", Some(payload))?);
        let calls = match self.kind {
            Kind::Durable => Arc::clone(&put),
            Kind::Volatile => Arc::new(Calls::new(arguments.keys, "length", None)?),
        };
        let in_process = Arc::new(InProcess::new(self.node.node().clone(), Arc::clone(&calls)));
        let over_http = Arc::new(OverHttp::new(self.node.url(), calls)?);
        let steps = arguments.concurrency.len() as u64 * 2 * u64::from(arguments.rounds);
        let progress = progress(steps);
        // Every entity exists and is in memory before anything is measured.
        self.round(&Arc::new(InProcess::new(self.node.node().clone(), put)), 64, WARM_UP).await?;
        let (mut baselines, mut figures) = (Vec::new(), Vec::new());
        for concurrency in &arguments.concurrency {
            let baseline = self.baseline(*concurrency).await?;
            let inside = self.figure("in process", &in_process, *concurrency, &baseline, &progress);
            figures.push(inside.await?);
            let over = self.figure("http", &over_http, *concurrency, &baseline, &progress);
            figures.push(over.await?);
            baselines.push(baseline);
        }
        progress.finish_and_clear();
        Ok((baselines, figures))
    }

    async fn baseline(&self, concurrency: u32) -> Result<Baseline, Failure> {
        match self.kind {
            Kind::Durable => baseline::disk(self.directory, DISK, self.host).await,
            Kind::Volatile => {
                baseline::channel(concurrency, self.arguments.round(), self.host).await
            }
        }
    }

    async fn figure<T: Target>(
        &self,
        surface: &'static str,
        target: &Arc<T>,
        concurrency: u32,
        baseline: &Baseline,
        progress: &ProgressBar,
    ) -> Result<Figure, Failure> {
        progress.set_message(format!("{surface}, {concurrency} callers"));
        let mut rounds = Vec::new();
        let store = &self.node.node().ports().store;
        let commits_before = store.commits();
        for _ in 0..self.arguments.rounds {
            rounds.push(self.round(target, concurrency, self.arguments.round()).await?);
            progress.inc(1);
        }
        let commits = usize::try_from(store.commits().saturating_sub(commits_before)).unwrap_or(0);
        let messages: usize = rounds.iter().map(|round| round.latencies.len()).sum();
        let ratio = count(commits) / count(messages).max(1.0);
        let ratio = (self.kind == Kind::Durable).then_some(ratio);
        Ok(Figure::of(surface, concurrency, &rounds, ratio, baseline))
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

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
