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
    MessageRow, OpenMessage, OpenOf, OpenQuery, OutcomeRow, StateRow, Store,
};
use quarry_types::{
    Address, BootId, Division, EntityId, EntityType, Epoch, IdempotencyKey, Keep, MessageId,
    Method, Outcome, Sequence, ShardAge, ShardId, Slot, SlotRange, Tenant, Timestamp,
};

use super::{Broken, OpenStore};

/// How many shards the checks divide the slots into.
pub const SHARDS: u16 = 8;
const WIDTH: u16 = 8_192;

/// The slots of a shard of the checks.
pub fn range_of(shard: ShardId) -> SlotRange {
    let index = u16::try_from(shard.place()).unwrap_or(0) % SHARDS;
    let first = index * WIDTH;
    SlotRange { first: Slot(first), last: Slot(first + (WIDTH - 1)) }
}

/// The first entity of `shard` whose id begins with `name`.
pub fn address_in(shard: ShardId, name: &str) -> Result<Address, Broken> {
    address_within(range_of(shard), name)
}

/// The first entity of these slots whose id begins with `name`.
pub(crate) fn address_within(range: SlotRange, name: &str) -> Result<Address, Broken> {
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
    /// The slots of the shard.
    pub range: SlotRange,
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
        let id = ShardId(shard);
        Self::load_part(store, Division { id, range: range_of(id) }, epoch, boot).await
    }

    /// Loads a shard of any slots through `store`.
    pub async fn load_part(
        store: Arc<dyn Store>,
        Division { id: shard, range }: Division,
        epoch: u64,
        boot: u64,
    ) -> Result<Self, FenceError> {
        let epoch = Epoch(epoch);
        let request = FenceRequest { shard, range, epoch, boot: BootId(boot) };
        let loaded = store.load_shard(request).await?;
        let host = Host::system();
        let lease = LeaseGuard::new(Arc::clone(&host.clock));
        lease.renew(host.now().after(Duration::from_hours(1)));
        Ok(Self { store, shard, range, epoch, lease, loaded })
    }

    /// An entity of the shard.
    pub fn address(&self, name: &str) -> Result<Address, Broken> {
        address_within(self.range, name)
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

    /// All unfinished messages above `low_water`, in order.
    pub async fn unfinished(&self, low_water: u64) -> Result<Vec<OpenMessage>, Broken> {
        let low_water = Sequence(low_water);
        let mut found = Vec::new();
        for of in [OpenOf::Waiting, OpenOf::Delayed] {
            let query = OpenQuery { low_water, ..self.open(of) };
            found.extend(self.store.open_messages(query, 10_000).await?.messages);
        }
        found.sort_by_key(|open| open.position);
        Ok(found)
    }

    /// A question for unfinished messages, from the first on.
    pub fn open(&self, of: OpenOf) -> OpenQuery {
        let (space, low_water) = (self.shard.space(), Sequence(0));
        OpenQuery { space, range: self.range, low_water, after: None, of }
    }

    /// The keys of unfinished messages from the first on, read in pages of `limit`, and how many
    /// pages there were.
    pub async fn pages(&self, of: OpenOf, limit: u32) -> Result<(Vec<String>, u32), Broken> {
        let (mut query, mut keys, mut pages) = (self.open(of), Vec::new(), 0);
        loop {
            let page = self.store.open_messages(query.clone(), limit).await?;
            keys.extend(page.messages.iter().map(|open| open.message.key.to_string()));
            pages += 1;
            query.after = page.next;
            if query.after.is_none() {
                return Ok((keys, pages));
            }
        }
    }
}
