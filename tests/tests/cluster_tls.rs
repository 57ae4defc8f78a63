//! Three processes whose planes speak mutual TLS: they serve, fail over and refuse strangers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::{Answer, Client, Message},
    cluster::{self, Cluster},
    command::{clean, finish},
    failover::{Fault, owner, progressed, strike},
    ledger::Ledger,
    process::{StoreKind, binary},
    report::say,
    wait::until,
    workload::{Load, Registers},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

const LOAD: Load = Load { clients: 8, registers: 50, appends: 1_000 };
const STEP_WITHIN: Duration = Duration::from_mins(1);

/// A cluster of which no node runs yet, with certificates made by the command.
async fn certified(nodes: u16, store: StoreKind) -> Result<Cluster> {
    let mut cluster = Cluster::prepare(nodes, store).await?;
    let certs = cluster.directory().join("certs");
    let ids = cluster.ids();
    issue(&cluster, "certs", &ids).await?;
    for id in ids {
        for (key, file) in [("CA", "ca.pem"), ("CERT", "node.pem"), ("KEY", "node.key")] {
            let file = certs.join(format!("node-{id}")).join(file);
            cluster.set(id, &format!("QUARRY_CLUSTER__TLS__{key}"), &file.to_string_lossy())?;
        }
    }
    Ok(cluster)
}

async fn issue(cluster: &Cluster, name: &str, ids: &[u16]) -> Result<()> {
    let nodes: Vec<String> = ids.iter().map(u16::to_string).collect();
    let mut command = clean(Command::new(binary()?));
    command.current_dir(cluster.directory());
    command.args(["cluster", "certs", "--out", name, "--nodes", &nodes.join(",")]);
    finish(command).await?.ended_with(0).map(drop)
}

async fn status(cluster: &Cluster, node: u16) -> Result<Value> {
    let text = cluster.client().text(&format!("{}/v1/cluster", cluster.url(node)?)).await?;
    Ok(serde_json::from_str(&text)?)
}

/// Where the control and the message plane of `node` listen.
async fn planes(cluster: &Cluster, node: u16) -> Result<[String; 2]> {
    let status = status(cluster, node).await?;
    let nodes = status.get("nodes").and_then(Value::as_array).context("nodes")?;
    let is_meant = |known: &&Value| known.get("id").is_some_and(|id| *id == node);
    let node = nodes.iter().find(is_meant).context("the node itself")?;
    let text = |plane: &str| node.get(plane).and_then(Value::as_str).map(str::to_owned);
    let address = |plane: &str| text(plane).context("an address");
    Ok([address("control")?, address("mesh")?])
}

#[tokio::test]
async fn appends_outlive_the_kill_of_each_node_under_tls() -> Result<()> {
    let cluster = certified(3, StoreKind::Sqlite).await?;
    cluster::run_prepared(cluster, async |cluster| {
        let registers = Registers::new(cluster.client().clone(), cluster.urls());
        let load = registers.load(LOAD);
        for (turn, node) in (1..).zip(cluster.ids()) {
            ensure!(status(cluster, node).await?["planes"] == "tls");
            progressed(&registers, turn * LOAD.appends / 4, STEP_WITHIN).await?;
            println!("TLS: {}", strike(cluster, &registers, node, Fault::Kill).await?);
            cluster.restart(node).await?;
        }
        let unanswered = load.finish().await?;
        ensure!(unanswered == 0, "{unanswered} appends were never answered");
        println!("TLS: {:?}", registers.verify().await?);
        let violations = cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
        Ok(())
    })
    .await
}

/// Sends `bytes` and waits until the node closes the connection.
async fn closed_after(address: &str, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut rest = Vec::new();
    // A reset is an end too.
    drop(timeout(STEP_WITHIN, stream.read_to_end(&mut rest)).await?);
    Ok(())
}

async fn refused(cluster: &Cluster, node: u16, plane: &str, reason: &str) -> Result<()> {
    let family = format!("quarry_{plane}_refused_total");
    until(&format!("{plane} of node {node} counts {reason}"), STEP_WITHIN, async || {
        let metrics = cluster.metrics(node).await.ok()?;
        (metrics.sum_where(&family, &[("reason", reason)]) > 0).then_some(())
    })
    .await
}

#[tokio::test]
async fn strangers_are_refused_on_both_planes_and_harm_nobody() -> Result<()> {
    let mut cluster = certified(3, StoreKind::Sqlite).await?;
    // Node 3 comes with a certificate of another authority.
    issue(&cluster, "other", &[3]).await?;
    for (key, file) in [("CA", "ca.pem"), ("CERT", "node.pem"), ("KEY", "node.key")] {
        let file = cluster.directory().join("other/node-3").join(file);
        cluster.set(3, &format!("QUARRY_CLUSTER__TLS__{key}"), &file.to_string_lossy())?;
    }
    for node in [1, 2] {
        cluster.start(node)?;
    }
    for node in [1, 2] {
        cluster.ready(node, STEP_WITHIN).await?;
    }
    cluster.start(3)?;
    for node in [1, 2] {
        refused(&cluster, node, "control", "authority").await?;
    }
    for (plane, address) in ["control", "mesh"].into_iter().zip(planes(&cluster, 1).await?) {
        closed_after(&address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        refused(&cluster, 1, plane, "plaintext").await?;
        closed_after(&address, b"\x16\x03\x01\xff\xffgarbage").await?;
        refused(&cluster, 1, plane, "garbage").await?;
        closed_after(&address, b"\x16").await?;
        refused(&cluster, 1, plane, "deadline").await?;
    }
    let registers = Registers::new(cluster.client().clone(), cluster.urls_beside(3));
    let load = registers.load(Load { clients: 4, registers: 10, appends: 100 });
    ensure!(load.finish().await? == 0, "two of three go on");
    registers.verify().await?;
    Ok(())
}

/// How many calls per second node 1 answers about a register of another node.
async fn forwarded(cluster: &Cluster, what: &str) -> Result<()> {
    const CALLERS: u32 = 32;
    const CALLS: u32 = 50;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let mut far = None;
    for number in 0..100 {
        let id = format!("r{number}");
        if owner(&registers, &id).await? != 1 {
            far = Some(id);
            break;
        }
    }
    let far = far.context("node 1 owns a hundred registers")?;
    let url = cluster.url(1)?.to_owned();
    let host = quarry_ports::Host::system();
    let began = host.now();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (client, url, far): (Client, _, _) =
            (cluster.client().clone(), url.clone(), far.clone());
        callers.push(async move {
            let body = json!({});
            for _ in 0..CALLS {
                let message = Message {
                    entity_type: "Register",
                    id: &far,
                    method: "read",
                    key: None,
                    body: &body,
                };
                let answer = client.send(&url, &message).await?;
                ensure!(matches!(answer, Answer::Done { .. }), "{answer:?}");
            }
            Ok(())
        });
    }
    let mut running = tokio::task::JoinSet::new();
    for caller in callers {
        running.spawn(caller);
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let took = host.now().since(began);
    say(format!(
        "{what}: {:.0} forwarded reads per second, {CALLERS} callers, unoptimized build",
        f64::from(CALLERS * CALLS) / took.as_secs_f64()
    ));
    Ok(())
}

#[tokio::test]
async fn calls_to_other_nodes_are_measured_with_and_without_tls() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, async |cluster| forwarded(cluster, "plain").await).await?;
    let certified = certified(3, StoreKind::Sqlite).await?;
    cluster::run_prepared(certified, async |cluster| forwarded(cluster, "TLS").await).await
}
