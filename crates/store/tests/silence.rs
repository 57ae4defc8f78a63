//! A PostgreSQL that falls silent: nothing is closed, nothing is answered, and later it goes on.

mod databases;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use databases::{postgres_database, wire::Wire};
use futures_util::future::{join_all, try_join_all};
use quarry_ports::{
    Commit, CommitError, FenceError, Host, KeyQuery, MessageRow, Store, StoreError,
};
use quarry_sim::contract::store::{Broken, Owner, message, success};
use quarry_types::MessageId;

/// A read ends within 5 s, a load within 10 s or at once after 5 s of waiting for its lane, a commit within 10 s for its answer and 10 s for its
/// fate; what a busy machine adds comes on top.
const READ: Duration = Duration::from_secs(7);
const LOAD: Duration = Duration::from_secs(13);
const COMMIT: Duration = Duration::from_secs(24);
const SHARDS: u32 = 4;
const WRITERS: usize = 16;
const READERS: u64 = 16;
const LOOKERS: usize = 1_000;

/// What `future` gives, which must come within `limit`.
async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(limit, future).await;
    done.unwrap_or_else(|_| panic!("{what} took longer than {limit:?}"))
}

/// The fates of one writer's messages.
#[derive(Default)]
struct Fates {
    there: BTreeSet<MessageId>,
    not_there: BTreeSet<MessageId>,
    unknown: Option<MessageRow>,
}

/// Writes until a commit fails for the silence.
async fn write(owner: &Owner, writer: usize, written: &AtomicU64) -> Result<Fates, Broken> {
    let address = owner.address(&format!("e{writer}"))?;
    let mut fates = Fates::default();
    for number in 0_u64.. {
        let row = message(&address, &format!("{writer}.{number}"))?;
        let commit = Commit { outcomes: vec![success(&row)], ..owner.accept(&row) };
        match within(COMMIT, "a commit", owner.write(commit)).await {
            Ok(_) => {
                written.fetch_add(1, Ordering::AcqRel);
                fates.there.insert(row.message_id);
            }
            Err(CommitError::Unavailable { .. }) => {
                fates.not_there.insert(row.message_id);
                break;
            }
            Err(CommitError::Undecided { .. }) => {
                fates.unknown = Some(row);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fates)
}

/// Reads until a read fails for the silence.
async fn read(store: &dyn Store, asked: MessageId) -> Result<(), Broken> {
    loop {
        match within(READ, "a read", store.message(asked)).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(StoreError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same by its key.
async fn look(store: &dyn Store, asked: &KeyQuery) -> Result<(), Broken> {
    loop {
        match within(READ, "a look", store.find_keys(vec![asked.clone()])).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(StoreError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// For the state of its entity, likewise.
async fn look_for_state(store: &dyn Store, asked: &KeyQuery) -> Result<(), Broken> {
    loop {
        match within(READ, "a look for a state", store.states(vec![asked.address.clone()])).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(StoreError::Unavailable { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Silences the wire once all are at it.
async fn silence(wire: &Wire, written: &AtomicU64) {
    let busy = async {
        while written.load(Ordering::Acquire) < 200 {
            tokio::task::yield_now().await;
        }
    };
    within(COMMIT, "200 commits", busy).await;
    wire.silence(true);
}

/// The last message of each writer again: nothing is there twice, and all goes on.
async fn go_on(owners: &[Owner], fates: &mut [Fates]) -> Result<(), Broken> {
    for ((writer, fates), owner) in fates.iter_mut().enumerate().zip(owners.iter().cycle()) {
        if let Some(row) = fates.unknown.take() {
            let stands = owner.store.message(row.message_id).await?.is_some();
            let again = Commit { outcomes: vec![success(&row)], ..owner.accept(&row) };
            let again = owner.store.commit(again, &owner.lease).await;
            match (stands, again) {
                (true, Err(CommitError::Rejected { .. })) | (false, Ok(_)) => {}
                (stands, again) => panic!("stands: {stands}, again: {again:?}"),
            }
            fates.there.insert(row.message_id);
        }
        let row = message(&owner.address(&format!("e{writer}"))?, &format!("{writer}.last"))?;
        let last = Commit { outcomes: vec![success(&row)], ..owner.accept(&row) };
        within(READ, "a commit after the silence", owner.write(last)).await?;
        fates.there.insert(row.message_id);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_every_call_in_time_and_all_goes_on_after_it() -> Result<(), Broken> {
    let database = postgres_database("silence").await?;
    let (wired, wire) = database.behind_wire().await?;
    let first = Owner::start(&wired, 1, 1).await?;
    let store = first.store.clone();
    let load = |epoch| {
        let loads = (1..=SHARDS).map(|shard| Owner::load(store.clone(), shard, epoch, 1));
        try_join_all(loads)
    };
    let owners = load(1).await?;
    let row = message(&first.address("never")?, "k")?;
    let (asked, key) = (row.message_id, row.key);
    let key = KeyQuery { address: row.address, method: row.method, key };
    let written = AtomicU64::new(0);

    let began = Host::system();
    let writers =
        (0..WRITERS).map(|writer| write(&owners[writer % owners.len()], writer, &written));
    let readers = (0..READERS).map(|_| read(&*store, asked));
    let lookers = (0..LOOKERS).map(|_| look(&*store, &key));
    let state_lookers = (0..LOOKERS).map(|_| look_for_state(&*store, &key));
    let loading = async {
        silence(&wire, &written).await;
        let silenced = began.now();
        let load = Owner::load(store.clone(), SHARDS + 1, 1, 1);
        let loaded = within(LOAD, "a load", load).await;
        assert!(loaded.is_err(), "a load during the silence");
        let probed = store.check_writable(Duration::from_secs(1)).await;
        assert!(matches!(probed, Err(StoreError::Unavailable { .. })), "{probed:?}");
        Ok::<_, FenceError>(silenced)
    };
    let (fates, read, looked, looked_for_states, silenced) = tokio::join!(
        join_all(writers),
        join_all(readers),
        join_all(lookers),
        join_all(state_lookers),
        loading
    );
    for read in read.into_iter().chain(looked).chain(looked_for_states) {
        read?;
    }
    let mut fates = fates.into_iter().collect::<Result<Vec<_>, _>>()?;
    let silent = began.now().since(silenced?);
    assert!(silent < COMMIT, "all ended within {silent:?}");
    assert!(fates.iter().any(|fates| fates.unknown.is_some()), "some were under way");

    wire.silence(false);
    let owners = within(LOAD, "the loads after the silence", load(2)).await?;
    assert!(owners.iter().all(|owner| owner.loaded.sequence.0 > 0), "every shard was written to");
    within(LOAD, "a read after the silence", store.message(asked)).await?;
    go_on(&owners, &mut fates).await?;

    let mut connection = database.connect().await?;
    let sql = "select m.message_id from message m join outcome o on o.message_id = m.message_id";
    let stored: Vec<uuid::Uuid> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
    let stored_ids: BTreeSet<[u8; 16]> = stored.iter().map(|id| id.into_bytes()).collect();
    let told: BTreeSet<[u8; 16]> =
        fates.iter().flat_map(|fates| &fates.there).map(|id| id.to_bytes()).collect();
    assert_eq!(stored.len(), stored_ids.len(), "nothing is there twice");
    assert_eq!(told, stored_ids, "what was told is what is there");
    let holes = "select count(*) from shard_commit c where c.sequence > 0 and not exists \
        (select 1 from shard_commit b where b.shard = c.shard and b.sequence = c.sequence - 1)";
    let holes: i64 = sqlx::query_scalar(holes).fetch_one(&mut connection).await?;
    assert_eq!(holes, 0, "sequences are gapless");
    Ok(())
}
