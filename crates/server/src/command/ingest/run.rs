//! Sends documents, several at a time, until all are answered or the server is away.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use quarry_client::{Client, SendOptions, SendStatus};
use quarry_extract::{Options, Submission, graph::Graph};
use quarry_types::IdempotencyKey;
use serde::Serialize;

use super::document::{Document, Source, sources};
use crate::{
    cli::{Global, IngestArguments},
    command::connection::connect,
    failure::{Exit, Failure},
    output::Output,
};

/// What became of all documents.
#[derive(Debug, Default, Serialize)]
struct Summary {
    documents: u64,
    /// Extracted by this run, or by an earlier submission of the same text.
    extracted: u64,
    /// Answered with what an earlier run of this command was answered.
    stored: u64,
    failed: u64,
    /// Not sent, because the server was away.
    left: u64,
    entities: u64,
    facts: u64,
}

/// What became of one document.
struct Ingested {
    replayed: bool,
    entities: usize,
    facts: usize,
}

/// Runs the command.
pub(crate) async fn run(
    arguments: &IngestArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let (sources, passed_over) = sources(&arguments.sources)?;
    if passed_over > 0 {
        output.say(&format!("{passed_over} files are neither .txt, .md nor .jsonl: passed over"));
    }
    client.ontology(&arguments.ontology).await?;
    let all: u64 = sources.iter().map(Source::count).sum();
    let bar = progress(all);
    let mut summary = Summary { documents: all, ..Summary::default() };
    let sending = stream::iter(sources.into_iter().flat_map(Source::documents))
        .map(|document| ingest(&client, &arguments.ontology, document))
        .buffer_unordered(usize::from(arguments.concurrency));
    let mut sending = std::pin::pin!(sending);
    while let Some(ingested) = next(&mut sending, || bar.suspend(|| output.say(SILENT))).await {
        let away = matches!(&ingested, Err(failure) if failure.exit == Exit::Unavailable);
        bar.suspend(|| summary.count(ingested, output));
        bar.inc(1);
        if away {
            break;
        }
    }
    bar.finish_and_clear();
    summary.left = all.saturating_sub(summary.extracted + summary.stored + summary.failed);
    summary.print(output)?;
    summary.verdict(client.bases().len())
}

/// What is said where no document is answered for [`SILENCE`].
const SILENT: &str = "no document was answered for 5 s; still waiting";
const SILENCE: Duration = Duration::from_secs(5);

/// The next document that is answered; says once that it takes long.
async fn next<S: Stream + Unpin>(sending: &mut S, say: impl FnOnce()) -> Option<S::Item> {
    if let Ok(next) = tokio::time::timeout(SILENCE, sending.next()).await {
        return next;
    }
    say();
    sending.next().await
}

async fn ingest(
    client: &Client,
    ontology: &str,
    document: Result<Document, Failure>,
) -> Result<Ingested, Failure> {
    let Document { id, text } = document?;
    let submission = Submission {
        text,
        ontology_id: ontology.to_owned(),
        ontology_version: None,
        options: Options::default(),
        document_id: Some(id.clone()),
        request_id: None,
    };
    let named = |failure: Failure| {
        // What to do is said once, at the end.
        let (message, advice) = (format!("{id}: {}", failure.message), None);
        Failure { message, advice, ..failure }
    };
    let key = IdempotencyKey::new(&submission.content_key());
    let key = key.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let options = SendOptions { key: Some(key), ..SendOptions::default() };
    let deadline = options.timeout;
    let submission = serde_json::to_value(&submission).map_err(anyhow::Error::from)?;
    let sent = client.extract_retrying(&submission, options, deadline).await;
    let sent = sent.map_err(|error| named(error.into()))?;
    let SendStatus::Done(graph) = sent.status else {
        return Err(named(Failure::new(Exit::Unavailable, "accepted and not read yet")));
    };
    let graph: Graph = serde_json::from_value(graph).map_err(anyhow::Error::from)?;
    let (entities, facts) = (graph.entities.len(), graph.relations.len());
    // What an earlier try of this run did is no earlier run's.
    let replayed = sent.replayed && sent.tries == 1;
    Ok(Ingested { replayed, entities, facts })
}

impl Summary {
    fn count(&mut self, ingested: Result<Ingested, Failure>, output: Output) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match ingested {
            Ok(ingested) => {
                let counter =
                    if ingested.replayed { &mut self.stored } else { &mut self.extracted };
                *counter += 1;
                self.entities += number(ingested.entities);
                self.facts += number(ingested.facts);
            }
            Err(failure) => {
                self.failed += 1;
                output.say_failure(&failure);
            }
        }
    }

    fn print(&self, output: Output) -> Result<(), Failure> {
        let facts = [
            ("documents", self.documents.to_string()),
            ("extracted", self.extracted.to_string()),
            ("stored before", self.stored.to_string()),
            ("failed", self.failed.to_string()),
            ("left", self.left.to_string()),
            ("entities", self.entities.to_string()),
            ("facts", self.facts.to_string()),
        ];
        output.record(&facts, self)
    }

    fn verdict(&self, bases: usize) -> Result<(), Failure> {
        let done = self.extracted + self.stored;
        if self.failed == 0 && self.left == 0 {
            return Ok(());
        }
        let message = format!("{done} of {} documents were ingested", self.documents);
        let exit = match (done, self.left) {
            (0, 0) => Exit::Failed,
            (0, _) => Exit::Unavailable,
            _ => Exit::Partly,
        };
        let mut advice = "run the same command again; what is done is not done again".to_owned();
        if self.left > 0 && bases == 1 {
            advice.push_str("; --url takes the addresses of several nodes, parted by commas");
        }
        Err(Failure::new(exit, message).advise(advice))
    }
}

fn progress(documents: u64) -> ProgressBar {
    let bar = ProgressBar::new(documents);
    let shape = "{bar:30} {pos}/{len} documents, {per_sec}, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    bar
}
