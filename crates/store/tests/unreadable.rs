//! Rows that cannot be read do not keep the others of their shard from going on.

mod databases;

use std::sync::Arc;

use databases::{postgres_database, sqlite_file};
use futures_util::future::join_all;
use quarry_ports::{
    ChunkBody, ChunkRow, Commit, Host, KeyQuery, MessageRow, Metrics, OpenOf, OpenQuery, OpenRow,
    OpenState, Store, StoreError,
};
use quarry_sim::contract::store::{Broken, Owner, message};
use quarry_store::{Options, open};
use quarry_types::{MessageId, Sequence};

fn opened(row: &MessageRow, errors: &[&str]) -> OpenRow {
    OpenRow {
        message: row.clone(),
        position: None,
        attempts: 1,
        lost: 0,
        due: row.accepted_at,
        state: OpenState::Waiting,
        errors: errors.iter().map(|&error| error.to_owned()).collect(),
    }
}

fn chunks(row: &MessageRow, first: u64, texts: &[&'static str]) -> ChunkRow {
    let chunks = texts.iter().map(|text| ChunkBody::Made(text.as_bytes().into())).collect();
    let (message_id, address) = (row.message_id, row.address.clone());
    ChunkRow { message_id, address, first, chunks }
}

/// The ids of all unfinished messages, page by page.
async fn unfinished(owner: &Owner, limit: u32) -> Result<Vec<MessageId>, Broken> {
    let low_water = owner.loaded.low_water;
    let (mut ids, mut query) = (Vec::new(), OpenQuery { low_water, ..owner.open(OpenOf::Waiting) });
    loop {
        let page = owner.store.open_messages(query.clone(), limit).await?;
        ids.extend(page.messages.iter().map(|open| open.message.message_id));
        query.after = page.next;
        if query.after.is_none() {
            return Ok(ids);
        }
    }
}

/// `damage` makes the errors of the message with key `errors`, the method of the one with key
/// `method` and the second row of chunks unreadable.
async fn go_on(url: &str, damage: impl AsyncFnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    let metrics = Metrics::new()?;
    let store = open(url, Options::default(), Host::system(), metrics.clone()).await?;
    let owner = Owner::load(Arc::clone(&store), 1, 1, 1).await?;
    let address = owner.address("a")?;
    let mut rows = Vec::new();
    for key in ["first", "errors", "second", "method", "third"] {
        let row = message(&address, key)?;
        let open = if key == "errors" { vec![opened(&row, &["e"])] } else { Vec::new() };
        owner.write(Commit { open, ..owner.accept(&row) }).await?;
        rows.push(row);
    }
    let [first, _, second, _, third] = rows.as_slice() else { panic!("five rows") };
    for row in [chunks(third, 0, &["a"]), chunks(third, 1, &["b", "c"]), chunks(third, 3, &["d"])] {
        owner.write(Commit { chunks: vec![row], ..owner.commit() }).await?;
    }
    damage().await?;

    looks_for_others_go_on(&*store, &rows).await?;
    let owner = Owner::load(Arc::clone(&store), 1, 2, 1).await?;
    let readable = [first, second, third].map(|row| row.message_id);
    for limit in [1, 2, 100] {
        assert_eq!(unfinished(&owner, limit).await?, readable, "in pages of {limit}");
        let counts = store.chunk_counts(vec![first.message_id, third.message_id]).await?;
        assert_eq!(counts, [0, 4]);
        let found = store.chunk_bodies(third.message_id, 0, 10).await?;
        let reset = ChunkBody::Reset { attempt: 0, from: 1 };
        let made = |text: &'static str| ChunkBody::Made(text.as_bytes().into());
        assert_eq!(found, [made("a"), reset.clone(), reset.clone(), made("d")]);
        assert_eq!(store.chunk_bodies(third.message_id, 2, 10).await?, [reset, made("d")]);
    }
    let violations = metrics.invariant_violations.with_label_values(&["D1"]).get();
    assert_eq!(violations, 3, "each is told once");

    // Once its owner's mark had passed it, nobody would find the fourth message any more.
    owner.write(Commit { low_water: Sequence(8), ..owner.commit() }).await?;
    let next = Owner::load(store, 1, 3, 1).await?;
    assert_eq!(next.loaded.low_water, Sequence(3));
    Ok(())
}

/// Who looks for the second of `rows` is told that it cannot be read; who looks beside, what is there.
async fn looks_for_others_go_on(store: &dyn Store, rows: &[MessageRow]) -> Result<(), Broken> {
    let [first, errors, ..] = rows else { panic!("five rows") };
    let looks = (0..40).map(|number| async move {
        let row = if number % 2 == 0 { first } else { errors };
        let (address, method, key) = (row.address.clone(), row.method.clone(), row.key.clone());
        store.find_keys(vec![KeyQuery { address, method, key }]).await
    });
    for (number, found) in join_all(looks).await.into_iter().enumerate() {
        if number % 2 == 0 {
            let found = found?.into_iter().flatten().map(|record| record.message.message_id);
            assert_eq!(found.collect::<Vec<_>>(), [first.message_id]);
        } else {
            assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{found:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_shard_goes_on_beside_rows_that_cannot_be_read() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let url = database.url();
    go_on(&url, async || {
        let mut connection =
            <sqlx::SqliteConnection as sqlx::Connection>::connect(&database.url()).await?;
        for sql in [
            "update open_message set errors = x'00' where key = 'errors'",
            "update message set method = cast(x'ff' as text) where key = 'method'",
            "update chunk set body = x'00' where first = 1",
        ] {
            sqlx::query(sql).execute(&mut connection).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_shard_goes_on_beside_rows_that_cannot_be_read() -> Result<(), Broken> {
    let database = postgres_database("unreadable").await?;
    go_on(database.url(), async || {
        let mut connection = database.connect().await?;
        for sql in [
            "update open_message set errors = '\\x00' where key = 'errors'",
            "update message set method = '' where key = 'method'",
            "update chunk set body = '\\x00' where first = 1",
        ] {
            sqlx::query(sql).execute(&mut connection).await?;
        }
        Ok(())
    })
    .await
}
