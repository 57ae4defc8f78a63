//! The store: what is written, and the one way to write it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quarry_types::{
    Address, BootId, ClusterId, Epoch, IdempotencyKey, Keep, MessageId, Method, Monotonic, Outcome,
    PayloadDigest, Sequence, ShardAge, ShardId, SlotRange, Space, Statement, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    EntityFilter, EntityRecord, FoundCommit, JournalEntry, JournalQuery, JournalRow, KnownCommit,
    LeaseGuard, MessageFilter, MessageRecord, OpenPage, OpenQuery, OpenRow, Page, Retired,
    Retiring, SendKey, SendPage, SendRow, StuckSend,
};

/// Why the store did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or refused (full, read-only, failing over). Nothing was written.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// What it holds cannot be read by this program.
    #[error("the store holds what this program cannot read: {reason}")]
    Corrupt {
        /// Where and what.
        reason: String,
    },
}

/// A runner's wish to own a shard under a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceRequest {
    /// The shard.
    pub shard: ShardId,
    /// Its slots.
    pub range: SlotRange,
    /// The epoch of the grant.
    pub epoch: Epoch,
    /// The process that loads it: a grant is good for one process (L5).
    pub boot: BootId,
}

/// A shard whose fence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedShard {
    /// The last commit of the shard.
    pub sequence: Sequence,
    /// Every message of a commit up to this one is finished or copied to the open messages.
    pub low_water: Sequence,
    /// Store time at the load: the database's clock, never below what the shard recorded last.
    pub now: Timestamp,
    /// When that was.
    pub read: ClockRead,
    /// The age that was recorded last.
    pub age: ShardAge,
}

/// When the store's clock was read, by this host's monotonic one: at some moment from `asked` to
/// `answered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockRead {
    /// Before this it was not read.
    pub asked: Monotonic,
    /// By then it was.
    pub answered: Monotonic,
}

impl ClockRead {
    /// A clock of this host, read at `moment`.
    pub const fn at(moment: Monotonic) -> Self {
        Self { asked: moment, answered: moment }
    }
}

/// Why a fence was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// A newer epoch, or another process under the same one, stands in the store (L1, L5).
    #[error("the store recorded epoch {recorded} for the shard")]
    Refused {
        /// The epoch that stands.
        recorded: Epoch,
    },
    /// The shard was split before the coordinator's data was lost: the store holds a part of it as a
    /// shard of its own, and the coordinator has to split it again.
    #[error("the store holds the shard in parts")]
    Split,
    /// The store did not answer; the load may be repeated.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a message row stands in its shard's order: commit, then place within the commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The commit that accepted the message.
    pub sequence: Sequence,
    /// Its place among the messages of the commit.
    pub ordinal: u32,
}

/// A message as it is stored when it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its id, which carries the slot.
    pub message_id: MessageId,
    /// The entity it is for.
    pub address: Address,
    /// The method that it calls.
    pub method: Method,
    /// Its dedupe key (G5).
    pub key: IdempotencyKey,
    /// Its argument: the user's JSON. Empty where only its key is kept and it has ended.
    pub payload: Bytes,
    /// Where only its key is to be kept: stands for the payload.
    pub digest: Option<PayloadDigest>,
    /// Store time of its acceptance.
    pub accepted_at: Timestamp,
}

/// The outcome of a message (D2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The message.
    pub message_id: MessageId,
    /// How it ended.
    pub outcome: Outcome,
    /// Attempts that it took, the last included.
    pub attempts: u32,
    /// Store time of its end.
    pub finished_at: Timestamp,
    /// The age of the shard until which the outcome is kept, and the message with it.
    pub keep_until: ShardAge,
    /// What is kept: where only the key is, the message's payload and chunks go with this commit.
    pub keep: Keep,
}

/// The state of an entity after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// The entity.
    pub address: Address,
    /// Its state, encoded by its type; `None` deletes it.
    pub state: Option<Bytes>,
}

/// A part of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkBody {
    /// What the handler made: JSON.
    Made(Bytes),
    /// What stands from chunk `from` on was made by an earlier attempt and counts no more.
    Reset {
        /// The attempt that begins here.
        attempt: u32,
        /// The first chunk that counts no more.
        from: u64,
    },
    /// What the handler made, which is an entry of its entity's journal too: JSON.
    Entry(Bytes),
}

/// Chunks of one message, numbered from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// The message; accepted by this commit or an earlier one.
    pub message_id: MessageId,
    /// Its entity.
    pub address: Address,
    /// The number of the first chunk: as many as stand for the message already.
    pub first: u64,
    /// The chunks, at least one.
    pub chunks: Vec<ChunkBody>,
}

/// How many bytes of chunks are read at a time, beyond those that were stored together first.
pub const CHUNK_PAGE_BYTES: usize = 1024 * 1024;

/// A durable chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its number within the message, from 0, gapless (R1).
    pub sequence: u64,
    /// Store time of its commit.
    pub made_at: Timestamp,
    /// What it is.
    pub body: ChunkBody,
}

/// All that one step of a shard writes: together or not at all (G2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The shard; every row must be of its slots.
    pub shard: ShardId,
    /// The epoch under which the writer holds it (L3).
    pub epoch: Epoch,
    /// The mark to record: every message of a commit up to it is finished or an open message.
    pub low_water: Sequence,
    /// Store time of the writer, recorded so that a later owner's time never falls below it.
    pub now: Timestamp,
    /// Messages to accept, in admitted order.
    pub messages: Vec<MessageRow>,
    /// Outcomes. One of a message with an open row removes that row.
    pub outcomes: Vec<OutcomeRow>,
    /// New states of entities; at most one per entity.
    pub states: Vec<StateRow>,
    /// Open messages to write.
    pub open: Vec<OpenRow>,
    /// Reply chunks to append (R1).
    pub chunks: Vec<ChunkRow>,
    /// Sends to keep until their targets have them, in order.
    pub sends: Vec<SendRow>,
    /// Sends that their targets have: their rows go. One that is not there is passed over.
    pub sent: Vec<SendKey>,
    /// Sends to set aside.
    pub stuck: Vec<StuckSend>,
    /// Entries of journals to append, in order (J1).
    pub journal: Vec<JournalRow>,
    /// A handler's own statements, in order. A commit that has some is in no group; where one of
    /// them fails, it is rejected.
    pub statements: Vec<Statement>,
}

/// A commit that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number within the shard; shared by what was flushed together with it.
    pub sequence: Sequence,
    /// The ordinal of its first message; its others follow.
    pub first_ordinal: u32,
}

/// Why a commit is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another epoch stands in the store, or the sequence was not the next one (L3): the writer has
    /// lost the shard.
    #[error("fenced: the store recorded epoch {recorded}")]
    Fenced {
        /// The epoch that stands.
        recorded: Epoch,
    },
    /// The writer's lease was over before the commit was sent (L2).
    #[error("the lease is over")]
    LeaseOver,
    /// This commit alone breaks a rule of the store (a key that is there already, a size).
    #[error("the store refuses this commit: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
    },
    /// The store was away; surely nothing was written.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
    },
    /// The answer was lost and the fate could not be decided while the lease was held. The writer
    /// gives the shard up and says *unknown*.
    #[error("the fate of the commit is not known: {reason}")]
    Undecided {
        /// What happened.
        reason: String,
    },
}

/// Which message is asked for by its dedupe key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    /// The entity.
    pub address: Address,
    /// The method.
    pub method: Method,
    /// The key.
    pub key: IdempotencyKey,
}

/// The stored state of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Encoded by its type.
    pub state: Bytes,
    /// The commit that wrote it.
    pub sequence: Sequence,
}

/// Durable storage of messages, outcomes and entity states.
///
/// Commits of one shard become durable in the order in which [`Store::commit`] was *called* (the
/// order in which the futures were first polled), with gapless sequences; what comes while a
/// commit is in flight is flushed together with the next (group commit). If one of them fails with
/// `Fenced`, `LeaseOver` or `Undecided`, so do all later ones of the shard until it is loaded anew.
/// After `Rejected` or `Unavailable` of one commit, later ones of that shard that were handed over
/// before its caller heard of it may still be committed.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The cluster that this store belongs to; `None` before [`Store::adopt`].
    async fn identity(&self) -> Result<Option<ClusterId>, StoreError>;

    /// Makes the store that of `cluster` unless it is another's already; returns whose it is then.
    async fn adopt(&self, cluster: ClusterId) -> Result<ClusterId, StoreError>;

    /// Sets a shard's fence, in a transaction that is durable before this returns. Repeating it
    /// from the same process changes nothing.
    ///
    /// A shard that was never loaded and whose slots are a part of another's goes on where that one
    /// stands: with its sequence, its mark, its age, and never behind its time. In the same
    /// transaction the fence of the other is closed for good: nothing is committed in it any more,
    /// and it is not loaded again under any epoch (G3). What stands in the store under the other
    /// shard is read by the part whose slots it is of.
    async fn load_shard(&self, request: FenceRequest) -> Result<LoadedShard, FenceError>;

    /// Which of the `shards` still have the epoch given beside them; in one query.
    async fn check_fences(&self, shards: Vec<(ShardId, Epoch)>) -> Result<Vec<bool>, StoreError>;

    /// A page of unfinished messages that are not quarantined, in order of their places: at most
    /// `limit`, and less where their payloads are large ([`OPEN_PAGE_BYTES`](crate::OPEN_PAGE_BYTES)).
    /// It costs what is read, and not what else is open or retained. Only after the fence (L4).
    async fn open_messages(&self, query: OpenQuery, limit: u32) -> Result<OpenPage, StoreError>;

    /// A page of the open sends of `range`, of the shards of `space`, behind `after`, in order of position: at most `limit`,
    /// and less where their payloads are large ([`SEND_PAGE_BYTES`](crate::SEND_PAGE_BYTES)). Only
    /// after the fence (L4).
    async fn open_sends(
        &self,
        space: Space,
        range: SlotRange,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SendPage, StoreError>;

    /// The messages of these keys, in the order asked.
    async fn find_keys(
        &self,
        queries: Vec<KeyQuery>,
    ) -> Result<Vec<Option<MessageRecord>>, StoreError>;

    /// The states of these entities, in the order asked.
    async fn states(&self, addresses: Vec<Address>)
    -> Result<Vec<Option<StoredState>>, StoreError>;

    /// Writes `commit` while `lease` is held and the fence stands.
    async fn commit(&self, commit: Commit, lease: &LeaseGuard) -> Result<Committed, CommitError>;

    /// Records the ages of `shards` and removes what is past its retention: at most about `limit`
    /// rows of outcomes, each with its message and chunks, and rows of commits below the mark but
    /// the newest. Only of shards whose fence stands, and while `lease` is held. What is open, or
    /// quarantined, has no outcome and stays.
    async fn retire(
        &self,
        shards: Vec<Retiring>,
        limit: u32,
        lease: &LeaseGuard,
    ) -> Result<Retired, StoreError>;

    /// A message by its id.
    async fn message(&self, message_id: MessageId) -> Result<Option<MessageRecord>, StoreError>;

    /// At most `limit` durable chunks of a message, from number `from` on, in order: at least one
    /// where there is one, and less than `limit` where they are large
    /// ([`CHUNK_PAGE_BYTES`]). It costs what is read, and not what stands before.
    async fn chunks(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredChunk>, StoreError>;

    /// How many durable chunks these messages have, in the order asked; for a takeover. None of them
    /// is read.
    async fn chunk_counts(&self, messages: Vec<MessageId>) -> Result<Vec<u64>, StoreError>;

    /// As [`Store::chunks`], for the owner of the message. Chunks that cannot be read keep their
    /// numbers, as resets: from the first of them on nothing counts any more.
    async fn chunk_bodies(
        &self,
        message_id: MessageId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<ChunkBody>, StoreError>;

    /// At most `limit` durable entries of a journal, in order.
    async fn journal(
        &self,
        query: JournalQuery,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// Messages, newest first.
    async fn messages(
        &self,
        filter: MessageFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<MessageRecord>, StoreError>;

    /// Entities that have a stored state, in order of type and id.
    async fn entities(
        &self,
        filter: EntityFilter,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<EntityRecord>, StoreError>;

    /// Whether the store takes writes now, asked of the database itself within `timeout`.
    async fn check_writable(&self, timeout: Duration) -> Result<(), StoreError>;

    /// The newest commit of each shard that this process was acknowledged. Nothing where the store does
    /// not outlive the process.
    fn known_commits(&self) -> Vec<KnownCommit> {
        Vec::new()
    }

    /// What the store has of these commits, in the order asked.
    async fn find_commits(&self, known: Vec<KnownCommit>) -> Result<Vec<FoundCommit>, StoreError> {
        Ok(known.iter().map(|_| FoundCommit::default()).collect())
    }

    /// Waits until this process can never again trust what it writes (a flush that failed, a file that
    /// was replaced beneath it); why. From then on nothing is acknowledged, and the process is to make
    /// room for others. For ever where that does not happen.
    async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// How many transactions (synchronous commits) this adapter has made since its start.
    fn commits(&self) -> u64;

    /// What it is, for people: `sqlite` or `postgres`, with the place, without secrets.
    fn describe(&self) -> String;
}
