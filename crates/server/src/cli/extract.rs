//! `quarry extract` and `quarry ingest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `quarry extract`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without --url it works with no server, too: the same extraction then runs in this process.

Examples:
  quarry extract article.txt --ontology film
  quarry extract *.txt --ontology company --format json | jq .relations
  quarry extract article.txt --ontology person --format turtle > article.ttl
  quarry extract long.txt --ontology company --stream
  echo 'Alien was directed by Ridley Scott.' | quarry extract - --ontology film")]
pub(crate) struct ExtractArguments {
    /// The texts; - reads one from stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The ontology to read them by: an id, or a pack's file
    #[arg(long, value_name = "ID|FILE")]
    pub(crate) ontology: String,
    /// How to write the graph [default: table on a terminal, json in a pipe]
    #[arg(long, value_enum)]
    pub(crate) format: Option<GraphFormat>,
    /// Tell what is found as it is found, an event per line, instead of the graph at the end
    #[arg(long, conflicts_with = "format")]
    pub(crate) stream: bool,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Aligned columns.
    Table,
    /// The graph as the API answers it.
    Json,
    /// RDF, with prefixes.
    Turtle,
    /// RDF, a triple per line.
    Ntriples,
}

/// `quarry ingest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A directory gives its .txt, .md and .jsonl files, also of directories within; a .jsonl file gives a
document per line: {\"text\": \"…\", \"documentId\": \"…\"}, the id being optional.

It can be stopped and run again: what the server has already is answered from there.

Examples:
  quarry ingest articles/ --ontology company
  quarry ingest articles.jsonl --ontology film --concurrency 16")]
pub(crate) struct IngestArguments {
    /// Directories, texts and JSON Lines files
    #[arg(required = true, value_name = "DIR|FILE")]
    pub(crate) sources: Vec<PathBuf>,
    /// The ontology to read them by
    #[arg(long, value_name = "ID")]
    pub(crate) ontology: String,
    /// How many documents to have on the way at a time
    #[arg(long, value_name = "N", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
}
