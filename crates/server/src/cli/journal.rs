//! Commands on journals.

use clap::{Args, Subcommand};

/// `quarry journal …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List what was recorded
    Ls(JournalArguments),
    /// Print what was recorded, and what is recorded from now on
    Tail(JournalArguments),
    /// Remove what was recorded; that it was done stays
    Destroy {
        /// The journal: extraction:REQUEST-ID, or Type/id of an entity
        #[arg(value_name = "STREAM")]
        stream: String,
    },
}

/// Which entries.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry journal ls extraction:report-7
  quarry journal tail extraction:report-7 --type fact_found -o jsonl")]
pub(crate) struct JournalArguments {
    /// The journal: extraction:REQUEST-ID, or Type/id of an entity
    #[arg(value_name = "STREAM")]
    pub(crate) stream: String,
    /// Only entries behind this number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// Only entries of this kind
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only entries of this request
    #[arg(long = "request", value_name = "REQUEST-ID")]
    pub(crate) request_id: Option<String>,
}
