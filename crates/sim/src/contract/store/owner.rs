//! What the checks are made of: owners of shards, messages, addresses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quarry_ports::{
    Commit, CommitError, Committed, FenceError, FenceRequest, Host, LeaseGuard, LoadedShard,
    MessageRow, OpenMessage, OutcomeRow, StateRow, Store,
};
use quarry_types::{
    Address, BootId, EntityId, EntityType, Epoch, IdempotencyKey, Keep, MessageId, Method, Outcome,
    Sequence, ShardAge, ShardId, Slot, SlotRange, Tenant, Timestamp,
};

use super::{Broken, OpenStore};

/// How many shards the checks divide the slots into.
pub const SHARDS: u16 = 8;
const WIDTH: u16 = 8_192;

/// The slots of a shard of the checks.
pub fn range_of(shard: ShardId) -> SlotRange {
    let index = u16::try_from(shard.0).unwrap_or(0) % SHARDS;
    let first = index * WIDTH;
    SlotRange { first: Slot(first), last: Slot(first + (WIDTH - 1)) }
}

/// The first entity of `shard` whose id begins with `name`.
pub fn address_in(shard: ShardId, name: &str) -> Result<Address, Broken> {
    let range = range_of(shard);
    for number in 0..10_000 {
        let address = Address {
            tenant: Tenant::default_tenant(),
            entity_type: EntityType::new("Counter")?,
            id: EntityId::new(&format!("{name}-{number}"))?,
        };
        if range.contains(address.slot()) {
            return Ok(address);
        }
    }
    Err(Broken::new("no entity falls into the shard"))
}

/// A message to `address` under `key`. Later calls make later ids, and no two processes the same.
pub fn message(address: &Address, key: &str) -> Result<MessageRow, Broken> {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let time = Timestamp(1_700_000_000_000).after(Duration::from_millis(number));
    let random = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    Ok(MessageRow {
        message_id: MessageId::new(time, address.slot(), random),
        address: address.clone(),
        method: Method::new("add")?,
        key: IdempotencyKey::new(key)?,
        payload: Bytes::from_static(b"{\"n\":\"\\u0000\"}"),
        digest: None,
        accepted_at: time,
    })
}

/// The outcome of a message that went well.
pub fn success(message: &MessageRow) -> OutcomeRow {
    OutcomeRow {
        message_id: message.message_id,
        outcome: Outcome::Success(Bytes::from_static(b"1")),
        attempts: 1,
        finished_at: message.accepted_at,
        keep_until: ShardAge(u64::MAX),
        keep: Keep::Everything,
    }
}

/// A new state of an entity.
pub(crate) fn state(address: &Address, state: &'static str) -> StateRow {
    let state = Some(Bytes::from_static(state.as_bytes()));
    StateRow { address: address.clone(), state }
}

/// A process that owns a shard.
pub struct Owner {
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Its shard.
    pub shard: ShardId,
    /// The epoch of its grant.
    pub epoch: Epoch,
    /// Its lease: held for an hour.
    pub lease: LeaseGuard,
    /// What it loaded.
    pub loaded: LoadedShard,
}

impl Owner {
    /// Opens the database and loads `shard` in a process of its own (its boot is its epoch).
    pub async fn start(database: &dyn OpenStore, shard: u32, epoch: u64) -> Result<Self, Broken> {
        let store = database.open().await?;
        Ok(Self::load(store, shard, epoch, epoch).await?)
    }

    /// Loads `shard` through `store`.
    pub async fn load(
        store: Arc<dyn Store>,
        shard: u32,
        epoch: u64,
        boot: u64,
    ) -> Result<Self, FenceError> {
        let shard = ShardId(shard);
        let epoch = Epoch(epoch);
        let request = FenceRequest { shard, range: range_of(shard), epoch, boot: BootId(boot) };
        let loaded = store.load_shard(request).await?;
        let host = Host::system();
        let lease = LeaseGuard::new(Arc::clone(&host.clock));
        lease.renew(host.now().after(Duration::from_hours(1)));
        Ok(Self { store, shard, epoch, lease, loaded })
    }

    /// An entity of the shard.
    pub fn address(&self, name: &str) -> Result<Address, Broken> {
        address_in(self.shard, name)
    }

    /// An empty commit of the owner.
    pub fn commit(&self) -> Commit {
        Commit {
            shard: self.shard,
            epoch: self.epoch,
            low_water: Sequence(0),
            now: self.loaded.now,
            ..Commit::default()
        }
    }

    /// A commit that accepts one message and no more.
    pub fn accept(&self, message: &MessageRow) -> Commit {
        Commit { messages: vec![message.clone()], ..self.commit() }
    }

    /// Sends a commit.
    pub async fn write(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.store.commit(commit, &self.lease).await
    }

    /// All unfinished messages above `low_water`.
    pub async fn unfinished(&self, low_water: u64) -> Result<Vec<OpenMessage>, Broken> {
        let range = range_of(self.shard);
        let page = self.store.open_messages(range, Sequence(low_water), None, 10_000).await?;
        Ok(page.messages)
    }
}
