//! How far an extraction is can be asked while it runs.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{command::Workbench, wait::until};
use reqwest::Client;
use serde_json::{Value, json};

const DONE_WITHIN: Duration = Duration::from_mins(2);
/// A text that takes seconds.
const SENTENCES: u32 = 6_000;

#[tokio::test]
async fn who_asks_for_the_status_of_a_running_extraction_does_not_wait_for_it() -> Result<()> {
    let bench = Workbench::new()?;
    let dev = bench.dev().await?;
    let http = Client::builder().no_proxy().build()?;
    let sentence = |number| format!("Film {number} was directed by Anna Example in 1990.");
    let text = (0..SENTENCES).map(sentence).collect::<Vec<_>>().join(" ");
    let submission = json!({ "text": text, "ontologyId": "film", "requestId": "long" });
    let submit = http.post(format!("{}/v1/extractions?async", dev.url)).json(&submission);
    let accepted = submit.send().await?;
    ensure!(accepted.status() == 202, "{}", accepted.text().await?);
    let call = json!({ "_tag": "extraction.getStatus", "payload": { "requestId": "long" } });
    let mut seen = BTreeSet::new();
    until("the extraction is complete", DONE_WITHIN, async || {
        let shown: Value = async {
            let shown = http.get(format!("{}/v1/extractions/long", dev.url)).send().await?;
            shown.json().await
        }
        .await
        .ok()?;
        let told = http.post(format!("{}/api/rpc", dev.url)).json(&call).send().await.ok()?;
        let told: Value = told.json().await.ok()?;
        let status = told.pointer("/value/status").or_else(|| told.get("status"))?.as_str()?;
        seen.insert(format!("{status}, {}", shown.get("state")?.as_str()?));
        (status == "complete").then_some(())
    })
    .await
    .with_context(|| format!("seen: {seen:?}"))?;
    ensure!(seen.contains("running, open"), "{seen:?}");
    Ok(())
}
