//! Quarry's runner: routes messages to their owners, admits them, hosts entities as actors, commits
//! what they did, and hands shards off.
//!
//! A [`Node`] is the handle of one process. Its runner follows the coordinator's view and keeps one
//! task per owned shard; the task is the shell of `quarry_core::delivery::Shard`: it receives,
//! steps, commits, performs, answers. Entities are ractor actors that the shard's task starts and
//! stops; each runs one command at a time, or queries side by side.

mod actor;
mod context;
mod convert;
mod entity;
mod handler_call;
mod inbox;
mod instance;
mod journal;
mod method;
mod method_shape;
mod node;
mod patience;
mod registry;
mod reports;
mod residence;
mod retire;
mod route;
mod runner;
mod sends;
mod shard;
mod transaction;
mod window;
mod wire;

pub use context::Context;
pub use entity::{Entity, HandlerError, NoQuery, ReadMode, Reply};
pub use node::{Node, NodeConfig, OwnedShard, Ports};
pub use quarry_core::delivery::{AfterQuarantine, InMemory, Limits, TypeLimits};
pub use registry::{MethodSpec, Registry, RegistryBuilder, TypeSpec};
pub use transaction::Transaction;
