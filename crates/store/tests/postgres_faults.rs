//! PostgreSQL at its worst: sessions that end in a commit, answers that are lost, owners that stop.

mod databases;

use std::{collections::BTreeSet, time::Duration};

use databases::{PostgresDatabase, postgres_database, wire::Fault};
use futures_util::future::join_all;
use quarry_ports::{Commit, CommitError};
use quarry_sim::contract::store::{Broken, OpenStore as _, Owner, message, success};
use quarry_types::{Epoch, Sequence};
use sqlx::{Connection as _, PgConnection};

/// Sessions of the adapter that do or wait for something of `kind`.
async fn sessions(connection: &mut PgConnection, kind: &str) -> Result<Vec<i32>, Broken> {
    let sql = "select pid from pg_stat_activity where datname = current_database() \
        and application_name = 'quarry' and query like 'with part%' \
        and ($1 = 'any' or wait_event_type = $1)";
    Ok(sqlx::query_scalar(sql).bind(kind).fetch_all(connection).await?)
}

async fn end(connection: &mut PgConnection, pid: i32) -> Result<(), Broken> {
    sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(connection).await?;
    Ok(())
}

async fn within<T>(
    what: &str,
    future: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    let done = tokio::time::timeout(Duration::from_secs(20), future).await;
    done.map_err(|_| Broken::new(format!("not within 20 s: {what}")))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_inside_its_commit_leaves_nothing_and_the_shard_goes_on()
-> Result<(), Broken> {
    let database = postgres_database("ended_inside").await?;
    let owner = Owner::start(&database, 1, 1).await?;
    let address = owner.address("a")?;
    let earlier = message(&address, "earlier")?;
    let outcomes = vec![success(&earlier)];
    let low_water = Sequence(1);
    owner.write(Commit { outcomes, low_water, ..owner.accept(&earlier) }).await?;

    // Somebody holds what the commit wants to write, so that it waits in the middle.
    let row = message(&address, "k")?;
    let mut other = database.connect().await?;
    let mut watcher = database.connect().await?;
    let mut blocking = other.begin().await?;
    let sql = "insert into outcome values ($1, 1, 1, 't', 1, 0, '', 1, 1, 1)";
    let id = uuid::Uuid::from_bytes(row.message_id.to_bytes());
    sqlx::query(sql).bind(id).execute(&mut *blocking).await?;
    let commit = owner.write(Commit { outcomes: vec![success(&row)], ..owner.accept(&row) });
    let ending = within("the commit waits", async {
        loop {
            if let Some(pid) = sessions(&mut watcher, "Lock").await?.first() {
                return end(&mut watcher, *pid).await;
            }
            tokio::task::yield_now().await;
        }
    });
    let (result, ended) = tokio::join!(commit, ending);
    ended?;
    blocking.rollback().await?;
    assert!(matches!(result, Err(CommitError::Unavailable { .. })), "{result:?}");
    assert_eq!(owner.store.message(row.message_id).await?, None);

    // An empty commit took sequence 2; the mark went on with it.
    let done = owner.write(owner.accept(&row)).await?;
    assert_eq!(done.sequence, Sequence(3));
    let next = Owner::start(&database, 1, 2).await?;
    assert_eq!((next.loaded.sequence, next.loaded.low_water), (Sequence(3), low_water));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_to_be_there() -> Result<(), Broken> {
    let database = postgres_database("lost_answer").await?;
    let (wired, wire) = database.behind_wire().await?;
    let owner = Owner::start(&wired, 1, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "first")?)).await?;
    wire.arm(Fault::LoseAnswer);
    let row = message(&address, "lost")?;
    let done = owner.write(owner.accept(&row)).await?;
    assert_eq!(done.sequence, Sequence(2));
    assert!(owner.store.message(row.message_id).await?.is_some());
    let done = owner.write(owner.accept(&message(&address, "next")?)).await?;
    assert_eq!(done.sequence, Sequence(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_arrives_after_its_fate_was_decided_changes_nothing() -> Result<(), Broken> {
    let database = postgres_database("late_request").await?;
    let (wired, wire) = database.behind_wire().await?;
    let owner = Owner::start(&wired, 1, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "first")?)).await?;
    wire.arm(Fault::HoldRequest);
    let row = message(&address, "late")?;
    let lost = owner.write(owner.accept(&row)).await;
    assert!(matches!(lost, Err(CommitError::Unavailable { .. })), "{lost:?}");
    within("the late request is answered", async {
        wire.release().await;
        Ok(())
    })
    .await?;
    assert_eq!(owner.store.message(row.message_id).await?, None);
    let done = owner.write(owner.accept(&row)).await?;
    assert_eq!(done.sequence, Sequence(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_before_a_takeover_is_still_told_apart() -> Result<(), Broken> {
    let database = postgres_database("lost_then_fenced").await?;
    let (wired, wire) = database.behind_wire().await?;
    let owner = Owner::start(&wired, 1, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "first")?)).await?;
    wire.arm(Fault::HoldRequest);
    let row = message(&address, "late")?;
    let taking = async {
        let new = Owner::start(&database, 1, 2).await?;
        wire.release().await;
        Ok::<_, Broken>(new)
    };
    let (lost, new) = tokio::join!(owner.write(owner.accept(&row)), taking);
    let new = new?;
    // Either its fate was decided before the takeover, or the fence had moved; never is it there.
    let told = matches!(
        lost,
        Err(CommitError::Unavailable { .. } | CommitError::Fenced { recorded: Epoch(2) })
    );
    assert!(told, "{lost:?}");
    assert_eq!(new.store.message(row.message_id).await?, None);
    let after = owner.write(owner.accept(&row)).await;
    assert_eq!(after, Err(CommitError::Fenced { recorded: Epoch(2) }));
    new.write(new.accept(&row)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_ends_the_session_that_holds_its_fence() -> Result<(), Broken> {
    let database = postgres_database("blocked").await?;
    let owner = Owner::start(&database, 1, 1).await?;
    owner.write(owner.accept(&message(&owner.address("a")?, "k")?)).await?;
    // As an owner that stopped between the statement and its end.
    let mut frozen = database.connect().await?;
    let mut transaction = frozen.begin().await?;
    sqlx::query("select 1 from shard_fence where shard = 1 for share")
        .execute(&mut *transaction)
        .await?;
    let new = within("the takeover", Owner::start(&database, 1, 2)).await?;
    assert_eq!(new.loaded.sequence, Sequence(1));
    assert!(transaction.commit().await.is_err(), "the frozen session was ended");
    Ok(())
}

/// Ends the adapter's sessions again and again while 32 callers write.
async fn trouble(database: &PostgresDatabase, rounds: u32) -> Result<(), Broken> {
    let mut watcher = database.connect().await?;
    for _ in 0..rounds {
        within("a session writes", async {
            loop {
                if let Some(pid) = sessions(&mut watcher, "any").await?.last() {
                    return end(&mut watcher, *pid).await;
                }
                tokio::task::yield_now().await;
            }
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fate_is_told_truly_while_sessions_are_ended() -> Result<(), Broken> {
    let database = postgres_database("trouble").await?;
    let first = Owner::start(&database, 1, 1).await?;
    let second = Owner::load(first.store.clone(), 2, 1, 1).await?;
    let owners = [&first, &second];
    let over = std::sync::atomic::AtomicBool::new(false);
    let callers = (0..32_usize).map(async |caller| {
        let owner = owners[caller % 2];
        let address = owner.address(&format!("e{caller}"))?;
        let (mut there, mut not_there) = (BTreeSet::new(), BTreeSet::new());
        let mut number = 0;
        while !over.load(std::sync::atomic::Ordering::Acquire) {
            let row = message(&address, &format!("{caller}.{number}"))?;
            let outcomes = vec![success(&row)];
            match owner.write(Commit { outcomes, ..owner.accept(&row) }).await {
                Ok(_) => drop(there.insert(row.message_id)),
                Err(CommitError::Unavailable { .. }) => drop(not_there.insert(row.message_id)),
                Err(error) => return Err(Broken::from(error)),
            }
            number += 1;
        }
        Ok::<_, Broken>((there, not_there))
    });
    let troubling = async {
        let troubled = trouble(&database, 40).await;
        over.store(true, std::sync::atomic::Ordering::Release);
        troubled
    };
    let (fates, troubled) = tokio::join!(join_all(callers), troubling);
    troubled?;
    let mut connection = database.connect().await?;
    let stored: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select m.message_id from message m join outcome o on o.message_id = m.message_id",
    )
    .fetch_all(&mut connection)
    .await?;
    let stored: BTreeSet<[u8; 16]> = stored.into_iter().map(uuid::Uuid::into_bytes).collect();
    let (mut told, mut refused) = (BTreeSet::new(), 0);
    for fate in fates {
        let (there, not_there) = fate?;
        told.extend(there.iter().map(|id| id.to_bytes()));
        refused += not_there.len();
    }
    assert_eq!(told, stored, "what was told is what is there");
    assert!(refused > 0, "no commit was hit");
    let holes = "select count(*) from shard_commit c where c.sequence > 0 and not exists \
        (select 1 from shard_commit b where b.shard = c.shard and b.sequence = c.sequence - 1)";
    let holes: i64 = sqlx::query_scalar(holes).fetch_one(&mut connection).await?;
    assert_eq!(holes, 0, "sequences are gapless");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_after_every_session_was_ended() -> Result<(), Broken> {
    let database = postgres_database("ended_idle").await?;
    let owner = Owner::start(&database, 1, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    owner.write(owner.accept(&row)).await?;
    let mut other = database.connect().await?;
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and application_name = 'quarry'",
    )
    .fetch_all(&mut other)
    .await?;
    assert!(ended.len() >= 2, "a lane and a reader");
    assert!(owner.store.message(row.message_id).await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_over_tcp_does_not_wait_for_delayed_acknowledgements() -> Result<(), Broken> {
    let database = postgres_database("tcp").await?;
    let (wired, _wire) = database.behind_wire().await?;
    let owner = Owner::start(&wired, 1, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "first")?)).await?;
    // 100 commits of 100 KiB; at 40 ms each they would take 4 s.
    tokio::time::timeout(Duration::from_secs(3), async {
        for number in 0..100 {
            let mut row = message(&address, &format!("k{number}"))?;
            row.payload = vec![b'x'; 100 * 1024].into();
            owner.write(owner.accept(&row)).await?;
        }
        Ok(())
    })
    .await
    .map_err(|_| Broken::new("100 commits took more than 3 s"))?
}

/// Notes by which settings a session writes fences and messages.
const NOTE_SETTINGS: &str = "create table noted (what text, settings text); \
    create function note_settings() returns trigger language plpgsql as $$ begin \
        insert into noted select tg_table_name, string_agg(name || ' ' || setting, ', ' order by name) \
        from pg_settings where name in ('idle_in_transaction_session_timeout', 'tcp_user_timeout') \
        or name = 'lock_timeout' and tg_table_name = 'message'; \
        return null; end $$; \
    create trigger note after insert on shard_fence for each row execute function note_settings(); \
    create trigger note after insert on message for each row execute function note_settings();";

/// A load waits longer for a lock: it ends the session that holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stops_or_is_out_of_reach_holds_no_lock_for_long() -> Result<(), Broken> {
    let database = postgres_database("settings").await?;
    let (wired, _wire) = database.behind_wire().await?;
    drop(wired.open().await?);
    let mut connection = database.connect().await?;
    sqlx::raw_sql(NOTE_SETTINGS).execute(&mut connection).await?;
    let owner = Owner::start(&wired, 1, 1).await?;
    owner.write(owner.accept(&message(&owner.address("a")?, "k")?)).await?;
    let sql = "select distinct what || ': ' || settings from noted order by 1";
    let noted: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
    let wanted = [
        "message: idle_in_transaction_session_timeout 1000, lock_timeout 1000, tcp_user_timeout 5000",
        "shard_fence: idle_in_transaction_session_timeout 1000, tcp_user_timeout 5000",
    ];
    assert_eq!(noted, wanted);
    Ok(())
}
