//! `quarry extract`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `quarry extract`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without --url it works with no server, too: the same extraction then runs in this process.

Examples:
  quarry extract article.txt --ontology film
  quarry extract *.txt --ontology company --format json | jq .relations
  echo 'Alien was directed by Ridley Scott.' | quarry extract - --ontology film")]
pub(crate) struct ExtractArguments {
    /// The texts; - reads one from stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The ontology to read them by
    #[arg(long, value_name = "ID")]
    pub(crate) ontology: String,
    /// How to write the graph [default: table on a terminal, json in a pipe]
    #[arg(long, value_enum)]
    pub(crate) format: Option<GraphFormat>,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Aligned columns.
    Table,
    /// The graph as the API answers it.
    Json,
}
