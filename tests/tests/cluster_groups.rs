//! Entity types that are bound to a group of nodes live on these, and on no other.
#![expect(clippy::indexing_slicing, reason = "JSON indexed by a name that it lacks is null")]

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Message, ProblemOutcome},
    cluster::{self, Cluster},
    command::{Ran, clean, finish},
    ledger::Ledger,
    process::{StoreKind, binary},
    report::say,
    wait::until,
};
use serde_json::{Value, json};
use tokio::process::Command;

const WITHIN: Duration = Duration::from_mins(1);
/// The only node of the group at first.
const OWN: u16 = 3;
const ENTITIES: u16 = 12;

async fn run_quarry(cluster: &Cluster, line: &str) -> Result<Ran> {
    let mut command = clean(Command::new(binary()?));
    command.args(line.split(' ')).args(["--url", cluster.url(1)?, "-o", "json"]);
    finish(command).await
}

async fn quarry(cluster: &Cluster, line: &str) -> Result<Value> {
    let ran = run_quarry(cluster, line).await?.ended_with(0)?;
    Ok(serde_json::from_str(&ran.stdout)?)
}

/// Sends once through `node`, which waits for an owner for two seconds.
async fn send(
    cluster: &Cluster,
    node: u16,
    (entity_type, id): (&str, &str),
    (method, key, body): (&str, Option<&str>, &Value),
) -> Result<Answer> {
    let message = Message { entity_type, id, method, key, body };
    cluster.client().send_with(cluster.url(node)?, &message, "?timeout=2s").await
}

/// Appends through `node`, once for each key; the node that handled it.
async fn append(cluster: &Cluster, node: u16, id: &str, key: &str) -> Result<u64> {
    let body = json!({ "value": format!("of {node}") });
    match send(cluster, node, ("Register", id), ("append", Some(key), &body)).await? {
        Answer::Done { body, .. } => body["owner"].as_u64().context("no owner"),
        other => bail!("{id}: {other:?}"),
    }
}

async fn count(cluster: &Cluster, node: u16, id: &str) -> Result<u64> {
    match send(cluster, node, ("Register", id), ("read", None, &json!({}))).await? {
        Answer::Done { body, .. } => body["count"].as_u64().context("no count"),
        other => bail!("{id}: {other:?}"),
    }
}

async fn add(cluster: &Cluster, node: u16, id: &str) -> Result<()> {
    match send(cluster, node, ("Counter", id), ("add", None, &json!(1))).await? {
        Answer::Done { .. } => Ok(()),
        other => bail!("{id}: {other:?}"),
    }
}

/// Waits until all shards of the cluster have owners.
async fn all_owned(cluster: &Cluster) -> Result<()> {
    until("all shards have owners", WITHIN, async || {
        let status = quarry(cluster, "cluster status").await.ok()?;
        let shards = status.get("shards")?;
        (shards.get("owned")? == 512 && shards.get("moving")? == 0).then_some(())
    })
    .await
}

/// What is bound lives on the group, whoever is asked; what is not lives anywhere.
async fn is_served_by_its_group(cluster: &Cluster) -> Result<()> {
    for number in 0..ENTITIES {
        let (id, node) = (format!("r{number}"), number % 3 + 1);
        let owner = append(cluster, node, &id, "first").await?;
        ensure!(owner == u64::from(OWN), "Register/{id} was handled by node {owner}");
        add(cluster, node, &id).await?;
    }
    let explained = quarry(cluster, "placement explain Register/r1").await?;
    ensure!(explained["group"] == "gpu" && explained["space"] == 1, "{explained}");
    let candidates = &explained["candidates"];
    ensure!(candidates[0]["node"] == OWN && candidates[1].is_null(), "{explained}");
    let explained = quarry(cluster, "placement explain Counter/r1").await?;
    ensure!(explained["group"] == "default" && explained["space"] == 0, "{explained}");
    ensure!(explained["candidates"].as_array().is_some_and(|all| all.len() == 3), "{explained}");
    Ok(())
}

/// While nobody of the group is up, calls say so, and others are answered.
async fn waits_for_its_group(cluster: &Cluster) -> Result<()> {
    let refused = until("a call is refused with the reason", WITHIN, async || {
        let body = json!({ "value": "nobody" });
        let answer = send(cluster, 1, ("Register", "r1"), ("append", None, &body)).await.ok()?;
        match answer {
            Answer::Refused(problem) if problem.detail.contains("no runner of group") => {
                Some(problem)
            }
            _ => None,
        }
    })
    .await?;
    ensure!(refused.detail.contains("\"gpu\""), "{refused:?}");
    ensure!(refused.outcome == ProblemOutcome::Refused && refused.retryable, "{refused:?}");
    ensure!(refused.retry_after_ms.is_some(), "{refused:?}");
    say(format!("503: {}", refused.detail));
    until("what is not bound is answered", WITHIN, async || {
        for number in 0..ENTITIES {
            add(cluster, number % 2 + 1, &format!("r{number}")).await.ok()?;
        }
        Some(())
    })
    .await
}

/// Types are bound until they are used.
async fn binds_what_was_never_used(cluster: &Cluster) -> Result<()> {
    let refused = run_quarry(cluster, "cluster bind Counter gpu").await?.ended_with(4)?;
    ensure!(refused.stderr.contains("was used already"), "{refused:?}");
    let bound = quarry(cluster, "cluster bind KGExtractor gpu").await?;
    ensure!(bound["type"] == "KGExtractor" && bound["group"] == "gpu", "{bound}");
    let expected = json!([
        { "type": "KGExtractor", "group": "gpu" },
        { "type": "Register", "group": "gpu" }
    ]);
    // A node tells what it has applied, and may be behind the leader that answered.
    until("node 1 knows the binding", WITHIN, async || {
        let status = quarry(cluster, "cluster status").await.ok()?;
        (status["bindings"] == expected).then_some(())
    })
    .await
}

/// The data of all voters are lost: the coordinator is made anew by the bindings that the store has rows
/// of, and by no others.
async fn is_made_anew_by_its_bindings(cluster: &mut Cluster) -> Result<()> {
    const GROUP: &str = "QUARRY_ENTITIES__REGISTER__GROUP";
    const RECOVER: &str = "--recover-coordinator";
    for id in cluster.ids() {
        cluster.kill(id).await?;
        for file in std::fs::read_dir(cluster.home(id))? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("coordinator.db") {
                std::fs::remove_file(file.path())?;
            }
        }
        cluster.set(id, "QUARRY_ENTITIES__KGEXTRACTOR__GROUP", "gpu")?;
        cluster.unset(id, GROUP)?;
        cluster.add_flag(id, RECOVER)?;
    }
    cluster.start(1)?;
    let ended = cluster.ended(1, WITHIN).await?;
    ensure!(ended.code() == Some(4), "node 1 without the binding: {ended}");
    let said = "the rows of Register are among those of the cluster's group number 1";
    ensure!(cluster.tails().contains(said), "{}", cluster.tails());
    for id in cluster.ids() {
        cluster.set(id, GROUP, "gpu")?;
        cluster.start(id)?;
    }
    for id in cluster.ids() {
        cluster.ready(id, WITHIN).await?;
    }
    until("all is served again", WITHIN, async || append(cluster, 1, "r1", "made-anew").await.ok())
        .await
        .and_then(|owner| {
            ensure!(owner == u64::from(OWN), "Register/r1 was handled by node {owner}");
            Ok(())
        })?;
    let count = count(cluster, 2, "r1").await?;
    ensure!(count == 3, "Register/r1 has {count} values after the coordinator was made anew");
    let refused = run_quarry(cluster, "cluster bind Register default").await?.ended_with(4)?;
    ensure!(refused.stderr.contains("was used already"), "{refused:?}");
    let found = run_quarry(cluster, "doctor").await?;
    ensure!(found.stdout.contains("epochs_raised"), "{found:?}");
    // The flag may be left where it is: a voter that knows its cluster goes on, whatever is configured.
    cluster.kill(1).await?;
    cluster.unset(1, GROUP)?;
    cluster.restart(1).await?;
    for id in cluster.ids() {
        cluster.drop_flag(id, RECOVER)?;
    }
    Ok(())
}

async fn bound_types_live_on_their_group(store: StoreKind) -> Result<()> {
    let mut prepared = Cluster::prepare(3, store).await?;
    for node in prepared.ids() {
        prepared.set(node, "QUARRY_ENTITIES__REGISTER__GROUP", "gpu")?;
    }
    prepared.set(OWN, "QUARRY_CLUSTER__GROUPS", "gpu")?;
    cluster::run_prepared(prepared, async |cluster| {
        all_owned(cluster).await?;
        is_served_by_its_group(cluster).await?;
        binds_what_was_never_used(cluster).await?;
        cluster.kill(OWN).await?;
        waits_for_its_group(cluster).await?;
        cluster.restart(OWN).await?;
        all_owned(cluster).await?;
        for number in 0..ENTITIES {
            let id = format!("r{number}");
            ensure!(count(cluster, 2, &id).await? == 1, "Register/{id}: lost, or there twice");
        }
        // A part of a shard of the group is the group's, and no part of another space's.
        let explained = quarry(cluster, "placement explain Register/r1").await?;
        let shard = explained["shard"]["id"].as_u64().context("a shard")?;
        quarry(cluster, &format!("cluster split-shard {shard} --wait=30s")).await?;
        let free = quarry(cluster, "placement explain Counter/r1").await?;
        let shard = free["shard"]["id"].as_u64().context("a shard")?;
        quarry(cluster, &format!("cluster split-shard {shard} --wait=30s")).await?;
        // A voter that starts again knows the bindings from its log.
        cluster.kill(1).await?;
        cluster.restart(1).await?;
        until("all is served again", WITHIN, async || {
            let owner = append(cluster, 1, "r1", "split").await.ok()?;
            add(cluster, 1, "r1").await.ok()?;
            Some(owner)
        })
        .await
        .and_then(|owner| {
            ensure!(owner == u64::from(OWN), "node {owner}");
            Ok(())
        })?;
        let count = count(cluster, 2, "r1").await?;
        ensure!(count == 2, "Register/r1 has {count} values after the split");
        is_made_anew_by_its_bindings(cluster).await?;
        ensure!(cluster.violations().await? == 0, "an invariant is broken");
        let audited = Ledger::of(cluster).await?.audit().await?;
        say(format!("{audited:?}"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bound_types_live_on_their_group_over_sqlite() -> Result<()> {
    bound_types_live_on_their_group(StoreKind::Sqlite).await
}

#[tokio::test]
async fn bound_types_live_on_their_group_over_postgres() -> Result<()> {
    bound_types_live_on_their_group(StoreKind::Postgres).await
}
