//! `quarry ontology`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `quarry ontology …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum OntologyCommand {
    /// List the ontologies of the server; without one, the built-in ones
    Ls,
    /// Show the classes and relations of an ontology
    Show {
        /// An id, or a pack's file
        #[arg(value_name = "ID|FILE")]
        ontology: String,
    },
    /// Put a pack on the server, in place of the one before
    #[command(after_help = "\
A pack is TOML or JSON (.toml, .json), or a vocabulary of RDFS, OWL and SKOS in Turtle (.ttl). Texts that
are extracted from now on are read by it; graphs that are stored stay as they are.

Examples:
  quarry ontology put bees.toml
  quarry ontology put terms.ttl --id bees")]
    Put {
        /// The pack
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The id to put it under [default: its own; of a .ttl file, the file's name]
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Remove an ontology from the server; its graphs stay
    Rm {
        /// Its id
        id: String,
    },
    /// Say everything that is wrong with a pack, where, and what to do
    #[command(after_help = "\
Examples:
  quarry ontology check bees.toml
  quarry ontology check packs/*.toml -o json")]
    Check {
        /// Packs in TOML or JSON, or vocabularies in Turtle
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
