//! `quarry bench sends`: sends between entities, each in the commit of its sender, in turn with durable
//! one-way calls that a client makes itself.

use std::{sync::Arc, time::Duration};

use quarry_client::Json;
use quarry_ports::Host;
use serde::Serialize;
use serde_json::json;

use super::{
    conditions::{Before, Size},
    load::{self, Load, Round, count},
    report::{Report, Row, Spread},
    run::{self, WARM_UP},
    store::BenchStore,
    surface::{Calls, InProcess, text},
    wait::until,
};
use crate::{
    cli::SendsArguments,
    failure::{Exit, Failure},
    node::RunningNode,
    output::Output,
};

/// How long it may take until all that was sent is handled.
const HANDLED_WITHIN: Duration = Duration::from_mins(5);
/// What one handler may send.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// Runs the command.
pub(crate) async fn run(arguments: &SendsArguments, output: Output) -> Result<(), Failure> {
    check(arguments)?;
    let host = Host::system();
    let server = arguments.calls.timed.rounds.store.as_deref();
    let measured = BenchStore::with(server, &host, async |store| {
        let before = Before::look(store.directory(), &host).await?;
        let place = (store.directory(), store.url.as_str());
        let (described, results) = run::on_a_node(place, None, &host, async |node| {
            Bench { arguments, node, host: &host }.figures().await
        })
        .await?;
        let conditions = before.conditions(described, &store.url, Size::from(&arguments.calls));
        Ok(Report { bench: "sends", conditions, baselines: Vec::new(), results })
    });
    measured.await?.print(output)
}

/// A handler is not asked for more than it may send.
fn check(arguments: &SendsArguments) -> Result<(), Failure> {
    let most = arguments.sends.iter().copied().max().unwrap_or(0);
    let bytes = u64::from(most) * (u64::from(arguments.calls.payload) + 2);
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let message = format!("--sends {most} with --payload {}: too much", arguments.calls.payload);
    Err(Failure::new(Exit::Usage, message)
        .advise(format!("a handler sends at most {} MiB", MOST_BYTES >> 20)))
}

/// Sends of one number of callers.
#[derive(Debug, Serialize)]
struct Figure {
    /// Callers at a time.
    concurrency: u32,
    /// Sends of each call.
    sends: u32,
    /// Sends per second, from the first call until the last send stood at its target.
    per_second: Spread,
    /// The baseline: durable one-way calls per second.
    one_way_per_second: Spread,
    /// Sends to one-way calls, of rounds that followed one another.
    ratio: Spread,
    /// Synchronous commits per send: those of the sender, of the target, and those that close the send.
    commits_per_send: f64,
    /// Synchronous commits per one-way call, until it is handled.
    commits_per_one_way: f64,
    /// The middle of the times of the calls that send, in milliseconds.
    p50_ms: f64,
    /// The time within which 99 of 100 of them were answered.
    p99_ms: f64,
    /// Calls that were not answered with success.
    errors: u32,
    /// What the first of them was told.
    first_error: Option<String>,
}

/// What one round came to.
struct Measured {
    calls: Round,
    per_second: f64,
    /// Commits for each.
    commits: f64,
}

struct Bench<'a> {
    arguments: &'a SendsArguments,
    node: &'a RunningNode,
    host: &'a Host,
}

impl Bench<'_> {
    async fn figures(&self) -> Result<Vec<Figure>, Failure> {
        let SendsArguments { sends, calls } = self.arguments;
        let text = text(calls.payload);
        let one_way = Arc::new(self.target("put", &text)?.one_way());
        let concurrency = calls.concurrency.iter();
        let points: Vec<(u32, u32)> = concurrency
            .flat_map(|callers| sends.iter().map(move |sends| (*callers, *sends)))
            .collect();
        let rounds = calls.timed.rounds.count;
        let progress = run::progress(points.len() as u64 * u64::from(rounds));
        // What is called is in memory before anything is measured.
        self.round(&one_way, (64, WARM_UP), 0).await?;
        let mut figures = Vec::new();
        for (concurrency, sends) in points {
            progress.set_message(format!("{concurrency} callers, {sends} sends"));
            let relayed = json!({ "text": text, "sends": sends, "keys": calls.keys });
            let relay = Arc::new(self.target("relay", &relayed)?);
            let (mut called, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                let under = (concurrency, calls.timed.length());
                called.push(self.round(&one_way, under, 0).await?);
                sent.push(self.round(&relay, under, sends).await?);
                progress.inc(1);
            }
            figures.push(Figure::of((concurrency, sends), &called, &sent));
        }
        progress.finish_and_clear();
        Ok(figures)
    }

    fn target(&self, method: &str, payload: &Json) -> Result<InProcess, Failure> {
        let calls = Calls::new(self.arguments.calls.keys, method, Some(payload))?;
        Ok(InProcess::new(self.node.node().clone(), Arc::new(calls)))
    }

    /// One round of calls that make `sends` sends each, or none and are measured themselves; it ends
    /// when all is handled and closed.
    async fn round(
        &self,
        target: &Arc<InProcess>,
        (concurrency, length): (u32, Duration),
        sends: u32,
    ) -> Result<Measured, Failure> {
        let ports = self.node.node().ports();
        let (metrics, store) = (&ports.metrics, &ports.store);
        let load = Load { concurrency, keys: self.arguments.calls.keys, length };
        let (began, commits) = (self.host.now(), store.commits());
        let accepted = metrics.commit_messages.get();
        let calls = load::run(target, load, self.host).await?;
        let made = u64::try_from(calls.latencies.len()).unwrap_or(u64::MAX);
        let measured = made.saturating_mul(u64::from(sends.max(1)));
        // A call that failed may have sent nothing: then what is open tells.
        let all = accepted.saturating_add(made.saturating_mul(u64::from(sends).saturating_add(1)));
        let stand = || metrics.commit_messages.get() >= all || metrics.open_sends.get() == 0;
        let what = "not every send stood at its target";
        let stood = until(what, HANDLED_WITHIN, self.host, stand).await?;
        let is_quiet = || metrics.open_sends.get() == 0 && metrics.pending_messages.get() == 0;
        until("not all was handled", HANDLED_WITHIN, self.host, is_quiet).await?;
        let measured = count(usize::try_from(measured).unwrap_or(usize::MAX)).max(1.0);
        let committed = store.commits().saturating_sub(commits);
        Ok(Measured {
            per_second: measured / stood.since(began).as_secs_f64().max(1e-9),
            commits: count(usize::try_from(committed).unwrap_or(usize::MAX)) / measured,
            calls,
        })
    }
}

impl Figure {
    /// What the rounds come to; each of `sent` followed one of `called`.
    fn of((concurrency, sends): (u32, u32), called: &[Measured], sent: &[Measured]) -> Self {
        let rates = |rounds: &[Measured]| {
            Spread::of(rounds.iter().map(|measured| measured.per_second).collect())
        };
        let commits = |rounds: &[Measured]| {
            Spread::of(rounds.iter().map(|measured| measured.commits).collect()).median
        };
        let ratios = sent
            .iter()
            .zip(called)
            .map(|(sent, called)| sent.per_second / called.per_second.max(1e-9));
        let within = |share: f64| {
            let times = sent.iter().map(|sent| sent.calls.percentile(share).as_secs_f64() * 1e3);
            Spread::of(times.collect()).median
        };
        let mut all = called.iter().chain(sent).map(|measured| &measured.calls);
        Self {
            concurrency,
            sends,
            per_second: rates(sent),
            one_way_per_second: rates(called),
            ratio: Spread::of(ratios.collect()),
            commits_per_send: commits(sent),
            commits_per_one_way: commits(called),
            p50_ms: within(0.5),
            p99_ms: within(0.99),
            errors: all.clone().map(|round| round.errors).sum(),
            first_error: all.find_map(|round| round.first_error.clone()),
        }
    }
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &[
        "callers",
        "sends each",
        "sends/s (min/med/max)",
        "one-way/s (min/med/max)",
        "ratio (min/med/max)",
        "commits/send",
        "commits/one-way",
        "call p50 ms",
        "p99 ms",
        "errors",
    ];

    fn row(&self) -> Vec<String> {
        vec![
            self.concurrency.to_string(),
            self.sends.to_string(),
            self.per_second.cell(0),
            self.one_way_per_second.cell(0),
            self.ratio.cell(3),
            format!("{:.3}", self.commits_per_send),
            format!("{:.3}", self.commits_per_one_way),
            format!("{:.3}", self.p50_ms),
            format!("{:.3}", self.p99_ms),
            self.errors.to_string(),
        ]
    }
}
