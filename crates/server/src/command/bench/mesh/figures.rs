//! What is measured of the calls, and of the echo beside them.

use std::{sync::Arc, time::Duration};

use quarry_ports::{Host, Metrics};
use serde::Serialize;

use super::{
    cluster::Cluster,
    echo::{Echo, Echoes},
    processes,
    report::Figure,
};
use crate::{
    cli::BenchArguments,
    command::bench::{
        load::{self, Load, Round, count},
        run::{WARM_UP, progress},
        surface::{Calls, InProcess},
    },
    failure::Failure,
    node::RunningNode,
};

/// How many callers warm up.
const WARMERS: u32 = 64;

/// What one round came to.
pub(super) struct Measured {
    /// Its calls.
    pub(super) round: Round,
    /// Processor time of this process and of the others, in microseconds per call.
    pub(super) cpu_us: [f64; 2],
    /// What crossed this process's links, per call.
    pub(super) crossed: Crossed,
}

/// What crossed the links of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Crossed {
    /// Frames with requests that left.
    pub(super) requests: f64,
    /// Frames with replies that came.
    pub(super) replies: f64,
    /// Bytes that left.
    pub(super) bytes_sent: f64,
    /// Bytes that came.
    pub(super) bytes_received: f64,
}

impl Crossed {
    /// So far.
    fn by(metrics: &Metrics) -> Self {
        let frames = |labels: &[&str]| number(metrics.mesh_frames.with_label_values(labels).get());
        let bytes = |labels: &[&str]| number(metrics.mesh_bytes.with_label_values(labels).get());
        Self {
            requests: frames(&["sent", "request"]),
            replies: frames(&["received", "reply"]),
            bytes_sent: bytes(&["sent"]),
            bytes_received: bytes(&["received"]),
        }
    }

    /// What came to it since `before`, for each of `calls`.
    fn since(self, before: Self, calls: f64) -> Self {
        Self {
            requests: (self.requests - before.requests) / calls,
            replies: (self.replies - before.replies) / calls,
            bytes_sent: (self.bytes_sent - before.bytes_sent) / calls,
            bytes_received: (self.bytes_received - before.bytes_received) / calls,
        }
    }
}

/// The bench while it runs.
pub(super) struct Bench<'a> {
    pub(super) arguments: &'a BenchArguments,
    pub(super) cluster: &'a Cluster,
    pub(super) client: &'a RunningNode,
    pub(super) host: &'a Host,
}

impl Bench<'_> {
    /// Measures every number of callers, in turn with the echo.
    pub(super) async fn figures(&self, nodes: u64) -> Result<(u32, Vec<Figure>), Failure> {
        let arguments = self.arguments;
        let calls = Arc::new(Calls::to("Counter", 0..arguments.keys, "get", None)?);
        let calls = Arc::new(InProcess::new(self.client.node().clone(), calls));
        let servers = Echoes::start(nodes).await?;
        let echo_processes = servers.ids();
        let nodes = self.cluster.processes();
        // Every entity is in memory and every link is made before anything is measured.
        self.round(&calls, (WARMERS, WARM_UP), &nodes).await?;
        let warm = self.round(&calls, (WARMERS, WARM_UP), &nodes).await?;
        let length = whole(warm.crossed.bytes_sent);
        let echo = Arc::new(servers.connect(length, self.host).await?);
        self.round::<Echo>(&echo, (WARMERS, WARM_UP / 5), &echo_processes).await?;
        let steps = arguments.concurrency.len() as u64 * u64::from(arguments.timed.rounds.count);
        let progress = progress(steps);
        let mut figures = Vec::new();
        for concurrency in &arguments.concurrency {
            let (mut called, mut echoed) = (Vec::new(), Vec::new());
            progress.set_message(format!("{concurrency} callers"));
            for _ in 0..arguments.timed.rounds.count {
                let under = (*concurrency, arguments.timed.length());
                echoed.push(self.round(&echo, under, &echo_processes).await?);
                called.push(self.round(&calls, under, &nodes).await?);
                progress.inc(1);
            }
            figures.push(Figure::of(*concurrency, &called, &echoed));
        }
        progress.finish_and_clear();
        servers.stop().await?;
        Ok((length, figures))
    }

    async fn round<T: load::Target>(
        &self,
        target: &Arc<T>,
        (concurrency, length): (u32, Duration),
        others: &[u32],
    ) -> Result<Measured, Failure> {
        let load = Load { concurrency, keys: self.arguments.keys, length };
        let spent = || [processes::spent(&[std::process::id()]), processes::spent(others)];
        let metrics = &self.client.node().ports().metrics;
        let ([mine, theirs], crossed) = (spent(), Crossed::by(metrics));
        let round = load::run(target, load, self.host).await?;
        let calls = count(round.latencies.len()).max(1.0);
        let [mine_after, theirs_after] = spent();
        let cpu_us = [(mine_after, mine), (theirs_after, theirs)]
            .map(|(after, before)| after.saturating_sub(before).as_secs_f64() * 1e6 / calls);
        Ok(Measured { round, cpu_us, crossed: Crossed::by(metrics).since(crossed, calls) })
    }
}

/// A count as a float; exact below 2^53, and beyond it nobody counts here.
#[expect(clippy::cast_precision_loss, reason = "as said above")]
const fn number(count: u64) -> f64 {
    count as f64
}

/// A count of bytes as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut at the bounds of the type, and these are a few hundred bytes"
)]
const fn whole(bytes: f64) -> u32 {
    bytes.round() as u32
}
