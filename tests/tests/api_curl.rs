//! The procedures as people call them with curl, word for word, against a real node.
#![expect(clippy::indexing_slicing, reason = "JSON indexed by a name that it lacks is null")]

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    client::Client,
    command::{DevNode, Workbench, clean, finish},
    metrics::Metrics,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// What the lines are sent to.
const SERVER: &str = "localhost:8080";

const EXTRACT: &str = r#"curl -X POST http://localhost:8080/api/rpc \
  -H "Content-Type: application/json" \
  -d '{"_tag":"extraction.extract","payload":{"text":"test","ontologyId":"foaf"}}'"#;
const EXTRACT_WITHOUT_TYPE: &str = r#"curl -X POST http://localhost:8080/api/rpc \
  -d '{"_tag":"extraction.extract","payload":{"text":"same text","ontologyId":"foaf"}}'"#;

const TYPE: &str = r#"-H "Content-Type: application/json""#;
const SERVER_SENT: &str = r#"-H "Accept: text/event-stream""#;
const TEXT: &str = "Ada Lovelace was born in London. Ada Lovelace knows Charles Babbage.";

/// What curl printed, and what it says of the answer.
#[derive(Debug, PartialEq)]
struct Printed {
    status: String,
    media_type: String,
    body: String,
}

impl Printed {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// The value of a success.
    fn value(&self) -> Result<Value> {
        let mut answer = self.json()?;
        ensure!(self.status == "200" && self.media_type == "application/json", "{self:?}");
        ensure!(answer["_tag"] == "Success", "{self:?}");
        Ok(answer["value"].take())
    }

    /// The events of a stream, one to a line.
    fn lines(&self) -> Result<Vec<Value>> {
        ensure!(self.status == "200" && self.media_type == "application/x-ndjson", "{self:?}");
        let lines = self.body.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().with_context(|| format!("{self:?}"))
    }

    /// The events of a stream as browsers read it.
    fn server_sent(&self) -> Result<Vec<Value>> {
        ensure!(self.status == "200" && self.media_type == "text/event-stream", "{self:?}");
        let mut events = Vec::new();
        for (number, block) in self.body.split_terminator("\n\n").enumerate() {
            let field = |name: &str| {
                let line =
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                line.with_context(|| format!("no {name} in {block:?}"))
            };
            let event: Value = serde_json::from_str(field("data")?)?;
            ensure!(field("id")? == number.to_string(), "{block:?}");
            ensure!(event["type"] == field("event")?, "{block:?}");
            events.push(event);
        }
        Ok(events)
    }
}

struct Shell {
    bench: Workbench,
    node: DevNode,
}

impl Shell {
    async fn new() -> Result<Self> {
        let bench = Workbench::new()?;
        let node = bench.dev().await?;
        Ok(Self { bench, node })
    }

    /// Types `line`, at the port of the node.
    async fn types(&self, line: &str) -> Result<Printed> {
        let port = self.node.url.rsplit(':').next().context("an address without a port")?;
        ensure!(line.contains(SERVER), "{line}");
        let line = line.replace(SERVER, &format!("localhost:{port}"));
        let (mut command, here) = (clean(Command::new("bash")), self.bench.path());
        command.args(["-c", &line]).current_dir(here).env("CURL_HOME", here);
        // What curl adds behind the body of each answer.
        std::fs::write(
            here.join(".curlrc"),
            "silent\nshow-error\nmax-time = 30\nnoproxy = *\n\
             write-out = \"\\n%{http_code} %{content_type}\"\n",
        )?;
        let ran = finish(command).await?.ended_with(0)?;
        let (body, said) = ran.stdout.rsplit_once('\n').with_context(|| format!("{ran:?}"))?;
        let (status, media_type) = said.split_once(' ').with_context(|| format!("{ran:?}"))?;
        let [status, media_type, body] = [status, media_type, body].map(str::to_owned);
        Ok(Printed { status, media_type, body })
    }

    /// Calls a procedure as the lines above do, with `flags` between the address and the body.
    async fn calls(&self, flags: &str, procedure: &str, payload: &Value) -> Result<Printed> {
        let call = json!({ "_tag": format!("extraction.{procedure}"), "payload": payload });
        let call = call.to_string();
        ensure!(!call.contains('\''), "{call}");
        self.types(&format!("curl -X POST http://{SERVER}/api/rpc {flags} -d '{call}'")).await
    }

    /// How many texts were read.
    async fn extractions(&self) -> Result<u64> {
        let page = Client::new()?.text(&format!("{}/metrics", self.node.url)).await?;
        Ok(Metrics::new(page).sum("extraction_total"))
    }
}

/// Whether the events are those of a stream that ends with a graph; the graph.
fn graph_of(events: &[Value]) -> Result<Value> {
    let [started, progress @ .., complete] = events else { anyhow::bail!("{events:?}") };
    ensure!(started["type"] == "started", "{events:?}");
    ensure!(complete["type"] == "complete", "{events:?}");
    ensure!(started["requestId"] == complete["result"]["requestId"], "{events:?}");
    let mut reached = 0.0;
    for event in progress {
        let percent = event["percent"].as_f64().context("a percentage")?;
        ensure!(event["type"] == "progress" && event["stage"].is_string(), "{event}");
        ensure!((reached..=100.0).contains(&percent), "{events:?}");
        reached = percent;
    }
    Ok(complete["result"].clone())
}

#[tokio::test]
async fn extract_answers_with_and_without_a_content_type_and_from_the_store() -> Result<()> {
    let shell = Shell::new().await?;
    let graph = shell.types(EXTRACT).await?.value()?;
    assert_eq!((&graph["ontologyId"], &graph["grade"]), (&json!("person"), &json!("empty")));
    let first = shell.types(EXTRACT_WITHOUT_TYPE).await?;
    assert_eq!(first.value()?["ontologyId"], "person");
    let read = shell.extractions().await?;
    assert_eq!(shell.types(EXTRACT_WITHOUT_TYPE).await?, first);
    assert_eq!(shell.types(EXTRACT).await?.value()?, graph);
    assert_eq!(shell.extractions().await?, read, "a text was read again");
    for flags in [TYPE, "", "-H 'Content-Type: application/json; charset=utf-8'"] {
        let payload = json!({ "text": TEXT, "ontologyId": "foaf" });
        let graph = shell.calls(flags, "extract", &payload).await?.value()?;
        let names: Vec<&str> = graph["entities"]
            .as_array()
            .context("a list")?
            .iter()
            .filter_map(|entity| entity["name"].as_str())
            .collect();
        assert!(names.contains(&"Ada Lovelace"), "{flags}: {graph}");
    }
    assert_eq!(shell.extractions().await?, read + 1);
    Ok(())
}

#[tokio::test]
async fn stream_extract_tells_what_happens_by_line_and_as_server_sent_events() -> Result<()> {
    let shell = Shell::new().await?;
    let payload = |text: &str| json!({ "text": text, "ontologyId": "foaf" });
    // Lines are the form without an Accept header, and with the one that curl sends.
    let unread = shell.calls("-N", "streamExtract", &payload(TEXT)).await?.lines()?;
    assert!(unread.len() > 2, "no progress: {unread:?}");
    let graph = graph_of(&unread)?;
    assert_eq!(shell.calls(TYPE, "extract", &payload(TEXT)).await?.value()?, graph);
    for flags in [TYPE, ""] {
        let lines = shell.calls(flags, "streamExtract", &payload(TEXT)).await?.lines()?;
        assert_eq!(graph_of(&lines)?, graph);
        let text = format!("{TEXT} Read with {flags:?}.").replace('"', "");
        let flags = format!("-N {SERVER_SENT} {flags}");
        let events = shell.calls(&flags, "streamExtract", &payload(&text)).await?.server_sent()?;
        assert!(events.len() > 2, "no progress: {events:?}");
        assert_eq!(graph_of(&events)?["ontologyId"], "person");
    }
    Ok(())
}

#[tokio::test]
async fn get_status_knows_what_was_submitted_by_name_and_by_text() -> Result<()> {
    let shell = Shell::new().await?;
    let submission = json!({ "text": TEXT, "ontologyId": "foaf" });
    for flags in [TYPE, ""] {
        let unknown = json!({ "requestId": "never-submitted" });
        let status = shell.calls(flags, "getStatus", &unknown).await?.value()?;
        assert_eq!(status, json!({ "status": "not_found" }));
    }
    assert_eq!(shell.calls("", "getStatus", &submission).await?.value()?["status"], "not_found");
    let graph = shell.calls(TYPE, "extract", &submission).await?.value()?;
    let named = json!({ "requestId": graph["requestId"] });
    for (flags, payload) in [(TYPE, &named), ("", &named), (TYPE, &submission), ("", &submission)] {
        let status = shell.calls(flags, "getStatus", payload).await?.value()?;
        assert_eq!(status, json!({ "status": "complete", "result": graph }));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_a_typed_error_or_a_problem_that_names_its_place() -> Result<()> {
    let shell = Shell::new().await?;
    let unknown = json!({ "text": TEXT, "ontologyId": "foa" });
    let late = json!({ "text": TEXT.repeat(1_000), "ontologyId": "foaf", "options": { "timeout": "1ms" } });
    for procedure in ["extract", "streamExtract"] {
        for flags in [TYPE, ""] {
            let answer = shell.calls(flags, procedure, &unknown).await?.json()?;
            assert_eq!(
                (&answer["_tag"], &answer["error"]["_tag"]),
                (&json!("Failure"), &json!("OntologyError"))
            );
            let message = answer["error"]["message"].as_str().context("a message")?;
            assert!(message.contains("company, film, person"), "{message}");
        }
    }
    let answer = shell.calls("", "extract", &late).await?.json()?;
    assert_eq!(answer["error"]["_tag"], "TimeoutError", "{answer}");
    for (procedure, payload, field) in [
        ("extract", json!({ "ontologyId": "foaf" }), "payload.text"),
        ("extract", json!({ "text": 5, "ontologyId": "foaf" }), "payload.text"),
        ("streamExtract", json!({ "text": TEXT }), "payload.ontologyId"),
        ("getStatus", json!({}), "payload.requestId"),
        ("getStatu", json!({}), "_tag"),
    ] {
        let printed = shell.calls("", procedure, &payload).await?;
        let problem = printed.json()?;
        ensure!(printed.status == "400", "{printed:?}");
        ensure!(printed.media_type == "application/problem+json", "{printed:?}");
        assert_eq!((&problem["code"], &problem["field"]), (&json!("invalid_call"), &json!(field)));
    }
    Ok(())
}
