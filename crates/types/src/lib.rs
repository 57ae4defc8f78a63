//! Ids, addresses, envelopes, epochs, outcomes and cluster values of Quarry.
//!
//! Values are parsed at the edge and trusted inside: a constructor refuses what is malformed, and
//! nothing behind it checks again. The crate is `no_std + alloc` and does no I/O.
#![no_std]

extern crate alloc;

mod address;
pub mod api;
pub mod batch;
mod bindings;
mod callers;
mod cluster;
mod duration;
mod entry_id;
mod envelope;
pub mod graph;
mod id;
mod intervention;
mod lineage;
mod message_id;
mod object_probe;
pub mod ontology;
pub mod operate;
mod outcome;
mod param;
pub mod planted;
mod slot;
mod sound_json;
mod statement;
pub mod stream;
mod time;
mod wording;

pub use address::{Address, EntityId, EntityType, Invalid, Method, Tenant};
pub use bindings::{Bindings, DEFAULT_GROUP};
pub use callers::{CallRefused, Callers};
pub use cluster::{ClusterView, Home, MoveReason, MoveView, NodeState, NodeView, Role, ShardView};
pub use duration::{duration_in_words, parse_duration};
pub use entry_id::EntryId;
pub use envelope::{
    Delivery, Due, Envelope, IdempotencyKey, Keep, KeyOrigin, PayloadDigest, ReplyMode,
};
pub use id::{BootId, ClusterId, Epoch, NodeId, Sequence, ShardId, Space};
pub use intervention::Intervention;
pub use lineage::Division;
pub use message_id::MessageId;
pub use object_probe::{ObjectProbe, Probed, is_object};
pub use outcome::{
    Answer, CallError, Failure, Outcome, Refusal, RefusalCode, Unknown, UnknownCode,
};
pub use param::{Param, Real};
pub use slot::{SLOT_COUNT, Slot, SlotRange};
pub use sound_json::SoundJson;
pub use statement::{OWN_TABLES, Statement, StatementRefused};
pub use time::{Monotonic, ShardAge, Timestamp};
pub use wording::in_words_of_json;
