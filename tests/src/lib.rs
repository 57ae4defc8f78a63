//! The harness: starts real processes, drives them, and checks what they leave behind.
//!
//! A test asks for a cluster and gets real `quarry serve` processes on loopback, over one SQLite
//! file or a fresh PostgreSQL database:
//!
//! ```no_run
//! use quarry_tests::{cluster, process::StoreKind};
//!
//! # async fn example() -> anyhow::Result<()> {
//! cluster::run(3, StoreKind::Sqlite, async |cluster| {
//!     cluster.kill(1).await?;
//!     cluster.restart(1).await
//! })
//! .await
//! # }
//! ```
//!
//! The binary is the one at `QUARRY_BIN`, else the one of the build that made the test;
//! `scripts/with-postgres.sh` sets `QUARRY_TEST_POSTGRES`.

pub mod chaos;
pub mod client;
pub mod cluster;
pub mod command;
pub mod database;
pub mod environment;
pub mod failover;
pub mod freeze;
pub mod grants;
pub mod history;
pub mod ledger;
pub mod machine;
pub mod metrics;
pub mod network;
pub mod ownership;
pub mod phases;
pub mod process;
pub mod report;
pub mod sent_events;
pub mod server;
pub mod site;
pub mod tidy;
pub mod transcript;
pub mod wait;
pub mod wire;
pub mod workload;
