//! Bad input to the real binary: it says what is wrong and where, ends with the right code, and
//! stores nothing.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use quarry_tests::command::{DevNode, Workbench};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const KEY: &str = "Idempotency-Key";

#[tokio::test]
async fn a_corrupt_configuration_names_file_and_line() -> Result<()> {
    let bench = Workbench::new()?;
    let files: [(&str, &[u8], &str); 5] = [
        ("syntax.toml", b"[node]\nid = 1\nhttp = = 3\n", "syntax.toml:3"),
        ("unknown.toml", b"[cluster]\n\nleese_ttl = \"3s\"\n", "unknown.toml:3"),
        ("value.toml", b"[cluster]\nlease_ttl = \"soon\"\n", "value.toml:2"),
        ("section.toml", b"[nodes]\nid = 1\n", "section.toml:1"),
        ("latin.toml", b"[node]\nid = 1\nhttp = \"caf\xe9\"\n", "latin.toml:3"),
    ];
    for (name, text, told) in files {
        std::fs::write(bench.path().join(name), text)?;
        for command in [&["serve"][..], &["config", "check"]] {
            let arguments = [command, &["--config", name]].concat();
            bench.quarry(&arguments).await?.ended_with(2)?.said(told)?;
        }
    }
    bench
        .quarry(&["serve", "--config", "absent.toml"])
        .await?
        .ended_with(2)?
        .said("absent.toml")?;
    Ok(())
}

#[tokio::test]
async fn a_taken_port_names_the_flag_that_moves_it() -> Result<()> {
    let bench = Workbench::new()?;
    let holder = TcpListener::bind("127.0.0.1:0")?;
    let taken = holder.local_addr()?;
    let (address, port, free) = (taken.to_string(), taken.port().to_string(), "127.0.0.1:0");
    for (arguments, flag) in [
        (vec!["dev", "--port", &port], "--port"),
        (vec!["serve", "--http", &address], "--http"),
        (vec!["serve", "--http", free, "--cluster", &address], "--cluster"),
        (vec!["serve", "--http", free, "--cluster", free, "--mesh", &address], "--mesh"),
    ] {
        bench.quarry(&arguments).await?.ended_with(1)?.said(flag)?.said(&address)?;
    }
    Ok(())
}

/// What a command line must end with, and say.
type Told = (&'static [&'static str], i32, &'static str);

const COMMANDS: &[Told] = &[
    (&["clutser", "status"], 2, "cluster"),
    (&["send", "Counter", "add", "5"], 2, "Counter"),
    (&["send", "Counter/", "add", "5"], 2, "id"),
    (&["send", "no-type/c", "add", "5"], 2, "no-type"),
    (&["send", "Counter/c1", "add", "{\"a\":"], 2, "JSON"),
    (&["send", "Counter/c1", "add", "\"five\""], 2, "expected an integer"),
    (&["send", "Register/r1", "append", "{\"valeu\": \"x\"}"], 2, "value"),
    (&["send", "Register/r1", "append", "{\"value\": 1, \"value\": 2}"], 2, "duplicate field"),
    (&["send", "Counter/c1", "add"], 2, "argument"),
    (&["send", "Counter/c1", "add", "5", "--timeout", "0"], 2, "--timeout"),
    (&["send", "Counter/c1", "add", "5", "--delay", "-5s"], 2, "--delay"),
    (&["send", "Counter/c1", "add", "5", "--key", ""], 2, "key"),
    (&["send", "Conter/c1", "add", "5"], 3, "Counter"),
    (&["send", "Counter/c1", "ad", "5"], 3, "add"),
    (&["message", "show", "42"], 2, "42"),
    (&["message", "show", "01890000-0000-7000-8000-000000000000"], 3, "01890000"),
    (&["message", "ls", "--entity", "Counter"], 2, "Counter"),
    (&["message", "cancel"], 2, "--entity"),
    (&["message", "drop", "01890000-0000-7000-8000-000000000000"], 3, "01890000"),
    (&["message", "drop", "--type", "Conter"], 3, "Counter"),
    (&["message", "redrive", "--all", "--older-than", "soon"], 2, "--older-than"),
    (&["entity", "show", "Counter/never"], 3, "never"),
    (&["entity", "show", "Counter"], 2, "Counter"),
    (&["extract", "absent.txt", "--ontology", "film"], 3, "absent.txt"),
    (&["extract", "empty.txt", "--ontology", "film"], 2, "empty.txt"),
    (&["extract", "film.txt", "--ontology", "flim"], 3, "film"),
    (&["cluster", "drain", "99"], 3, "99"),
    (&["config", "shwo"], 2, "show"),
];

#[tokio::test]
async fn a_bad_command_ends_with_its_code_and_stores_nothing() -> Result<()> {
    let bench = Workbench::new()?;
    std::fs::write(bench.path().join("empty.txt"), " \n")?;
    std::fs::write(bench.path().join("film.txt"), "Alien was directed by Ridley Scott.\n")?;
    let dev = bench.dev().await?;
    for (arguments, code, told) in COMMANDS {
        let arguments = [arguments, &["--url", &dev.url][..]].concat();
        let what = || arguments.join(" ");
        let ran = bench.quarry(&arguments).await?;
        let ran = ran.ended_with(*code).and_then(|ran| ran.said(told)).with_context(what)?;
        ensure!(ran.stdout.is_empty(), "{}: printed {}", what(), ran.stdout);
    }
    nothing_is_stored(&dev).await
}

#[tokio::test]
async fn a_conflict_ends_with_4_and_silence_with_5() -> Result<()> {
    let bench = Workbench::new()?;
    let nobody = bench.quarry(&["cluster", "status", "--url", "http://127.0.0.1:1"]).await?;
    nobody.ended_with(5)?.said("quarry dev")?;
    let dev = bench.dev().await?;
    let send = |number: &'static str| {
        let (bench, url) = (&bench, &dev.url);
        async move {
            let arguments = ["send", "Counter/c1", "add", number, "--key", "k", "--url", url];
            bench.quarry(&arguments).await
        }
    };
    send("5").await?.ended_with(0)?;
    send("6").await?.ended_with(4)?.said("key")?;
    let second = bench.quarry(&["dev", "--port", "0"]).await?;
    second.ended_with(4)?;
    Ok(())
}

/// A request, and the status, code and field of its refusal.
type Refusal<'a> = (RequestBuilder, u16, &'a str, Option<&'a str>);

/// Requests to one node.
struct Requests<'a> {
    http: reqwest::Client,
    dev: &'a DevNode,
}

impl Requests<'_> {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.dev.url))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.ask(Method::GET, path)
    }

    fn post(&self, path: &str, body: impl Into<String>) -> RequestBuilder {
        let json = self.ask(Method::POST, path).header("content-type", "application/json");
        json.body(body.into())
    }

    fn add(&self) -> RequestBuilder {
        self.post("/v1/entities/Counter/c1/add", "5")
    }

    fn names(&self) -> Vec<Refusal<'static>> {
        let long = format!("/v1/entities/Counter/{}/add", "x".repeat(257));
        vec![
            (self.post("/v1/entities/Nope/c/add", "1"), 404, "unknown_type", Some("type")),
            (self.post("/v1/entities/no-type/c/add", "1"), 400, "invalid_name", Some("type")),
            (self.post("/v1/entities/Counter/c/nope", "1"), 404, "unknown_method", Some("method")),
            (self.post(&long, "1"), 400, "invalid_name", Some("id")),
            (self.post("/v1/entities/Counter/a%00/add", "1"), 400, "invalid_name", Some("id")),
            (self.post("/v1/entities/Counter/%ff/add", "1"), 400, "malformed_path", Some("id")),
            (self.get("/v1/messages/42"), 400, "invalid_name", Some("mid")),
            (self.get("/v1/messages?limt=1"), 400, "unknown_parameter", Some("limt")),
            (self.get("/v1/nowhere"), 404, "no_such_route", None),
            (self.ask(Method::PUT, "/v1/messages"), 405, "method_not_allowed", None),
        ]
    }

    fn headers(&self) -> Vec<Refusal<'static>> {
        let add = || self.ask(Method::POST, "/v1/entities/Counter/c1/add").body("5");
        let text = add().header("content-type", "text/plain");
        let json = self.add();
        let twice = self.add().header(KEY, "a").header(KEY, "b");
        let bad = "invalid_header";
        vec![
            (text, 415, "unsupported_media_type", Some("Content-Type")),
            (json.header("accept", "image/png"), 406, "not_acceptable", Some("Accept")),
            (self.add().header(KEY, ""), 400, bad, Some(KEY)),
            (self.add().header(KEY, "x".repeat(257)), 400, bad, Some(KEY)),
            (self.add().header(KEY, &b"\xff\xfe"[..]), 400, bad, Some(KEY)),
            (twice, 400, bad, Some(KEY)),
        ]
    }

    fn bodies(&self) -> Vec<Refusal<'static>> {
        let add = |body: &str| self.post("/v1/entities/Counter/c1/add", body);
        let append = |body: &str| self.post("/v1/entities/Register/r1/append", body);
        let large = format!("\"{}\"", "x".repeat(1024 * 1024));
        let invalid = "invalid_payload";
        vec![
            (add("{\"a\":"), 400, "malformed_json", Some("a")),
            (append("{\"value\": \"a\", \"value\": \"b\"}"), 400, "malformed_json", Some("value")),
            (add("5 6"), 400, "malformed_json", Some("body")),
            (add(&large), 413, "too_large", Some("body")),
            (add("\"five\""), 422, invalid, Some("body")),
            (add("9223372036854775808"), 422, invalid, Some("body")),
            (append("{}"), 422, invalid, Some("value")),
            (append("{\"value\": 5}"), 422, invalid, Some("value")),
            (append("{\"value\": \"v\", \"more\": 1}"), 422, invalid, Some("more")),
        ]
    }

    fn submissions(&self) -> Vec<Refusal<'static>> {
        let submit = |body: Value| self.post("/v1/extractions", body.to_string());
        let invalid = "invalid_payload";
        let unknown = json!({"text": "x", "ontologyId": "flim"});
        let size = json!({"text": "x", "ontologyId": "film", "options": {"chunkSize": 1}});
        vec![
            (self.post("/v1/extractions", "{"), 400, "malformed_json", Some("body")),
            (submit(json!([])), 422, invalid, Some("body")),
            (submit(json!({"text": "x"})), 422, invalid, Some("ontologyId")),
            (submit(json!({"text": 1, "ontologyId": "film"})), 422, invalid, Some("text")),
            (submit(json!({"text": " ", "ontologyId": "film"})), 422, invalid, Some("text")),
            (submit(unknown), 422, "unknown_ontology", Some("ontologyId")),
            (submit(size), 422, invalid, Some("options.chunkSize")),
        ]
    }
}

#[tokio::test]
async fn a_bad_request_is_refused_with_its_field_and_stores_nothing() -> Result<()> {
    let bench = Workbench::new()?;
    let dev = bench.dev().await?;
    let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10));
    let requests = Requests { http: http.build()?, dev: &dev };
    let all = [requests.names(), requests.headers(), requests.bodies(), requests.submissions()]
        .concat_all();
    for (request, status, code, field) in all {
        let response = request.send().await?;
        let (found, url) = (response.status().as_u16(), response.url().clone());
        let header = response.headers().get("content-type").cloned();
        let media_type = header.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let what = format!("{url}: {status} {code} {field:?}");
        ensure!(media_type.starts_with("application/problem+json"), "{what}: {media_type}");
        let problem: Value = response.json().await?;
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        let as_told = found == status && text("code") == Some(code) && text("field") == field;
        ensure!(as_told, "{what}: {found} {problem:#}");
        ensure!(text("outcome") == Some("refused"), "{what}: {problem:#}");
        ensure!(problem.get("retryable") == Some(&json!(false)), "{what}: {problem:#}");
        ensure!(text("trace_id").is_some_and(|id| id.len() == 32), "{what}: {problem:#}");
    }
    nothing_is_stored(&dev).await
}

trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

async fn nothing_is_stored(dev: &DevNode) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    for page in ["/v1/messages", "/v1/entities"] {
        let answer = http.get(format!("{}{page}", dev.url)).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        ensure!(answer.get("items") == Some(&json!([])), "{page}: {answer:#}");
    }
    Ok(())
}
