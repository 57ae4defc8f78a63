//! Quarry's coordinator: openraft with a durable log, and the control plane.
//!
//! A few nodes are voters of one Raft group; every node is a runner that joins, keeps a lease by
//! heartbeats to the leader, and follows the applied state. The decisions are those of
//! `quarry_core`: [`State`](quarry_core::coordinator::State) is the replicated state machine,
//! [`lease`](quarry_core::lease) counts leases. This crate makes them durable and carries them
//! between nodes.
//!
//! * `storage`: log, vote and snapshot in `coordinator.db`, one group-commit writer.
//! * `control`: remote procedures over tonic, guarded by mutual TLS and the cookie.
//! * `leader`, `duty`: what a voter does while it leads: acknowledge heartbeats after a quorum round
//!   that began later, end leases, balance shards.
//! * `replace`: one voter in the place of another.
//! * `compaction`: keeps the log small, by bytes and age.
//! * `attend`: notices a process that is gone before its lease has run out.
//! * `keeper`, `follow`: what every node does: join, renew, follow the views.
//!
//! * `raft_runtime`: openraft's tasks, randomness and watches come from the host.
//!
//! All of it runs on threads of its own, so that payload cannot delay it. A simulation hands in a
//! message plane and a disk in memory instead of sockets, files and threads ([`start_in_memory`]).

mod ask;
mod attend;
mod compaction;
mod config;
mod consensus;
mod control;
mod directory;
mod duty;
mod follow;
mod group;
mod heard;
mod joining;
mod keeper;
mod leader;
mod place;
mod quorum;
mod raft_runtime;
mod replace;
mod start;
mod storage;
mod times;
mod unowned;
mod view;

pub use config::{Config, Recovery};
pub use consensus::Consensus;
pub use start::{StartError, knows_cluster, start, start_in_memory};
pub use storage::{MemoryDisk, StorageError, Witness};
pub use times::{Times, TimesError};
