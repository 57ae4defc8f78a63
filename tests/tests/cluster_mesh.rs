//! Calls to entities of another node cross the mesh, once each way; calls to own entities do not. And
//! however much crosses it, leases are renewed beside it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    failover::owner,
    metrics::Metrics,
    process::StoreKind,
    report::say,
    wait::{Stopwatch, until},
    workload::Registers,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CALLS: u64 = 40;
const FRAMES: &str = "quarry_mesh_frames_total";

/// Requests and replies that one node sent and received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Frames {
    requests_sent: u64,
    requests_received: u64,
    replies_sent: u64,
    replies_received: u64,
}

impl Frames {
    async fn of(cluster: &Cluster, node: u16) -> Result<Self> {
        let metrics = cluster.metrics(node).await?;
        let count = |direction, kind| {
            metrics.sum_where(FRAMES, &[("direction", direction), ("kind", kind)])
        };
        Ok(Self {
            requests_sent: count("sent", "request"),
            requests_received: count("received", "request"),
            replies_sent: count("sent", "reply"),
            replies_received: count("received", "reply"),
        })
    }

    const fn since(self, before: Self) -> Self {
        Self {
            requests_sent: self.requests_sent - before.requests_sent,
            requests_received: self.requests_received - before.requests_received,
            replies_sent: self.replies_sent - before.replies_sent,
            replies_received: self.replies_received - before.replies_received,
        }
    }
}

/// A register of each node.
async fn register_of_each(
    cluster: &Cluster,
    registers: &Registers,
) -> Result<BTreeMap<u16, String>> {
    let mut found = BTreeMap::new();
    for number in 0..100 {
        let id = format!("r{number}");
        found.entry(owner(registers, &id).await?).or_insert(id);
        if found.len() == cluster.ids().len() {
            return Ok(found);
        }
    }
    anyhow::bail!("a hundred registers belong to {:?} only", found.keys())
}

async fn call(cluster: &Cluster, through: u16, register: &str) -> Result<()> {
    let body = json!({});
    let message =
        Message { entity_type: "Register", id: register, method: "read", key: None, body: &body };
    for _ in 0..CALLS {
        let answer = cluster.client().send(cluster.url(through)?, &message).await?;
        ensure!(matches!(answer, Answer::Done { .. }), "Register/{register}: {answer:?}");
    }
    Ok(())
}

async fn all_frames(cluster: &Cluster) -> Result<BTreeMap<u16, Frames>> {
    let mut frames = BTreeMap::new();
    for node in cluster.ids() {
        frames.insert(node, Frames::of(cluster, node).await?);
    }
    Ok(frames)
}

/// What [`CALLS`] calls through `through` to an entity of `owner` must add at `node`.
fn expected(node: u16, through: u16, owner: u16) -> Frames {
    let silent = Frames::default();
    match node {
        _ if through == owner => silent,
        _ if node == through => Frames { requests_sent: CALLS, replies_received: CALLS, ..silent },
        _ if node == owner => Frames { requests_received: CALLS, replies_sent: CALLS, ..silent },
        _ => silent,
    }
}

/// Waits until shards are divided evenly and none is moving: a register then stays where it is.
async fn at_rest(cluster: &Cluster) -> Result<()> {
    let url = format!("{}/v1/cluster", cluster.url(1)?);
    until("the shards are at rest", Duration::from_mins(1), async || {
        let status: Value = serde_json::from_str(&cluster.client().text(&url).await.ok()?).ok()?;
        let total = status.pointer("/shards/total")?.as_u64()?;
        let moving = status.pointer("/shards/moving")?.as_u64()?;
        let nodes = status.get("nodes")?.as_array()?;
        let share = total / u64::try_from(cluster.ids().len()).ok()?;
        let is_even = |node: &Value| {
            let owned = node.get("shards").and_then(Value::as_u64);
            owned.is_some_and(|owned| (share..=share + 1).contains(&owned))
        };
        let is_whole = nodes.len() == cluster.ids().len();
        (is_whole && moving == 0 && nodes.iter().all(is_even)).then_some(())
    })
    .await
}

#[tokio::test]
async fn calls_cross_the_mesh_when_another_node_owns_the_entity() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        at_rest(cluster).await?;
        let found = register_of_each(cluster, &registers).await?;
        for through in cluster.ids() {
            for (owner, register) in &found {
                let before = all_frames(cluster).await?;
                call(cluster, through, register).await?;
                for node in cluster.ids() {
                    let before = before.get(&node).context("counted before")?;
                    let wanted = expected(node, through, *owner);
                    // The last reply may be counted after it was answered.
                    let what = format!("node {node} counts {wanted:?}");
                    let within = Duration::from_secs(5);
                    until(&what, within, async || {
                        let now = Frames::of(cluster, node).await.ok()?;
                        (now.since(*before) == wanted).then_some(())
                    })
                    .await?;
                }
                say(format!("{CALLS} calls through node {through} to node {owner}: as expected"));
            }
        }
        Ok(())
    })
    .await
}

/// How long the mesh is flooded: three times as long as a lease lives.
const FLOOD: Duration = Duration::from_secs(10);
/// The size of one value: below the limit of a request, of 1 MiB.
const VALUE: usize = 1_000_000;
/// Values of a register that is read: its reply is below the limit of one, of 8 MiB.
const VALUES: usize = 8;
/// What has to cross the mesh in that time for it to be a flood: it is the processors that bound it, as
/// what crosses is read and written as JSON by unoptimized programs.
const FLOOD_BYTES: u64 = 48 << 20;
/// Between two heartbeats of a node.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Bounds of the histogram of round trips, in seconds: what none may exceed with all processors busy,
/// which is about a quarter of a lease's time to live, and what is usual.
const ROUND_TRIP: &str = "0.8192";
const USUAL: &str = "0.1024";
/// What a lease of three seconds has left at least where no heartbeat takes longer: a runner counts on
/// 85 % of its time from when it sent one, and sends the next half a second later.
const LEASE_LEFT: f64 = 3.0 * 0.85 - 0.5 - 0.8192;

/// Sends large calls through `url` for as long as the flood lasts: reads of `register`, or appends to
/// new registers where none is named. How many were answered.
async fn pour(
    client: Client,
    url: String,
    register: Option<String>,
    watch: Stopwatch,
    value: Arc<String>,
) -> Result<u64> {
    let (mut answered, mut number) = (0, 0);
    while watch.elapsed() < FLOOD {
        number += 1;
        let answer = if let Some(register) = &register {
            send(&client, &url, register, "read", &json!({})).await?
        } else {
            let (id, body) = (format!("flood-{number}"), json!({ "value": *value }));
            send(&client, &url, &id, "append", &body).await?
        };
        // A refusal or a broken connection is what a flood may bring about.
        answered += u64::from(matches!(answer, Answer::Done { .. }));
    }
    Ok(answered)
}

async fn send(client: &Client, url: &str, id: &str, method: &str, body: &Value) -> Result<Answer> {
    client.send(url, &Message { entity_type: "Register", id, method, key: None, body }).await
}

/// Lets every node ask every other for what that has to send, and be sent as much as it can store.
fn flood(cluster: &Cluster, registers: &BTreeMap<u16, String>) -> Result<JoinSet<Result<u64>>> {
    let (watch, value) = (Stopwatch::start(), Arc::new("x".repeat(VALUE)));
    let mut clients = JoinSet::new();
    for through in cluster.ids() {
        let others = registers.iter().filter(|(owner, _)| **owner != through);
        let reads = others.map(|(_, register)| Some(register.clone()));
        for register in reads.chain([None]) {
            let (client, url) = (cluster.client().clone(), cluster.url(through)?.to_owned());
            clients.spawn(pour(client, url, register, watch.clone(), Arc::clone(&value)));
        }
    }
    Ok(clients)
}

/// What tells of a node's lease and of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calm {
    leader_changes: u64,
    term: u64,
    leases_ended: u64,
    /// Heartbeats that did not renew the lease.
    failed: u64,
    /// Heartbeats whose round trip took longer than [`ROUND_TRIP`].
    slow: u64,
}

impl Calm {
    fn of(page: &Metrics) -> Self {
        let renewed = renewed(page);
        Self {
            leader_changes: page.sum("quarry_raft_leader_changes_total"),
            term: page.sum("quarry_raft_term"),
            leases_ended: page.sum("quarry_leases_ended_total"),
            failed: page.sum("quarry_heartbeats_total") - renewed,
            slow: page.sum("quarry_heartbeat_seconds_count") - within(page, ROUND_TRIP),
        }
    }
}

fn renewed(page: &Metrics) -> u64 {
    page.sum_where("quarry_heartbeats_total", &[("outcome", "renewed")])
}

/// Heartbeats whose round trip took at most `bound`.
fn within(page: &Metrics, bound: &str) -> u64 {
    page.sum_where("quarry_heartbeat_seconds_bucket", &[("le", bound)])
}

async fn pages(cluster: &Cluster) -> Result<BTreeMap<u16, Metrics>> {
    let mut pages = BTreeMap::new();
    for node in cluster.ids() {
        pages.insert(node, cluster.metrics(node).await?);
    }
    Ok(pages)
}

/// The least that any node had left of its lease, looked at again and again until the flood is over; and
/// how many calls were answered.
async fn least_left(cluster: &Cluster, mut clients: JoinSet<Result<u64>>) -> Result<(f64, u64)> {
    let (mut least, mut answered) = (f64::INFINITY, 0);
    while !clients.is_empty() {
        for node in cluster.ids() {
            let page = cluster.client().text(&format!("{}/metrics", cluster.url(node)?)).await?;
            let left =
                page.lines().find_map(|line| line.strip_prefix("quarry_lease_left_seconds "));
            let left: f64 = left.context("no gauge of the lease")?.parse()?;
            least = least.min(left);
        }
        while let Some(client) = clients.try_join_next() {
            answered += client.context("a client panicked")??;
        }
    }
    Ok((least, answered))
}

#[tokio::test]
async fn no_flood_of_the_mesh_keeps_leases_from_being_renewed() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        at_rest(cluster).await?;
        let large = register_of_each(cluster, &registers).await?;
        let body = json!({ "value": "x".repeat(VALUE) });
        for (owner, register) in &large {
            for _ in 0..VALUES {
                let stored =
                    send(cluster.client(), cluster.url(*owner)?, register, "append", &body);
                let stored = stored.await?;
                ensure!(matches!(stored, Answer::Done { .. }), "Register/{register}: {stored:?}");
            }
        }
        let (before, watch) = (pages(cluster).await?, Stopwatch::start());
        let (left, answered) = least_left(cluster, flood(cluster, &large)?).await?;
        let (after, took) = (pages(cluster).await?, watch.elapsed());
        let sum = |pages: &BTreeMap<u16, Metrics>, family| -> u64 {
            pages.values().map(|page| page.sum(family)).sum()
        };
        let grown = |family| sum(&after, family) - sum(&before, family);
        let bytes = grown("quarry_mesh_bytes_total") / 2;
        let waits = grown("quarry_mesh_credit_exhausted_total");
        say(format!(
            "{answered} calls, {} MiB over the mesh in {took:?}, {waits} of them found no credit; \
             leases had {left:.3} s left at least",
            bytes >> 20
        ));
        ensure!(bytes >= FLOOD_BYTES, "{bytes} bytes are no flood");
        for node in cluster.ids() {
            let (before, after) = (&before[&node], &after[&node]);
            let renewed = u128::from(renewed(after) - renewed(before));
            let due = took.as_millis() / HEARTBEAT.as_millis();
            let usual = within(after, USUAL) - within(before, USUAL);
            say(format!("node {node}: {renewed} heartbeats of {due}, {usual} within {USUAL} s"));
            ensure!(renewed * 2 >= due, "node {node}: {renewed} of {due} heartbeats");
            let (before, after) = (Calm::of(before), Calm::of(after));
            ensure!(before == after, "node {node}: {before:?} became {after:?}");
        }
        ensure!(left >= LEASE_LEFT, "a lease had {left} s left");
        ensure!(cluster.violations().await? == 0, "an invariant was violated");
        Ok(())
    })
    .await
}
