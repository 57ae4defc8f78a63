//! A node joins when it can serve: while its database takes nothing from it, it owns no shard, and no
//! shard waits for it. One whose database is that of another cluster never does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    chaos::watched,
    cluster::{self, Cluster},
    failover::progressed,
    grants::takes_part,
    ledger::Ledger,
    ownership::{Standing, at_rest, shards},
    process::StoreKind,
    report::say,
    wait::{Looks, until},
    workload::{Load, Registers},
};
use quarry_types::{NodeState, api};

const LOAD: Load = Load::endless(4, 20);
const WITHIN: Duration = Duration::from_mins(1);
/// For how long the database takes nothing from the node that joins. One that has joined is given
/// shards within milliseconds.
const SLOW: Duration = Duration::from_secs(4);
const JOINING: u16 = 3;
/// A node beside those of the cluster.
const STRANGER: u16 = 4;
/// A process beside those, that says it is [`STRANGER`].
const DOUBLE: u16 = 5;
/// A node of a higher number: it is the lower one that connects.
const NEIGHBOUR: u16 = 6;
/// How a process ends that refuses to start.
const REFUSED: i32 = 4;

/// How many shards `node` owns or is to own, as node 1 sees it, where every shard has an owner.
async fn shards_of(cluster: &Cluster, node: u16) -> Option<usize> {
    let shards = shards(cluster.client(), cluster.url(1).ok()?).await.ok()?;
    let node = Some(u64::from(node));
    let is_owned = shards.iter().all(|shard| shard.owner.is_some());
    let of_node = shards.iter().filter(|shard| [shard.owner, shard.moving_to].contains(&node));
    is_owned.then(|| of_node.count())
}

#[tokio::test]
async fn a_node_whose_database_is_slow_joins_when_it_can_serve() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        // One that is killed before it is given its share is given it while nobody knows of its death.
        at_rest(cluster, WITHIN).await?;
        cluster.kill(JOINING).await?;
        let all_elsewhere = async || (shards_of(cluster, JOINING).await? == 0).then_some(());
        until("the others own all shards", WITHIN, all_elsewhere).await?;
        let registers = Registers::new(cluster.client().clone(), cluster.urls_beside(JOINING));
        let load = registers.load(LOAD);
        progressed(&registers, 50, WITHIN).await?;
        let mut lock = cluster.database()?.lock("cluster_identity").await?;
        cluster.start(JOINING)?;
        until("the node waits for the database", WITHIN, async || {
            lock.is_waited_for().await.ok()?.then_some(())
        })
        .await?;
        let before = registers.done();
        let mut looks = Looks::during(SLOW);
        while looks.next().await {
            let shards = shards_of(cluster, JOINING).await.context("a shard has no owner")?;
            ensure!(shards == 0, "{shards} shards wait for a node that cannot serve them");
        }
        say(format!("{} appends meanwhile", registers.done() - before));
        ensure!(registers.done() > before, "nothing was answered meanwhile");
        lock.release().await?;
        cluster.ready(JOINING, WITHIN).await?;
        let has_some = async || (shards_of(cluster, JOINING).await? > 0).then_some(());
        until("the node has its share", WITHIN, has_some).await?;
        let unanswered = load.stop().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        say(format!("{:?}", registers.verify().await?));
        let violations = cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        Ok(())
    })
    .await
}

/// What node 1 says of where node `number` listens for HTTP.
async fn http_of(cluster: &Cluster, number: u16) -> Result<Option<String>> {
    let page = cluster.client().text(&format!("{}/v1/cluster", cluster.url(1)?)).await?;
    let page: api::Cluster = serde_json::from_str(&page)?;
    let node = page.nodes.into_iter().find(|node| node.id == u64::from(number));
    Ok(node.filter(|node| node.state == NodeState::Up).map(|node| node.http))
}

/// The process that was node 4 first is that still, serves what it served, and lost no link.
struct Undisturbed {
    http: String,
    links: u64,
    standing: Standing,
}

impl Undisturbed {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let http = http_of(cluster, STRANGER).await?.context("nobody knows node 4")?;
        let (links, standing) = (links_made_anew(cluster).await?, Standing::of(cluster).await?);
        Ok(Self { http, links, standing })
    }

    async fn lasts(&self, cluster: &Cluster) -> Result<()> {
        let mut looks = Looks::during(SLOW);
        while looks.next().await {
            let http = http_of(cluster, STRANGER).await?;
            ensure!(http.as_ref() == Some(&self.http), "{http:?} is node 4");
        }
        self.standing.owners_last(cluster).await?;
        let links = links_made_anew(cluster).await?;
        ensure!(links == self.links, "{links} links were made anew, {} before", self.links);
        Ok(())
    }
}

async fn links_made_anew(cluster: &Cluster) -> Result<u64> {
    let mut sum = 0;
    for node in [STRANGER, NEIGHBOUR] {
        sum += cluster.metrics(node).await?.sum("quarry_mesh_reconnects_total");
    }
    Ok(sum)
}

/// Node 4, a process over another directory that says it is node 4 as well, and appends at all of it.
async fn two_are_one(cluster: &mut Cluster) -> Result<()> {
    let voters = [1, 2, 3];
    for node in [STRANGER, NEIGHBOUR] {
        cluster.add(node, &voters)?;
        cluster.ready(node, WITHIN).await?;
        takes_part(cluster, node, WITHIN).await?;
    }
    at_rest(cluster, WITHIN).await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let load = registers.load(LOAD);
    progressed(&registers, 50, WITHIN).await?;
    let first = Undisturbed::of(cluster).await?;
    cluster.add_as(DOUBLE, STRANGER, &voters)?;
    until("the second process says why it waits", WITHIN, async || {
        let log = cluster.directory().join(format!("node-{DOUBLE}.log"));
        let said = std::fs::read_to_string(log).ok()?;
        said.contains("node 4 is a process over another data directory").then_some(())
    })
    .await?;
    let before = registers.done();
    first.lasts(cluster).await?;
    // It is told to go, and starts again: neither is the other one's end.
    let left = cluster.terminate(DOUBLE, WITHIN).await?;
    ensure!(left.success(), "the second process ended with {left}");
    cluster.start(DOUBLE)?;
    first.lasts(cluster).await?;
    say(format!("{} appends meanwhile", registers.done() - before));
    ensure!(registers.done() > before, "nothing was answered meanwhile");
    cluster.kill(STRANGER).await?;
    cluster.ready(DOUBLE, WITHIN).await?;
    let second = http_of(cluster, STRANGER).await?.context("nobody is node 4")?;
    ensure!(second != first.http, "{second} was killed");
    let unanswered = load.stop().await?;
    ensure!(unanswered == 0, "{unanswered} appends were never answered");
    say(format!("{:?}", registers.verify().await?));
    ensure!(cluster.violations().await? == 0, "invariants were violated");
    Ok(())
}

#[tokio::test]
async fn a_second_process_with_a_nodes_number_waits_until_the_first_one_is_gone() -> Result<()> {
    let store = |cluster: &Cluster| cluster.store_url().to_owned();
    cluster::run(3, StoreKind::Postgres, async |cluster| {
        let ((), loads) = watched(&store(cluster), two_are_one(cluster)).await?;
        say(format!("{} loads of shards, each by one process under its epoch", loads.count()));
        Ok(())
    })
    .await
}

/// Makes sure that no node of `cluster` knows one that is not to be of it.
async fn nobody_knows_the_stranger(cluster: &Cluster) -> Result<()> {
    for id in cluster.ids_beside(STRANGER) {
        let page = cluster.client().text(&format!("{}/v1/cluster", cluster.url(id)?)).await?;
        let page: api::Cluster = serde_json::from_str(&page)?;
        let nodes: Vec<u64> = page.nodes.iter().map(|node| node.id).collect();
        ensure!(!nodes.contains(&STRANGER.into()), "node {id} knows the nodes {nodes:?}");
    }
    Ok(())
}

/// A node of `cluster` starts over the store of `other`.
async fn is_refused_over(cluster: &mut Cluster, other: &Cluster) -> Result<()> {
    let ours = Ledger::of(cluster).await?.cluster().await?;
    let theirs = Ledger::of(other).await?.cluster().await?;
    ensure!(ours != theirs, "both clusters are {ours}");
    cluster.add_over(STRANGER, &[1, 2, 3], other.store_url())?;
    let mut looks = Looks::during(WITHIN);
    while cluster.runs(STRANGER)? && looks.next().await {
        nobody_knows_the_stranger(cluster).await?;
    }
    let ended = cluster.ended(STRANGER, WITHIN).await?;
    let log = cluster.directory().join(format!("node-{STRANGER}.log"));
    let said = std::fs::read_to_string(log)?;
    ensure!(ended.code() == Some(REFUSED), "it went with {ended}: {said}");
    let why = format!("belongs to cluster {theirs}, and this node to {ours}");
    ensure!(said.contains(&why), "{why:?} is not in: {said}");
    nobody_knows_the_stranger(cluster).await?;
    let still = Ledger::of(other).await?.cluster().await?;
    ensure!(still == theirs, "the store of {theirs} went to {still}");
    Ok(())
}

#[tokio::test]
async fn a_node_over_the_database_of_another_cluster_is_refused() -> Result<()> {
    cluster::run(1, StoreKind::Postgres, async |other| {
        other.kill(1).await?;
        cluster::run(3, StoreKind::Postgres, async |cluster| is_refused_over(cluster, other).await)
            .await
    })
    .await
}
