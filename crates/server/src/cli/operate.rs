//! Commands of operators on messages.

use std::time::Duration;

use super::{MessageStateArgument, entity::parse_patience};
use clap::Args;

/// Which messages are meant: one by its id, or all that fit.
#[derive(Clone, Debug, Args)]
pub(crate) struct MeantArguments {
    /// The id of one message; without it, all that fit what is given
    pub(crate) id: Option<String>,
    /// All of them, as far as nothing else is given
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    /// Those to this entity, as Type/id
    #[arg(long, value_name = "TYPE/ID", conflicts_with = "id")]
    pub(crate) entity: Option<String>,
    /// Those to entities of this type
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "id")]
    pub(crate) entity_type: Option<String>,
    /// Those accepted before this time, as 2026-11-21T02:34:06Z
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    pub(crate) before: Option<String>,
    /// Those accepted at least so long ago, as 5m
    #[arg(long, value_name = "DURATION", conflicts_with = "id")]
    pub(crate) older_than: Option<String>,
    /// Those with this text in an error
    #[arg(long, value_name = "TEXT", conflicts_with = "id")]
    pub(crate) error: Option<String>,
    /// Only count them
    #[arg(long, conflicts_with = "id")]
    pub(crate) dry_run: bool,
    /// Go on where a run before was cut: the cursor that it printed
    #[arg(long, value_name = "CURSOR", conflicts_with = "id")]
    pub(crate) cursor: Option<String>,
    /// How long to wait for each
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = parse_patience, allow_hyphen_values = true)]
    pub(crate) timeout: Duration,
}

/// `quarry message cancel`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry message cancel 019f2a6e-4b7c-7000-8000-000000001f2a
  quarry message cancel --entity Counter/c1
  quarry message cancel --all --state delayed --dry-run

A run is given up, and with it what it had changed. A message whose outcome is being stored has
finished: it is refused, with exit code 4.")]
pub(crate) struct CancelArguments {
    #[command(flatten)]
    pub(crate) meant: MeantArguments,
    /// Those in this state; all that are not finished by default
    #[arg(long, value_enum, conflicts_with = "id")]
    pub(crate) state: Option<MessageStateArgument>,
}

/// `quarry message redrive`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry message redrive 019f2a6e-4b7c-7000-8000-000000001f2a
  quarry message redrive 019f2a6e-4b7c-7000-8000-000000001f2a --payload '{\"value\": \"x\"}'
  quarry message redrive --type Register --error 'connection refused'")]
pub(crate) struct RedriveArguments {
    #[command(flatten)]
    pub(crate) meant: MeantArguments,
    /// Another argument to run with, as JSON; - reads it from stdin
    #[arg(long, value_name = "JSON", requires = "id")]
    pub(crate) payload: Option<String>,
}

/// `quarry message drop`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry message drop 019f2a6e-4b7c-7000-8000-000000001f2a
  quarry message drop --all --older-than 24h --dry-run
  quarry message drop --all --older-than 24h")]
pub(crate) struct DropArguments {
    #[command(flatten)]
    pub(crate) meant: MeantArguments,
}
