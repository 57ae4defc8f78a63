//! A node, and all the ways in which a text reaches an extractor.

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    command::{DevNode, Ran, Workbench},
    sent_events::Events,
};
use reqwest::{RequestBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// The pack that the node has by its id, for the command without a server.
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/extract/packs/film.toml");

/// A directory of texts beside a development node.
pub(crate) struct Desk {
    pub(crate) bench: Workbench,
    pub(crate) node: DevNode,
    pub(crate) http: reqwest::Client,
}

/// A submission of `text`.
pub(crate) fn submission(text: &str) -> Value {
    json!({ "text": text, "ontologyId": "film" })
}

impl Desk {
    pub(crate) async fn new() -> Result<Self> {
        let bench = Workbench::new()?;
        let node = bench.dev().await?;
        Ok(Self { bench, node, http: reqwest::Client::builder().no_proxy().build()? })
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.node.url));
        request.header(CONTENT_TYPE, "application/json").body(body)
    }

    /// The graph that HTTP answers.
    pub(crate) async fn graph(&self, body: impl Into<reqwest::Body>) -> Result<Value> {
        let answer = self.post("/v1/extractions", body).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(answer.json().await?)
    }

    /// The graph that a call of the procedure answers.
    pub(crate) async fn called(&self, text: &str) -> Result<Value> {
        let call = json!({ "_tag": "extraction.extract", "payload": submission(text) });
        let mut answer: Value =
            self.post("/api/rpc", call.to_string()).send().await?.json().await?;
        ensure!(answer["_tag"] == "Success", "{answer}");
        Ok(answer["value"].take())
    }

    /// The entities that a stream tells of the text.
    pub(crate) async fn streamed(&self, text: &str) -> Result<Vec<Value>> {
        let request = self.post("/v1/extractions", submission(text).to_string());
        let told = Events::of(request).await?.read_to(|event| event.kind() == "end").await?;
        let found = told.into_iter().filter(|event| event.kind() == "entity_found");
        Ok(found.map(|mut event| event.document["entity"].take()).collect())
    }

    /// Writes `texts` to files; their names.
    pub(crate) fn write<T: AsRef<[u8]>>(&self, texts: &[T]) -> Result<Vec<String>> {
        let write = |(number, text): (usize, &T)| {
            let name = format!("{number}.txt");
            std::fs::write(self.bench.path().join(&name), text)?;
            Ok(name)
        };
        texts.iter().enumerate().map(write).collect()
    }

    /// Runs `quarry extract` on `files`, once in its own process and once by the node.
    pub(crate) async fn commanded(&self, files: &[String]) -> Result<[Ran; 2]> {
        let extract = async |more: &[&str]| {
            let files = files.iter().map(String::as_str);
            let arguments: Vec<&str> = ["extract", "-o", "json"]
                .into_iter()
                .chain(files)
                .chain(more.iter().copied())
                .collect();
            self.bench.quarry(&arguments).await
        };
        let here = extract(&["--ontology", PACK]).await?;
        Ok([here, extract(&["--ontology", "film", "--url", &self.node.url]).await?])
    }

    /// The graphs of `texts` by both commands.
    pub(crate) async fn graphs(&self, texts: &[&str]) -> Result<[Vec<Value>; 2]> {
        let graphs = |ran: Ran| -> Result<Vec<Value>> {
            let ran = ran.ended_with(0)?;
            let read: Value =
                serde_json::from_str(&ran.stdout).with_context(|| ran.stdout.clone())?;
            Ok(if let Value::Array(graphs) = read { graphs } else { vec![read] })
        };
        let [here, there] = self.commanded(&self.write(texts)?).await?;
        Ok([graphs(here)?, graphs(there)?])
    }
}
