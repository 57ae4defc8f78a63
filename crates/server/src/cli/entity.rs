//! Commands on entities and their messages.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use quarry_types::{api::MessageStatus, parse_duration};

use super::operate::{CancelArguments, DropArguments, RedriveArguments};

/// `quarry send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry send Counter/c1 add 5
  quarry send Counter/c1 get
  quarry send Register/r1 append '{\"value\": \"x\"}' --key order-17
  quarry send Counter/c1 add 5 --delay 5s
  quarry send Counter/c1 add 5 --discard
  echo '{\"value\": \"x\"}' | quarry send Register/r1 append - --async
  quarry send --batch messages.jsonl

A line of a batch is a message of its own; all but entity and method may be left out:
  {\"entity\": \"Counter/c1\", \"method\": \"add\", \"payload\": 5, \"key\": \"order-17\", \"async\": true}
Messages to one entity are handled in their order.")]
pub(crate) struct SendArguments {
    /// The entity, as Type/id
    #[arg(value_name = "TYPE/ID", required_unless_present = "batch")]
    pub(crate) entity: Option<String>,
    /// The method to call
    #[arg(required_unless_present = "batch")]
    pub(crate) method: Option<String>,
    /// Its argument as JSON; - reads it from stdin
    #[arg(allow_hyphen_values = true)]
    pub(crate) json: Option<String>,
    /// Send the messages of this file, one JSON object per line; - reads them from stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["entity", "method", "json", "key", "delay", "is_discarded"])]
    pub(crate) batch: Option<PathBuf>,
    /// The idempotency key: the same key is handled once
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Return when the message is stored, before it is handled
    #[arg(long = "async")]
    pub(crate) is_async: bool,
    /// Handle it after so long, and return when it is stored
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) delay: Option<Duration>,
    /// Keep nothing of it but its key once it has ended, and return when it is stored
    #[arg(long = "discard")]
    pub(crate) is_discarded: bool,
    /// How long to wait for the answer
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = parse_patience, allow_hyphen_values = true)]
    pub(crate) timeout: Duration,
}

/// How long somebody waits: not nothing, because nothing would ever be answered in time.
pub(super) fn parse_patience(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("nothing is answered in no time; write \"30s\"".to_owned()),
        patience => Ok(patience),
    }
}

/// `quarry message …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// List messages, newest first
    Ls(MessageListArguments),
    /// Show one message and how it ended
    Show {
        /// Its id
        id: String,
        /// Wait up to so long for its end
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        wait: Option<Duration>,
    },
    /// End messages, whatever they wait for: their callers are told that they were cancelled
    Cancel(CancelArguments),
    /// Let messages that are set aside run again, with all their attempts before them
    Redrive(RedriveArguments),
    /// End messages that are set aside, with a final failure
    Drop(DropArguments),
}

/// `quarry message ls`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MessageListArguments {
    /// Only those in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<MessageStateArgument>,
    /// Only those of this entity, as Type/id
    #[arg(long, value_name = "TYPE/ID")]
    pub(crate) entity: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageStateArgument {
    /// Accepted and not finished.
    Open,
    /// To be handled at a time, and not begun.
    Delayed,
    /// Set aside after its last attempt.
    Quarantined,
    /// Finished.
    Finished,
}

impl MessageStateArgument {
    /// As the API names it.
    pub(crate) const fn status(self) -> MessageStatus {
        match self {
            Self::Open => MessageStatus::Open,
            Self::Delayed => MessageStatus::Delayed,
            Self::Quarantined => MessageStatus::Quarantined,
            Self::Finished => MessageStatus::Finished,
        }
    }
}

/// `quarry entity …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum EntityCommand {
    /// List entities that have a stored state
    Ls(EntityListArguments),
    /// Show one entity: its size, its owner, its epoch
    Show {
        /// The entity, as Type/id
        #[arg(value_name = "TYPE/ID")]
        entity: String,
    },
}

/// `quarry entity ls`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EntityListArguments {
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) entity_type: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}
