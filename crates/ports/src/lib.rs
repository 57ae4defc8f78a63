//! The traits between Quarry's shells, the commit batch, the codec and the metric catalogue.
//!
//! A shell knows another shell only through a trait of this crate, so that each can be exchanged
//! for an in-memory one: the simulator depends on it. The same contract suite runs over every
//! adapter of a port.

pub mod codec;
mod coordinator;
pub mod crash;
pub mod host;
mod journal;
mod known;
mod lease;
mod metrics;
mod open;
mod records;
mod retention;
mod sends;
mod store;
mod transport;
pub mod watch;

pub use coordinator::{Administration, Coordinator, CoordinatorError, CoordinatorStatus};
pub use host::{Clock, Host, Random, Spawn, Task};
pub use journal::{JournalEntry, JournalQuery, JournalRow};
pub use known::{FoundCommit, KnownCommit};
pub use lease::LeaseGuard;
pub use metrics::Metrics;
pub use open::{
    OPEN_PAGE_BYTES, OpenCursor, OpenMessage, OpenOf, OpenPage, OpenQuery, OpenRow, OpenState,
};
pub use records::{
    EntityFilter, EntityRecord, MessageFilter, MessageRecord, MessageState, MessageStateKind, Page,
};
pub use retention::{Retired, Retiring};
pub use sends::{OpenSend, SEND_PAGE_BYTES, SendKey, SendPage, SendRow, StuckSend};
pub use store::{
    CHUNK_PAGE_BYTES, ChunkBody, ChunkRow, ClockRead, Commit, CommitError, Committed, FenceError,
    FenceRequest, KeyQuery, LoadedShard, MessageRow, OutcomeRow, Position, StateRow, Store,
    StoreError, StoredChunk, StoredState,
};
pub use transport::{Peer, Reply, RequestHandler, Transport, TransportError};
