//! `quarry ontology`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `quarry ontology …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum OntologyCommand {
    /// List the built-in ontologies, or with --url those of a server
    Ls,
    /// Show the classes and relations of an ontology
    Show {
        /// An id, or a pack's file
        #[arg(value_name = "ID|FILE")]
        ontology: String,
    },
    /// Say everything that is wrong with a pack, where, and what to do
    #[command(after_help = "\
Examples:
  quarry ontology check bees.toml
  quarry ontology check packs/*.toml -o json")]
    Check {
        /// Packs in TOML or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Measure an ontology's extractor on annotated texts
    Eval(OntologyEvalArguments),
}

/// `quarry ontology eval`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A line of FILE is {\"text\": \"…\", \"facts\": [[\"subject\", \"relation\", \"object\"], …]}, with every fact
that the text states; objects that are literals are given in their lexical form (1982-06-25).
The measure is strict: what is found and not annotated is wrong.

Example:
  quarry ontology eval bees.toml --data held-out.jsonl")]
pub(crate) struct OntologyEvalArguments {
    /// An id, or a pack's file
    #[arg(value_name = "ID|FILE")]
    pub(crate) ontology: String,
    /// The annotated texts, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Also say what was missed and what was wrong, text by text
    #[arg(long)]
    pub(crate) differences: bool,
}
