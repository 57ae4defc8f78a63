//! A node is killed while an extraction is streamed, or asked to go with less time than its handlers need:
//! every reader gets every event once, on whichever node it reads, and the graph is the one of an
//! undisturbed run.
#![expect(clippy::indexing_slicing, reason = "JSON indexed by a name that it lacks is null")]

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    command::Workbench,
    ownership::at_rest,
    process::StoreKind,
    report::say,
    sent_events::{Event, Events},
    wait::{Stopwatch, until},
};
use serde_json::{Value, json};

const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/extract/packs/film.toml");
/// So many that reading them takes much longer than killing a process, or handing its shards over.
const LINES: u32 = 2_200;

/// Whom the killed node owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The entity that reads the text.
    Work,
    /// The entity of the submission, which waits for it.
    Submission,
}

/// How its node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    Killed,
    /// It is asked to, and its handlers are not done when the drain time is over.
    Drained,
}

/// Much less than reading the text takes.
const DRAIN_TIME: &str = "100ms";
/// A node that goes gives its connections two seconds.
const GONE_WITHIN: Duration = Duration::from_secs(20);
const AT_REST_WITHIN: Duration = Duration::from_mins(1);

/// A text of names and numbers, with a film in it now and then.
fn long_text(title: &str) -> String {
    let line = |line: u32| {
        let film = if line.is_multiple_of(400) {
            format!("The {title} is a {} film directed by Anna Berg. ", 1950 + line / 400)
        } else {
            String::new()
        };
        let (year, miles) = (1900 + line % 100, line % 1000);
        format!(
            "{film}On Monday the Old Quay of Northport was closed, and in June of {year} the Grand \
             Hotel “Seven Lamps” burned, {miles} miles from Easter Bay. "
        )
    };
    (0..LINES).map(line).collect()
}

/// What one process alone makes of the text.
async fn undisturbed(text: &str) -> Result<Value> {
    let bench = Workbench::new()?;
    std::fs::write(bench.path().join("text.txt"), text)?;
    let arguments = ["extract", "text.txt", "--ontology", PACK, "--format", "json"];
    let ran = bench.quarry(&arguments).await?.ended_with(0)?;
    Ok(serde_json::from_str(&ran.stdout)?)
}

struct Readers {
    http: reqwest::Client,
    request_id: String,
    /// One through each node, in the order of their ids: what it has read, and its stream.
    through: BTreeMap<u16, (Vec<Event>, Events)>,
}

impl Readers {
    /// Submits the text through the first node, and once more through each other.
    async fn begin(cluster: &Cluster, text: &str, request_id: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let submission = json!({ "text": text, "ontologyId": "film", "requestId": request_id });
        let mut through = BTreeMap::new();
        for node in cluster.ids() {
            let page = format!("{}/v1/extractions", cluster.url(node)?);
            let events = Events::of(http.post(page).json(&submission)).await?;
            through.insert(node, (Vec::new(), events));
        }
        Ok(Self { http, request_id: request_id.to_owned(), through })
    }

    /// Reads until the text is being read.
    async fn until_progress(&mut self) -> Result<()> {
        for (read, events) in self.through.values_mut() {
            *read = events.read_to(|event| event.kind() == "progress").await?;
        }
        Ok(())
    }

    /// Reads to the end; who is cut goes on at `elsewhere` behind what it has read.
    async fn read_on(self, cluster: &Cluster, elsewhere: u16) -> Result<Vec<Vec<Event>>> {
        let mut lists = Vec::new();
        for (node, (mut read, mut events)) in self.through {
            read.extend(events.read_to(|event| event.kind() == "end").await?);
            if read.last().is_some_and(|event| event.kind() != "end") {
                let last = read.last().and_then(|event| event.id.clone()).context("no id")?;
                say(format!("the stream through node {node} was cut behind {} events", read.len()));
                let url = cluster.url(elsewhere)?;
                let page = format!("{url}/v1/extractions/{}/events", self.request_id);
                let request = self.http.get(page).header("last-event-id", last);
                let mut rest = Events::of(request).await?;
                read.extend(rest.read_to(|event| event.kind() == "end").await?);
            }
            lists.push(read);
        }
        Ok(lists)
    }
}

/// A document of a node.
async fn page(cluster: &Cluster, node: u16, path: &str) -> Result<Value> {
    let text = cluster.client().text(&format!("{}{path}", cluster.url(node)?)).await?;
    Ok(serde_json::from_str(&text)?)
}

/// Who owns the entity of a message, as node `through` says.
async fn owner_of(cluster: &Cluster, through: u16, message: &Value) -> Result<u16> {
    let [entity_type, id] = ["type", "id"].map(|name| message[name].as_str().unwrap_or_default());
    let placement = page(cluster, through, &format!("/v1/placement/{entity_type}/{id}")).await?;
    let http = placement["ownerHttp"].as_str().with_context(|| placement.to_string())?;
    let nodes = cluster.ids().into_iter();
    let mut owners = nodes.filter(|node| cluster.url(*node).is_ok_and(|url| url.ends_with(http)));
    owners.next().with_context(|| format!("{http} is no node"))
}

/// Makes sure that the events are whole, in order and told once; the graph they end with.
fn graph_of(told: &[Event]) -> Result<Value> {
    let kinds: Vec<&str> = told.iter().map(Event::kind).collect();
    ensure!(kinds.starts_with(&["started", "stage_started"]), "{kinds:?}");
    ensure!(kinds.ends_with(&["completed", "end"]), "{kinds:?}");
    ensure!(!kinds.contains(&"reset"), "{kinds:?}");
    let (end, events) = told.split_last().context("no events")?;
    let mut next = BTreeMap::<&str, u64>::new();
    for event in events {
        let of = event.document["messageId"].as_str().context("no message")?;
        let next = next.entry(of).or_default();
        ensure!(event.document["sequence"] == *next, "a gap or a repeat: {event:?}");
        *next += 1;
    }
    ensure!(next.len() == 2, "the submission's and the work's: {next:?}");
    Ok(end.document["outcome"]["reply"].clone())
}

/// Lets the node go that owns the victim's entity, while its message is open; the node, and the others.
async fn strike(
    cluster: &mut Cluster,
    readers: &Readers,
    (victim, going): (Victim, Going),
) -> Result<(u16, [u16; 2])> {
    let (first, _) = readers.through.first_key_value().context("no reader")?.1;
    let told = if victim == Victim::Work { first.last() } else { first.first() };
    let message = told.and_then(|event| event.document["messageId"].as_str());
    let message = format!("/v1/messages/{}", message.context("no message")?);
    let shown = page(cluster, 1, &message).await?;
    let node = owner_of(cluster, 1, &shown).await?;
    let left: Vec<u16> = cluster.ids().into_iter().filter(|id| *id != node).collect();
    let [beside, elsewhere] = left[..] else { anyhow::bail!("{left:?}") };
    match going {
        Going::Killed => cluster.kill(node).await?,
        // From then on nothing of it runs there, though it tells its clients to go for seconds more.
        Going::Drained => {
            cluster.ask_to_go(node)?;
            until("another node owns it", GONE_WITHIN, async || {
                let owner = owner_of(cluster, beside, &shown).await.ok()?;
                (owner != node).then_some(())
            })
            .await?;
        }
    }
    let state = page(cluster, beside, &message).await?["state"].take();
    ensure!(state == "open", "it went too late: {state}");
    if going == Going::Drained {
        let status = cluster.ended(node, GONE_WITHIN).await?;
        ensure!(status.success(), "node {node} went with {status}");
    }
    Ok((node, [beside, elsewhere]))
}

/// Makes sure that a late reader at `node` is told the same, and that its graph is the same.
async fn late(cluster: &Cluster, node: u16, told: &[Event], graph: &Value) -> Result<()> {
    let extraction = format!("/v1/extractions/{}", graph["requestId"].as_str().unwrap_or_default());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let request = http.get(format!("{}{extraction}/events", cluster.url(node)?));
    let late = Events::of(request).await?.read_to(|event| event.kind() == "end").await?;
    ensure!(late == told, "a late reader at node {node} is told differently");
    let stored = page(cluster, node, &format!("{extraction}/graph")).await?;
    ensure!(stored == *graph, "node {node} has another graph");
    Ok(())
}

/// Makes sure that the journal has each event of the submission once, in order.
async fn recorded(cluster: &Cluster, node: u16, told: &[Event], graph: &Value) -> Result<()> {
    let request_id = graph["requestId"].as_str().unwrap_or_default();
    let path = format!("/v1/journal/extraction:{request_id}?limit=1000");
    let journal = page(cluster, node, &path).await?;
    let entries = journal["items"].as_array().context("no entries")?;
    let own =
        told.iter().filter(|event| event.document["messageId"] == told[0].document["messageId"]);
    let own: Vec<&Event> = own.filter(|event| event.id.is_some()).collect();
    ensure!(entries.len() == own.len(), "{} entries for {} events", entries.len(), own.len());
    for (sequence, (entry, event)) in (1_u64..).zip(entries.iter().zip(own)) {
        ensure!(entry["sequence"] == sequence, "a gap or a repeat: {entry}");
        for (name, told) in [("type", "type"), ("time", "time"), ("chunk", "sequence")] {
            ensure!(entry[name] == event.document[told], "{entry} is not {event:?}");
        }
    }
    Ok(())
}

/// Streams a text through all nodes, lets one of them go in the middle, and compares what was read.
async fn outlived(cluster: &mut Cluster, victim: Victim, going: Going) -> Result<()> {
    let text = long_text(&format!("Lost {victim:?}"));
    let request_id = format!("{going:?}-{victim:?}").to_lowercase();
    let mut readers = Readers::begin(cluster, &text, &request_id).await?;
    readers.until_progress().await?;
    let before = readers.through.values().map(|(read, _)| read.len()).max().unwrap_or_default();
    let (node, [beside, elsewhere]) = strike(cluster, &readers, (victim, going)).await?;
    let gone = Stopwatch::start();

    let lists = readers.read_on(cluster, elsewhere).await?;
    let told = lists.first().context("no reader")?;
    say(format!(
        "node {node} {going:?} behind {before} of {} events; the last came {:?} later",
        told.len(),
        gone.elapsed()
    ));
    ensure!(lists.iter().all(|list| list == told), "readers were told differently");
    ensure!(told.len() > before + 5, "nothing came behind it");
    let graph = graph_of(told)?;
    let alone = undisturbed(&text).await?;
    for part in ["entities", "relations", "grade", "refused", "ontologyVersion"] {
        ensure!(graph[part] == alone[part], "another graph: its {part}");
    }
    for survivor in [beside, elsewhere] {
        late(cluster, survivor, told, &graph).await?;
        recorded(cluster, survivor, told, &graph).await?;
    }
    cluster.restart(node).await
}

async fn goes_in_both_places(store: StoreKind, going: Going) -> Result<()> {
    let mut cluster = Cluster::prepare(3, store).await?;
    if going == Going::Drained {
        for node in cluster.ids() {
            cluster.set(node, "QUARRY_NODE__DRAIN_TIME", DRAIN_TIME)?;
        }
    }
    cluster::run_prepared(cluster, async |cluster| {
        for victim in [Victim::Work, Victim::Submission] {
            at_rest(cluster, AT_REST_WITHIN).await?;
            outlived(cluster, victim, going).await.with_context(|| format!("{victim:?}"))?;
        }
        let violations = cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stream_outlives_the_kill_of_its_owner_on_sqlite() -> Result<()> {
    goes_in_both_places(StoreKind::Sqlite, Going::Killed).await
}

#[tokio::test]
async fn a_stream_outlives_the_kill_of_its_owner_on_postgres() -> Result<()> {
    goes_in_both_places(StoreKind::Postgres, Going::Killed).await
}

#[tokio::test]
async fn a_stream_outlives_the_drain_time_of_its_owner() -> Result<()> {
    goes_in_both_places(StoreKind::Postgres, Going::Drained).await
}
