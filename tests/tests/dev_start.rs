//! How soon a newcomer sees something.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{client::Client, command::Workbench, report::say, wait::Stopwatch};
use serde_json::Value;

/// What is promised on an idle machine; the tests may run on a busy one.
const PROMISED: Duration = Duration::from_millis(500);
const AT_MOST: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_development_node_answers_at_once() -> Result<()> {
    let bench = Workbench::new()?;
    let client = Client::new()?;
    let watch = Stopwatch::start();
    let dev = bench.dev().await?;
    let status = client.status(&format!("{}/readyz", dev.url)).await;
    let answered = watch.elapsed();
    say(format!(
        "quarry dev: said that it is ready after {:?}, answered so after {answered:?}",
        dev.said_after
    ));
    ensure!(status.is_some_and(|status| status.is_success()), "it is not ready: {status:?}");
    if answered > PROMISED {
        say(format!("slower than the {PROMISED:?} of an idle machine"));
    }
    ensure!(answered < AT_MOST, "it took {answered:?}");
    Ok(())
}

#[tokio::test]
async fn a_text_becomes_a_graph_without_a_server() -> Result<()> {
    let bench = Workbench::new()?;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/film-gattaca.txt");
    std::fs::copy(sample, bench.path().join("gattaca.txt"))?;
    // Nobody listens on port 7410 here unless the machine's owner does; both give the same graph.
    let ran =
        bench.quarry(&["extract", "gattaca.txt", "--ontology", "film"]).await?.ended_with(0)?;
    say(format!("quarry extract without a server: {:?}", ran.took));
    let graph: Value = serde_json::from_str(&ran.stdout)?;
    let facts = graph.get("relations").and_then(Value::as_array).context("no relations")?;
    ensure!(facts.len() >= 8, "only {} facts: {}", facts.len(), ran.stdout);
    ensure!(ran.took < AT_MOST, "it took {:?}", ran.took);
    Ok(())
}
