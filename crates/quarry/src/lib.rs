//! The facade for authors of entities.
//!
//! An entity is an actor with a type and an id, hosted by the node that owns its shard. Its author
//! writes the state, the commands that change it (durable messages, handled once) and the queries
//! that read it (volatile messages):
//!
//! ```
//! use quarry::prelude::*;
//!
//! /// Adds up what it is sent.
//! pub struct Counter;
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "snake_case")]
//! pub enum Command { Add(i64) }
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "snake_case")]
//! pub enum Query { Get }
//!
//! impl Entity for Counter {
//!     const TYPE: &'static str = "Counter";
//!     type State = i64;
//!     type Command = Command;
//!     type Query = Query;
//!     async fn handle(&self, total: &mut i64, Command::Add(n): Command, _: &Context) -> Result<Reply, HandlerError> {
//!         *total = total.checked_add(n).ok_or_else(|| HandlerError::fail("overflow", "beyond 64 bits"))?;
//!         Reply::of(total)
//!     }
//!     async fn read(&self, total: &i64, _: Query, _: &Context) -> Result<Reply, HandlerError> {
//!         Reply::of(total)
//!     }
//! }
//!
//! let registry = Registry::builder().with(Counter).build();
//! assert_eq!(registry.types().len(), 1);
//! ```

pub mod design;
#[cfg(doctest)]
mod readme;

pub use quarry_ports as ports;
pub use quarry_runtime as runtime;
pub use quarry_types as types;

/// All that an author of entities needs.
pub mod prelude {
    pub use quarry_runtime::{
        Context, Entity, HandlerError, NoQuery, Node, NodeConfig, Ports, ReadMode, Registry, Reply,
    };
    pub use quarry_types::{Address, Epoch, Failure, MessageId, NodeId};
    pub use serde::{Deserialize, Serialize};
}
