//! Entities send to one another while their nodes are killed, and end at the crash points of sends:
//! what each publisher published arrives at each register once, and in its order.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::{Looks, Stopwatch, until},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

/// Publishers, each with a client of its own; as many registers that each of them sends to.
const PUBLISHERS: u32 = 8;
const REGISTERS: u32 = 8;
/// Values that are published in each part of a test.
const VALUES: u32 = 160;
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const STEP_WITHIN: Duration = Duration::from_mins(1);
const ARRIVED_WITHIN: Duration = Duration::from_mins(1);

/// The clients, how many values they may publish, and how many they have.
#[derive(Clone)]
struct Publishing {
    client: Client,
    urls: Vec<String>,
    budget: Arc<Semaphore>,
    done: Arc<AtomicU32>,
}

/// How many values a publisher published.
type Published = BTreeMap<String, usize>;

impl Publishing {
    fn of(cluster: &Cluster) -> Self {
        let (client, urls) = (cluster.client().clone(), cluster.urls());
        Self { client, urls, budget: Arc::new(Semaphore::new(0)), done: Arc::default() }
    }

    /// Sends until it is answered, at one address after the other; the reply.
    async fn call(&self, message: &Message<'_>, first: usize) -> Result<Value> {
        let mut looks = Looks::during(ANSWERED_WITHIN);
        let mut urls = self.urls.iter().cycle().skip(first % self.urls.len().max(1));
        while looks.next().await {
            let url = urls.next().context("there are no nodes")?;
            match self.client.send(url, message).await? {
                Answer::Done { body, .. } => return Ok(body),
                Answer::Failed(problem) => bail!("{message:?} failed: {problem:?}"),
                Answer::Refused(_) | Answer::Unknown(_) => {}
            }
        }
        bail!("{message:?} was not answered within {ANSWERED_WITHIN:?}")
    }

    /// Publishes while there is a budget; how many values.
    async fn publish(self, publisher: u32) -> Result<(String, usize)> {
        let to: Vec<String> = (0..REGISTERS).map(|register| format!("s{register}")).collect();
        let mut number = 0;
        while let Ok(permit) = self.budget.acquire().await {
            permit.forget();
            let value = format!("p{publisher}-{number}");
            let body = json!({ "value": value, "to": to });
            let (id, key) = (format!("p{publisher}"), Some(value.as_str()));
            let (entity_type, method) = ("Publisher", "publish");
            let message = Message { entity_type, id: &id, method, key, body: &body };
            let count = self.call(&message, number).await?;
            number += 1;
            ensure!(count == json!(number), "{value} is published once: {count}");
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok((format!("p{publisher}"), number))
    }

    fn start(&self) -> JoinSet<Result<(String, usize)>> {
        let mut clients = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            clients.spawn(self.clone().publish(publisher));
        }
        clients
    }

    /// Lets the clients publish as many values as a part of a test has.
    fn go_on(&self) {
        self.budget.add_permits(usize::try_from(VALUES).unwrap_or(0));
    }

    /// Waits until the budget is used up, and for the end of all clients.
    async fn finish(
        &self,
        parts: u32,
        mut clients: JoinSet<Result<(String, usize)>>,
    ) -> Result<Published> {
        self.progressed(parts * VALUES).await?;
        self.budget.close();
        let mut published = Published::new();
        while let Some(client) = clients.join_next().await {
            let (name, count) = client.context("a client panicked")??;
            published.insert(name, count);
        }
        Ok(published)
    }

    /// Lets the clients publish part after part, behind `before` of them, until `node` has ended; how
    /// many parts.
    async fn until_ended(&self, cluster: &mut Cluster, node: u16, before: u32) -> Result<u32> {
        let mut ended = pin!(cluster.ended(node, STEP_WITHIN));
        for parts in 1.. {
            self.go_on();
            tokio::select! {
                ended = &mut ended => return ended.map(|_| parts),
                progressed = self.progressed((before + parts) * VALUES) => progressed?,
            }
        }
        bail!("node {node} has not ended")
    }

    async fn progressed(&self, done: u32) -> Result<()> {
        let reached = async || (self.done.load(Ordering::Relaxed) >= done).then_some(());
        until(&format!("{done} values are published"), STEP_WITHIN, reached).await
    }

    async fn read(&self, register: u32) -> Result<Vec<String>> {
        let id = format!("s{register}");
        let body = json!({});
        let (entity_type, method, key) = ("Register", "read", None);
        let message = Message { entity_type, id: &id, method, key, body: &body };
        let read = self.call(&message, 0).await?;
        let values = read.get("values").and_then(Value::as_array);
        let text = |value: &Value| value.get("value")?.as_str().map(ToOwned::to_owned);
        let values = values.context("a register without values")?.iter();
        values.map(|value| text(value).context("a value without text")).collect()
    }

    /// Waits until everything has arrived, and checks that it did so once and in order.
    async fn verify(&self, published: &Published) -> Result<()> {
        let all: usize = published.values().sum();
        for register in 0..REGISTERS {
            let what = format!("s{register} has {all} values");
            let values = until(&what, ARRIVED_WITHIN, async || match self.read(register).await {
                Ok(values) if values.len() < all => None,
                read => Some(read),
            });
            let values = values.await??;
            ensure!(values.len() == all, "s{register} has {} values of {all}", values.len());
            let mut arrived: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for value in &values {
                let (name, number) = value.split_once('-').context("no number")?;
                arrived.entry(name).or_default().push(number);
            }
            for (name, count) in published {
                let numbers = arrived.remove(name.as_str()).unwrap_or_default();
                let wanted: Vec<String> = (0..*count).map(|number| number.to_string()).collect();
                ensure!(numbers == wanted, "s{register} has of {name}: {numbers:?}");
            }
        }
        Ok(())
    }
}

/// Waits until every send is closed, and audits the data.
async fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    let mut ledger = Ledger::of(cluster).await?;
    until("all sends are closed", STEP_WITHIN, async || match ledger.sends().await {
        Ok(0) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
    .await??;
    let audited = async || match Ledger::of(cluster).await {
        Ok(mut ledger) => ledger.audit().await.ok(),
        Err(_) => None,
    };
    say(format!("{:?}", until("the data is whole", STEP_WITHIN, audited).await?));
    Ok(())
}

/// Each node is killed in turn.
async fn each_node_in_turn(cluster: &mut Cluster) -> Result<()> {
    let publishing = Publishing::of(cluster);
    let clients = publishing.start();
    let mut parts = 0;
    for node in cluster.ids() {
        publishing.go_on();
        publishing.progressed(parts * VALUES + VALUES / 2).await?;
        cluster.kill(node).await?;
        parts += 1;
        publishing.progressed(parts * VALUES).await?;
        cluster.restart(node).await?;
    }
    let published = publishing.finish(parts, clients).await?;
    let watch = Stopwatch::start();
    publishing.verify(&published).await?;
    say(format!("the last sends arrived {:?} after the last answer", watch.elapsed()));
    nothing_is_left(cluster).await
}

#[tokio::test]
async fn sends_arrive_once_and_in_order_while_nodes_are_killed_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, each_node_in_turn).await
}

#[tokio::test]
async fn sends_arrive_once_and_in_order_while_nodes_are_killed_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, each_node_in_turn).await
}

/// A node ends at each crash point on the way of a send.
async fn at_every_crash_point(cluster: &mut Cluster) -> Result<()> {
    let publishing = Publishing::of(cluster);
    let clients = publishing.start();
    let points = ["send-passed:20", "send-answered:20", "send-closed:5"];
    let mut parts = 0;
    for (node, point) in cluster.ids().into_iter().zip(points) {
        cluster.kill(node).await?;
        cluster.set(node, "QUARRY_CRASH_POINT", point)?;
        // What is still open may bring it to the point before it is ready, and shards come back to it
        // at their own pace.
        cluster.start(node)?;
        parts += publishing.until_ended(cluster, node, parts).await.with_context(|| point)?;
        cluster.unset(node, "QUARRY_CRASH_POINT")?;
        cluster.restart(node).await?;
    }
    let published = publishing.finish(parts, clients).await?;
    publishing.verify(&published).await?;
    nothing_is_left(cluster).await
}

#[tokio::test]
async fn sends_outlive_the_crash_points_on_their_way_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, at_every_crash_point).await
}

#[tokio::test]
async fn sends_outlive_the_crash_points_on_their_way_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, at_every_crash_point).await
}
