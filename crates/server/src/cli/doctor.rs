//! `quarry doctor`.

use clap::{Args, Subcommand};

/// `quarry doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry doctor
  quarry doctor message 019f2a6e-4b7c-7000-8000-000000001f2a
  quarry doctor entity Counter/c1
  quarry doctor --config quarry.toml -o json

Every node that can be reached is asked. Where no server answers, the configuration is checked, and
what a node would need to start: its ports, its data directory, its database.

It ends with 0 where nothing is wrong, also where there is something to know; with 1 where there are
warnings or errors, with 3 where the message is not known, with 5 where no server answers at the
address that was named.")]
pub(crate) struct DoctorArguments {
    /// What is looked at; the cluster by default
    #[command(subcommand)]
    pub(crate) patient: Option<Patient>,
}

/// What is looked at.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Patient {
    /// What a message waits for, and what would let it go on
    Message {
        /// Its id
        id: String,
    },
    /// Where an entity is, what waits for it, and what hinders it
    Entity {
        /// The entity, as Type/id
        #[arg(value_name = "TYPE/ID")]
        entity: String,
    },
}
