//! What an operator is told of the placement of shards is what happens.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::answered,
    process::StoreKind,
    report::say,
    wait::until,
};
use serde_json::Value;

const WITHIN: Duration = Duration::from_mins(1);
/// Of a new cluster, at default settings.
const SHARDS: u64 = 256;

/// What the command answers about the cluster through node 1.
async fn quarry(cluster: &Cluster, line: &str) -> Result<Value> {
    answered(cluster.url(1)?, line).await
}

/// The owner of each shard, where all have one and none is moving.
async fn owners(cluster: &Cluster) -> Option<BTreeMap<u64, u64>> {
    let shards = quarry(cluster, "cluster shards").await.ok()?;
    let mut owners = BTreeMap::new();
    for shard in shards.as_array()? {
        if !shard.get("movingTo")?.is_null() {
            return None;
        }
        owners.insert(shard.get("id")?.as_u64()?, shard.get("owner")?.as_u64()?);
    }
    Some(owners)
}

/// Waits until every node owns its share and nothing moves.
async fn at_rest(cluster: &Cluster, nodes: &[u64]) -> Result<BTreeMap<u64, u64>> {
    let equal: BTreeMap<u64, u64> = nodes.iter().map(|node| (*node, 1)).collect();
    shared_by_weight(cluster, &equal).await
}

/// Waits until every node owns the shards that are due to its weight, to within one shard, and nothing
/// moves.
async fn shared_by_weight(
    cluster: &Cluster,
    weights: &BTreeMap<u64, u64>,
) -> Result<BTreeMap<u64, u64>> {
    let total: u64 = weights.values().sum();
    until(&format!("shards are shared by the weights {weights:?}"), WITHIN, async || {
        let owners = owners(cluster).await?;
        let fits = |(node, weight): (&u64, &u64)| {
            let owned = owners.values().filter(|owner| *owner == node).count();
            let quota = SHARDS * weight;
            (quota / total..=quota.div_ceil(total)).contains(&u64::try_from(owned).unwrap_or(0))
        };
        let is_whole = u64::try_from(owners.len()) == Ok(SHARDS);
        (is_whole && weights.iter().all(fits)).then_some(owners.clone())
    })
    .await
}

/// Waits until every node itself serves the shards that it owns.
async fn all_are_served(cluster: &Cluster, owners: &BTreeMap<u64, u64>) -> Result<()> {
    for id in cluster.ids() {
        let owned = owners.values().filter(|owner| **owner == u64::from(id)).count();
        until(&format!("node {id} serves {owned} shards"), WITHIN, async || {
            let served = cluster.metrics(id).await.ok()?.sum("active_shards");
            (u64::try_from(owned) == Ok(served)).then_some(())
        })
        .await?;
    }
    Ok(())
}

fn moves_of(document: &Value) -> Result<&Vec<Value>> {
    document.get("moves").and_then(Value::as_array).context("moves")
}

/// Each of these nodes has measured how long the shards that it handed off admitted nothing.
async fn handed_off(cluster: &Cluster, nodes: &[u16]) -> Result<()> {
    for node in nodes {
        let count = cluster.metrics(*node).await?.sum("quarry_handoff_seconds_count");
        ensure!(count > 0, "node {node} measured no handoff");
    }
    Ok(())
}

#[tokio::test]
async fn the_loss_of_a_node_goes_as_planned_and_is_told_with_its_reason() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| {
        let before = at_rest(cluster, &[1, 2, 3]).await?;
        let plan = quarry(cluster, "cluster plan").await?;
        ensure!(moves_of(&plan)?.is_empty(), "a cluster at rest plans nothing: {plan}");
        let plan = quarry(cluster, "cluster plan --if-lost 3").await?;
        let planned: BTreeMap<u64, u64> = moves_of(&plan)?
            .iter()
            .map(|change| Some((change["shard"].as_u64()?, change["to"].as_u64()?)))
            .collect::<Option<_>>()
            .context("a plan")?;
        ensure!(planned.keys().all(|shard| before[shard] == 3), "only its own (S2)");
        cluster.kill(3).await?;
        let after = at_rest(cluster, &[1, 2]).await?;
        for (shard, owner) in &after {
            let expected = planned.get(shard).unwrap_or(&before[shard]);
            ensure!(owner == expected, "shard {shard}: {owner}, planned {expected}");
        }
        let moves = quarry(cluster, "cluster moves").await?;
        let told: u64 = moves_of(&moves)?
            .iter()
            .filter(|told| told["reason"] == "lease_over" && told["from"] == 3)
            .filter_map(|told| told["count"].as_u64())
            .sum();
        ensure!(told == u64::try_from(planned.len())?, "{told} told, {} planned", planned.len());
        say(format!("{} shards of a killed node went where the plan said", planned.len()));
        cluster.restart(3).await?;
        at_rest(cluster, &[1, 2, 3]).await?;
        quarry(cluster, "cluster drain 2 3 --wait=60s").await?;
        at_rest(cluster, &[1]).await?;
        handed_off(cluster, &[2, 3]).await?;
        let explained = quarry(cluster, "placement explain Counter/c1").await?;
        ensure!(explained["shard"]["owner"] == 1, "{explained}");
        let candidates = explained["candidates"].as_array().context("candidates")?;
        ensure!(candidates.len() == 1 && candidates[0]["share"] == 256, "{explained}");
        let moves = quarry(cluster, "cluster moves").await?;
        let swapped =
            |told: &&Value| told["reason"] == "drained" && (told["to"] == 2 || told["to"] == 3);
        ensure!(!moves_of(&moves)?.iter().any(|told| swapped(&told)), "{moves}");
        quarry(cluster, "cluster undrain 2,3").await?;
        at_rest(cluster, &[1, 2, 3]).await?;
        Ok(())
    })
    .await
}

/// How many shards each node has.
fn counts(owners: &BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for owner in owners.values() {
        *counts.entry(*owner).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn shards_are_shared_by_weight_and_follow_a_weight_that_changes() -> Result<()> {
    const WEIGHT: &str = "QUARRY_CLUSTER__WEIGHT";
    let mut cluster = Cluster::prepare(3, StoreKind::Sqlite).await?;
    cluster.set(2, WEIGHT, "200")?;
    cluster::run_prepared(cluster, async |cluster| {
        let before = shared_by_weight(cluster, &[(1, 100), (2, 200), (3, 100)].into()).await?;
        all_are_served(cluster, &before).await?;
        // A node tells its weight when it joins.
        cluster.set(1, WEIGHT, "300")?;
        let status = cluster.terminate(1, WITHIN).await?;
        ensure!(status.success(), "node 1 went with {status}");
        cluster.restart(1).await?;
        let after = shared_by_weight(cluster, &[(1, 300), (2, 200), (3, 100)].into()).await?;
        all_are_served(cluster, &after).await?;
        say(format!("{:?} became {:?}", counts(&before), counts(&after)));
        let plan = quarry(cluster, "cluster plan").await?;
        ensure!(moves_of(&plan)?.is_empty(), "a cluster at rest plans nothing: {plan}");
        Ok(())
    })
    .await
}
