//! Ontologies are put on one node and extracted by on another; what is begun by one version ends by it,
//! whatever is put and killed in between.
#![expect(clippy::indexing_slicing, reason = "JSON indexed by a name that it lacks is null")]

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    cluster::{self, Cluster},
    ledger::Ledger,
    process::StoreKind,
    report::say,
    sent_events::{Event, Events},
    wait::{Stopwatch, until},
};
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};

const TEXT: &str = "Old Oak is kept by Anna Holt.";
/// So many that reading them takes much longer than killing a process.
const LINES: u32 = 4_000;
/// How long the shards of a killed node may be without an owner.
const WITHIN: Duration = Duration::from_secs(30);

/// Relations beside the one that is looked for: they make reading slow.
const OTHERS: usize = 24;

/// A pack whose relation is called `kept`.
fn bees(kept: &str) -> String {
    let mut pack =
        String::from("id = \"bees\"\n[[class]]\nname = \"Apiary\"\n[[class]]\nname = \"Keeper\"\n");
    let others = (0..OTHERS).map(|other| {
        let verb = ["bought", "sold", "built", "leased", "visited", "painted"][other % 6];
        let how = ["early", "late", "twice", "again"][other / 6];
        (format!("other{other}"), format!("was {verb} {how}"))
    });
    for (relation, verb) in std::iter::once((kept.into(), "is kept".into())).chain(others) {
        let _ = write!(
            pack,
            "[[relation]]\nname = \"{relation}\"\ndomain = [\"Apiary\"]\nrange = [\"Keeper\"]\n\
             [[sentence]]\ntext = \"Stone Wall {verb} by Eva Brandt.\"\n\
             triples = [[\"Stone Wall\", \"{relation}\", \"Eva Brandt\"]]\n\
             [[sentence]]\ntext = \"Mill Lane {verb} by Peter Lind.\"\n\
             triples = [[\"Mill Lane\", \"{relation}\", \"Peter Lind\"]]\n"
        );
    }
    pack
}

/// A text of names and numbers that begins with a fact.
fn long_text() -> String {
    let line = |line: u32| {
        let (year, miles) = (1900 + line % 100, line % 1000);
        format!(
            "On Monday the Old Quay of Northport was closed, and in June of {year} the Grand Hotel \
             “Seven Lamps” burned, {miles} miles from Easter Bay. "
        )
    };
    std::iter::once(format!("{TEXT} ")).chain((0..LINES).map(line)).collect()
}

/// The nodes' interface, as a client of no kind sees it.
struct Nodes<'a> {
    cluster: &'a mut Cluster,
    http: reqwest::Client,
}

impl Nodes<'_> {
    fn at(&self, node: u16, path: &str) -> Result<String> {
        Ok(format!("{}{path}", self.cluster.url(node)?))
    }

    /// Puts the pack through `node`; its version.
    async fn put(&self, node: u16, pack: String) -> Result<String> {
        let request = self.http.put(self.at(node, "/v1/ontologies/bees")?).body(pack);
        let placed = answer(request.header(header::CONTENT_TYPE, "application/toml").send().await?);
        let (status, placed) = placed.await?;
        ensure!(status.is_success(), "{status}: {placed}");
        Ok(placed["version"].as_str().context("no version")?.to_owned())
    }

    async fn get(&self, node: u16, path: &str) -> Result<(StatusCode, Value)> {
        answer(self.http.get(self.at(node, path)?).send().await?).await
    }

    /// Has a text read through `node`.
    async fn extract(&self, node: u16, request_id: &str) -> Result<(StatusCode, Value)> {
        let body = json!({ "text": TEXT, "ontologyId": "bees", "requestId": request_id });
        answer(self.http.post(self.at(node, "/v1/extractions")?).json(&body).send().await?).await
    }

    /// As [`Nodes::extract`], and again while a shard has no owner.
    async fn extracted(&self, node: u16, request_id: &str) -> Result<Value> {
        let what = format!("{request_id} through node {node}");
        let ok = async || match self.extract(node, request_id).await {
            Ok((StatusCode::OK, graph)) => Some(graph),
            _ => None,
        };
        until(&what, WITHIN, ok).await
    }

    async fn owner(&self, node: u16, entity: &str) -> Result<u16> {
        let (_, placement) = self.get(node, &format!("/v1/placement/{entity}")).await?;
        let http = placement["ownerHttp"].as_str().with_context(|| placement.to_string())?;
        let mut nodes = self.cluster.ids().into_iter();
        let owner = nodes.find(|id| self.cluster.url(*id).is_ok_and(|url| url.ends_with(http)));
        owner.with_context(|| format!("{http} is no node"))
    }

    /// Kills a node; the others.
    async fn kill(&mut self, node: u16) -> Result<[u16; 2]> {
        self.cluster.kill(node).await?;
        let left: Vec<u16> = self.cluster.ids().into_iter().filter(|id| *id != node).collect();
        left.try_into().map_err(|left| anyhow::anyhow!("{left:?}"))
    }
}

async fn answer(response: Response) -> Result<(StatusCode, Value)> {
    let (status, text) = (response.status(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// Makes sure that a graph has the one fact, by this version and under this name.
fn is_of(graph: &Value, version: &str, kept: &str) -> Result<()> {
    ensure!(graph["ontologyVersion"] == version, "{} is not {version}", graph["ontologyVersion"]);
    ensure!(graph["relations"][0]["predicate"] == kept, "{}", graph["relations"]);
    Ok(())
}

/// Each node knows at once what was put through another.
async fn known_everywhere(nodes: &Nodes<'_>) -> Result<String> {
    let mut version = String::new();
    for (turn, kept) in ["keptBy", "tendedBy", "keptBy"].into_iter().enumerate() {
        let ids = nodes.cluster.ids();
        let through = *ids.get(turn % ids.len()).context("no node")?;
        version = nodes.put(through, bees(kept)).await?;
        for node in ids {
            let (status, graph) = nodes.extract(node, &format!("{turn}-{node}")).await?;
            ensure!(status == StatusCode::OK, "{graph}");
            is_of(&graph, &version, kept)?;
            let (_, shown) = nodes.get(node, "/v1/ontologies/bees").await?;
            ensure!(shown["version"] == version.as_str(), "node {node}: {shown}");
        }
    }
    Ok(version)
}

/// Whom the killed node owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The entity that reads the text.
    Work,
    /// The entity of the submission, which waits for it.
    Submission,
}

/// A text is being read by `version`, under the name `kept`, when the victim's node is killed, and
/// another version is put before it is read on; the version that was put.
async fn ends_as_begun(
    nodes: &mut Nodes<'_>,
    victim: Victim,
    (version, kept): (&str, &str),
    newer_name: &str,
) -> Result<String> {
    let id = format!("long-{victim:?}").to_lowercase();
    let text = format!("{}{id}.", long_text());
    let body = json!({ "text": text, "ontologyId": "bees", "requestId": id });
    let request = nodes.http.post(nodes.at(2, "/v1/extractions")?).json(&body);
    let begun = Events::of(request).await?.read_to(|event| event.kind() == "progress").await?;
    let mut works = begun.iter().filter_map(|event| event.document["work"].as_str());
    let work = works.next().context("no work")?;

    let owned = match victim {
        Victim::Work => format!("ExtractionWork/{work}"),
        Victim::Submission => format!("KGExtractor/{id}"),
    };
    let node = nodes.owner(1, &owned).await?;
    let [beside, elsewhere] = nodes.kill(node).await?;
    let killed = Stopwatch::start();
    let open = Ledger::of(nodes.cluster).await?.open_entities().await?;
    ensure!(open.contains(&owned), "killed too late: {owned} is not among {open:?}");
    let pack = bees(newer_name);
    let put = async || nodes.put(elsewhere, pack.clone()).await.ok();
    let newer = until("a newer version is put", WITHIN, put).await?;
    ensure!(newer != version, "the same version");
    let short = nodes.extracted(elsewhere, &format!("short-{id}")).await?;
    is_of(&short, &newer, newer_name)?;
    let short_took = killed.elapsed();

    let events = nodes.http.get(nodes.at(beside, &format!("/v1/extractions/{id}/events"))?);
    let told = Events::of(events).await?.read_to(|event| event.kind() == "end").await?;
    let end = told.last().map(|event: &Event| &event.document["outcome"]["reply"]);
    is_of(end.context("no events")?, version, kept)?;
    say(format!(
        "{victim:?}: node {node} killed; by the newer version a text was read {short_took:?} later, \
         by the older one the text that was being read {:?} later",
        killed.elapsed()
    ));
    nodes.cluster.restart(node).await?;
    Ok(newer)
}

/// The owner of the ontology is killed behind the answer to a change; the change stands.
async fn outlives_its_owner(nodes: &mut Nodes<'_>) -> Result<()> {
    let version = nodes.put(1, bees("mindedBy")).await?;
    let owner = nodes.owner(1, "Ontology/bees").await?;
    let [beside, elsewhere] = nodes.kill(owner).await?;
    for node in [beside, elsewhere] {
        is_of(&nodes.extracted(node, &format!("minded-{node}")).await?, &version, "mindedBy")?;
    }
    let removed = nodes.http.delete(nodes.at(beside, "/v1/ontologies/bees")?).send().await?;
    ensure!(removed.status() == StatusCode::OK, "{}", removed.text().await?);
    let (status, refused) = nodes.extract(elsewhere, "late").await?;
    ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let (status, turtle) =
        nodes.get(elsewhere, "/v1/extractions/long-work/graph?format=turtle").await?;
    ensure!(status == StatusCode::OK, "{turtle}");
    ensure!(turtle.as_str().is_some_and(|turtle| turtle.contains("Anna Holt")), "{turtle}");
    Ok(())
}

async fn ontologies_on_a_cluster(store: StoreKind) -> Result<()> {
    cluster::run(3, store, async |cluster| {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut nodes = Nodes { cluster, http };
        let version = known_everywhere(&nodes).await.context("known everywhere")?;
        let older = (version.as_str(), "keptBy");
        let newer = ends_as_begun(&mut nodes, Victim::Work, older, "tendedBy").await?;
        let older = (newer.as_str(), "tendedBy");
        ends_as_begun(&mut nodes, Victim::Submission, older, "watchedBy").await?;
        outlives_its_owner(&mut nodes).await.context("outlives its owner")?;
        let violations = nodes.cluster.violations().await?;
        ensure!(violations == 0, "{violations} violations of invariants");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_begun_by_one_version_ends_by_it_on_sqlite() -> Result<()> {
    ontologies_on_a_cluster(StoreKind::Sqlite).await
}

#[tokio::test]
async fn what_is_begun_by_one_version_ends_by_it_on_postgres() -> Result<()> {
    ontologies_on_a_cluster(StoreKind::Postgres).await
}
