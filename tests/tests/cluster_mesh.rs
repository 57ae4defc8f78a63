//! Calls to entities of another node cross the mesh, once each way; calls to own entities do not.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::{Answer, Message},
    cluster::{self, Cluster},
    failover::owner,
    process::StoreKind,
    report::say,
    wait::until,
    workload::Registers,
};
use serde_json::{Value, json};

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
