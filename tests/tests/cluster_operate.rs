//! Operating on the messages of a real cluster: sent in batches, cancelled, redriven and dropped,
//! while nodes are killed.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::Workbench,
    ledger::{Ledger, damage_counter, mend_counters},
    process::StoreKind,
    report::say,
    wait::Stopwatch,
    workload::Registers,
};
use serde_json::Value;

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

/// Commands against a cluster.
struct Operator {
    bench: Workbench,
    urls: String,
}

impl Operator {
    fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Self { bench: Workbench::new()?, urls: cluster.urls().join(",") })
    }

    /// What the command prints, where it ends with `code`.
    async fn ran(&self, line: &str, code: i32) -> Result<Value> {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--url", &self.urls, "-o", "json"]);
        let ran = self.bench.quarry(&words).await?.ended_with(code)?;
        Ok(serde_json::from_str(&ran.stdout).unwrap_or_default())
    }

    async fn does(&self, line: &str) -> Result<Value> {
        self.ran(line, 0).await
    }

    /// The id of a message that is only stored.
    async fn sent(&self, line: &str) -> Result<String> {
        let sent = self.does(line).await?;
        Ok(of(&sent, "/messageId").as_str().context("no message id")?.to_owned())
    }

    async fn is_in_state(&self, id: &str, state: &str) -> Result<()> {
        let within = Duration::from_mins(1);
        quarry_tests::wait::until(state, within, async || {
            let shown = self.does(&format!("message show {id}")).await.ok()?;
            (of(&shown, "/state") == state).then_some(())
        })
        .await
        .map(drop)
    }
}

/// A part of what a command printed.
fn of<'a>(printed: &'a Value, place: &str) -> &'a Value {
    printed.pointer(place).unwrap_or(&Value::Null)
}

/// Messages that fail are set aside; then their owner is killed, and the next one does what an
/// operator wants of them.
async fn a_decision_after_the_kill_of_the_owner(cluster: &mut Cluster) -> Result<()> {
    let operator = Operator::of(cluster)?;
    let mut aside = Vec::new();
    for number in 0..12 {
        let id = format!("q{number}");
        damage_counter(cluster, &id).await?;
        aside.push(operator.sent(&format!("send Counter/{id} add 5 --async")).await?);
    }
    let delayed = operator.sent("send Counter/d add 5 --delay 1h").await?;
    for id in &aside {
        operator.is_in_state(id, "quarantined").await?;
    }
    let place = operator.does("entity show Counter/q0").await?;
    let owner = of(&place, "/shard/owner").as_u64().context("it has no owner")?;
    cluster.kill(u16::try_from(owner)?).await?;
    mend_counters(cluster).await?;
    let watch = Stopwatch::start();
    let (first, others) = aside.split_first().context("nothing is set aside")?;
    operator.does(&format!("message redrive {first} --payload 7 --timeout 60s")).await?;
    say(format!("redriven {:?} after the kill of its owner", watch.elapsed()));
    operator.is_in_state(first, "finished").await?;
    ensure!(operator.does("send Counter/q0 get").await? == 7, "the edited payload was handled");
    // The same again: it has finished.
    operator.ran(&format!("message redrive {first} --payload 7"), 4).await?;
    let done = operator.does(&format!("message cancel {delayed} --timeout 60s")).await?;
    ensure!(of(&done, "/outcome/code") == "cancelled", "{done}");
    let filter = "--type Counter --error state";
    let count = operator.does(&format!("message drop {filter} --dry-run")).await?;
    ensure!(*of(&count, "/matched") == 11 && *of(&count, "/done") == 0, "{count}");
    let dropped = operator.does(&format!("message drop {filter} --timeout 60s")).await?;
    ensure!(*of(&dropped, "/done") == 11, "{dropped}");
    for id in others {
        let shown = operator.does(&format!("message show {id}")).await?;
        ensure!(of(&shown, "/outcome/code") == "dropped", "{shown}");
    }
    let violations = cluster.violations().await?;
    ensure!(violations == 0, "{violations} violations of invariants");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(())
}

async fn with_two_attempts(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(3, store).await?;
    for node in cluster.ids() {
        cluster.set(node, "QUARRY_ENTITIES__ATTEMPTS", "2")?;
    }
    cluster::run_prepared(cluster, a_decision_after_the_kill_of_the_owner).await
}

#[tokio::test]
async fn the_next_owner_does_what_an_operator_decides_on_sqlite() -> Result<()> {
    with_two_attempts(StoreKind::Sqlite).await
}

#[tokio::test]
async fn the_next_owner_does_what_an_operator_decides_on_postgres() -> Result<()> {
    with_two_attempts(StoreKind::Postgres).await
}

/// A process ends in a handler, or lives and has set the message aside; whether it ended.
async fn ends_again(cluster: &mut Cluster, operator: &Operator, id: &str) -> Result<bool> {
    cluster.start(1)?;
    tokio::select! {
        status = cluster.ended(1, Duration::from_mins(2)) => {
            ensure!(!status?.success(), "it was to end in the handler");
            Ok(true)
        }
        aside = operator.is_in_state(id, "quarantined") => aside.map(|()| false),
    }
}

/// A message ends each process that handles it: it is set aside after four of them, its entity goes
/// on, and it can be let run again.
async fn a_message_that_ends_its_process(cluster: &mut Cluster) -> Result<()> {
    let operator = Operator::of(cluster)?;
    let deadly = r#"send Register/p append {"value":"deadly"} --delay 2s"#;
    let id = operator.sent(deadly).await?;
    cluster.kill(1).await?;
    cluster.set(1, "QUARRY_CRASH_POINT", "handled")?;
    let (watch, mut ends) = (Stopwatch::start(), 0);
    while ends_again(cluster, &operator, &id).await? {
        ends += 1;
        ensure!(ends <= 4, "the message has ended {ends} processes");
    }
    say(format!("set aside after {ends} processes and {:?}", watch.elapsed()));
    ensure!(ends == 4, "{ends} ends are no reason");
    let shown = operator.does(&format!("message show {id}")).await?;
    let reason = "4 attempts in a row ended with their process, the last two alone";
    ensure!(shown.to_string().contains(reason), "{shown}");
    cluster.kill(1).await?;
    cluster.unset(1, "QUARRY_CRASH_POINT")?;
    cluster.restart(1).await?;
    operator.does(r#"send Register/p append {"value":"behind"}"#).await?;
    operator.does(&format!("message redrive {id} --timeout 60s")).await?;
    operator.is_in_state(&id, "finished").await?;
    let registers = Registers::new(cluster.client().clone(), cluster.urls());
    let entries = registers.read("p", 0).await?;
    let values: Vec<&str> = entries.iter().map(|entry| entry.value.as_str()).collect();
    ensure!(values == ["behind", "deadly"], "{values:?}");
    say(format!("{:?}", Ledger::of(cluster).await?.audit().await?));
    Ok(())
}

#[tokio::test]
async fn a_message_that_ends_its_process_is_set_aside_on_sqlite() -> Result<()> {
    cluster::run(1, StoreKind::Sqlite, a_message_that_ends_its_process).await
}

#[tokio::test]
async fn a_message_that_ends_its_process_is_set_aside_on_postgres() -> Result<()> {
    cluster::run(1, StoreKind::Postgres, a_message_that_ends_its_process).await
}
