//! Operating on the messages of a real cluster: sent in batches, while a node is killed.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use anyhow::{Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::Workbench,
    ledger::Ledger,
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::Registers,
};

const MESSAGES: usize = 6_000;
const REGISTERS: usize = 30;

/// One file of messages to several registers; a third of them is only to be stored.
fn lines() -> Result<String> {
    let mut lines = String::new();
    for number in 0..MESSAGES {
        let register = number % REGISTERS;
        let is_async = number % 3 == 0;
        writeln!(
            lines,
            r#"{{"entity": "Register/b{register}", "method": "append", "payload": {{"value": "{number}"}}, "key": "k{number}", "async": {is_async}}}"#
        )?;
    }
    Ok(lines)
}

/// A file is sent while a node is killed, and once more: every message is handled once, and those
/// to one register in the order of the file.
async fn a_file_while_a_node_is_killed(cluster: &mut Cluster) -> Result<()> {
    let bench = Workbench::new()?;
    fs::write(bench.path().join("messages.jsonl"), lines()?)?;
    let urls = cluster.urls().join(",");
    let line = ["send", "--batch", "messages.jsonl", "--url", &urls, "-o", "json"];
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let watch = Stopwatch::start();
    let (done, killed) = tokio::join!(bench.quarry(&line), async {
        quarry_tests::wait::until("the file is under way", Duration::from_secs(30), async || {
            let values = registers.read("b0", 1).await.ok()?;
            (!values.is_empty()).then_some(())
        })
        .await?;
        cluster.kill(2).await
    });
    killed?;
    let sent = done?.ended_with(0)?;
    let counts: BTreeMap<String, u64> = serde_json::from_str(&sent.stdout)?;
    ensure!(
        (counts.get("messages"), counts.get("handled")) == (Some(&6_000), Some(&4_000)),
        "{counts:?}"
    );
    say(format!("{MESSAGES} messages in one file, a node killed: {:?}", watch.elapsed()));
    let again = bench.quarry(&line).await?.ended_with(0)?;
    let counts: BTreeMap<String, u64> = serde_json::from_str(&again.stdout)?;
    ensure!(counts.get("replayed") == Some(&6_000), "{counts:?}");
    for register in 0..REGISTERS {
        let entries = registers.read(&format!("b{register}"), 0).await?;
        let values: Vec<usize> =
            entries.iter().map(|entry| entry.value.parse()).collect::<Result<_, _>>()?;
        let expected: Vec<usize> = (register..MESSAGES).step_by(REGISTERS).collect();
        ensure!(values == expected, "Register/b{register}: {values:?}");
    }
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(())
}

#[tokio::test]
async fn a_file_of_messages_outlives_the_kill_of_a_node_on_sqlite() -> Result<()> {
    cluster::run(3, StoreKind::Sqlite, a_file_while_a_node_is_killed).await
}

#[tokio::test]
async fn a_file_of_messages_outlives_the_kill_of_a_node_on_postgres() -> Result<()> {
    cluster::run(3, StoreKind::Postgres, a_file_while_a_node_is_killed).await
}
