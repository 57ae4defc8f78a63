//! What opening a store makes, and what it refuses.

mod databases;

use std::sync::Arc;

use databases::{postgres_database, sqlite_file};
use quarry_ports::{Clock, Commit, Host, JournalRow, Metrics};
use quarry_sim::contract::store::{Broken, OpenStore, Owner, message, range_of, success};
use quarry_store::{Examined, OpenError, Options, Uses, examine, open, uses};
use quarry_types::{
    Address, ClusterId, EntityType, EntryId, Monotonic, ShardId, Space, Tenant, Timestamp,
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

const TABLES: [&str; 13] = [
    "chunk",
    "cluster_identity",
    "entity_state",
    "journal",
    "message",
    "open_message",
    "outbox",
    "outcome",
    "schema_version",
    "shard_age",
    "shard_commit",
    "shard_fence",
    "write_probe",
];
const VIEWS: [&str; 6] =
    ["extraction_events", "v_entities", "v_journal", "v_messages", "v_outbox", "v_shards"];

async fn refused(url: &str, options: Options) -> Result<OpenError, Broken> {
    match open(url, options, Host::system(), Metrics::new()?).await {
        Ok(store) => Err(Broken::new(format!("{} was opened", store.describe()))),
        Err(error) => Ok(error),
    }
}

async fn write_something(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 7).await?;
    let row = message(&owner.address("a")?, "k")?;
    owner.write(Commit { outcomes: vec![success(&row)], ..owner.accept(&row) }).await?;
    record_something(&owner).await
}

async fn record_something(owner: &Owner) -> Result<(), Broken> {
    let submission = (0..1_000)
        .filter_map(|number| {
            let text = format!("KGExtractor/r{number}");
            Address::parse(Tenant::default_tenant(), &text).ok()
        })
        .find(|address| range_of(owner.shard).contains(address.slot()));
    let row = message(&submission.ok_or_else(|| Broken::new("no such slot"))?, "k")?;
    let entry = JournalRow {
        address: row.address.clone(),
        entry_id: EntryId::new(row.accepted_at, row.address.slot(), 1),
        message_id: row.message_id,
        chunk: 0,
        kind: "started".to_owned(),
        request_id: "r".to_owned(),
        data: "{\"type\":\"started\",\"x\":\"ü\\u0000\"}".into(),
        clears: false,
    };
    owner.write(Commit { journal: vec![entry], ..owner.accept(&row) }).await?;
    Ok(())
}

const SEEN_EVENT: &str =
    "select request_id || ' ' || event_type || ' ' || event_data from extraction_events";
const EVENT: &str = "r started {\"type\":\"started\",\"x\":\"ü\\u0000\"}";
const SEEN_ENTRY: &str = "select sequence * 100 + chunk from v_journal where kind = 'started'";

const SEEN_MESSAGE: &str = "select state || ' ' || outcome || ' ' || entity_type from v_messages \
    where entity_type = 'Counter'";
const SEEN_SHARD: &str = "select epoch * 100 + sequence from v_shards";

#[tokio::test]
async fn sqlite_has_the_tables_and_views_of_the_design() -> Result<(), Broken> {
    let database = sqlite_file()?;
    write_something(&database).await?;
    let mut connection = SqliteConnection::connect(&database.url()).await?;
    let sql = "select type || ' ' || name from sqlite_schema where type in ('table', 'view') \
        order by 1";
    let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
    let wanted = TABLES.map(|name| format!("table {name}"));
    let wanted: Vec<String> =
        wanted.into_iter().chain(VIEWS.map(|name| format!("view {name}"))).collect();
    assert_eq!(names, wanted);
    let seen: String = sqlx::query_scalar(SEEN_MESSAGE).fetch_one(&mut connection).await?;
    assert_eq!(seen, "finished success Counter");
    let shard: i64 = sqlx::query_scalar(SEEN_SHARD).fetch_one(&mut connection).await?;
    assert_eq!(shard, 702);
    let event: String = sqlx::query_scalar(SEEN_EVENT).fetch_one(&mut connection).await?;
    assert_eq!(event, EVENT);
    let entry: i64 = sqlx::query_scalar(SEEN_ENTRY).fetch_one(&mut connection).await?;
    assert_eq!(entry, 100);
    Ok(())
}

#[tokio::test]
async fn postgres_has_the_tables_and_views_of_the_design() -> Result<(), Broken> {
    let database = postgres_database("tables").await?;
    write_something(&database).await?;
    let mut connection = database.connect().await?;
    let sql = "select table_name::text, table_type = 'VIEW' from information_schema.tables \
        where table_schema = 'public' order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
    let of_kind = |view: bool| -> Vec<String> {
        rows.iter().filter(|row| row.get::<bool, _>(1) == view).map(|row| row.get(0)).collect()
    };
    assert_eq!(of_kind(false), TABLES);
    assert_eq!(of_kind(true), VIEWS);
    let seen: String = sqlx::query_scalar(SEEN_MESSAGE).fetch_one(&mut connection).await?;
    assert_eq!(seen, "finished success Counter");
    let shard: i64 = sqlx::query_scalar(SEEN_SHARD).fetch_one(&mut connection).await?;
    assert_eq!(shard, 702);
    let event: String = sqlx::query_scalar(SEEN_EVENT).fetch_one(&mut connection).await?;
    assert_eq!(event, EVENT);
    let entry: i64 = sqlx::query_scalar(SEEN_ENTRY).fetch_one(&mut connection).await?;
    assert_eq!(entry, 100);
    Ok(())
}

/// A message in a shard of the second group, and one in a shard of none.
async fn tells_the_spaces_of_types(database: &dyn OpenStore, url: &str) -> Result<(), Broken> {
    assert_eq!(uses_of(database, url).await?, Uses::default());
    let space = Space(2);
    let shard = ShardId::at(space, 1).ok_or_else(|| Broken::new("no shard".to_owned()))?;
    for shard in [shard.0, 1] {
        let owner = Owner::start(database, shard, 7).await?;
        let row = message(&owner.address(&format!("in {shard}"))?, "k")?;
        owner.write(owner.accept(&row)).await?;
    }
    let counter = EntityType::new("Counter")?;
    let [default, second] = [Space::DEFAULT, space];
    let expected = Uses {
        loaded: [default, second].into(),
        placed: [(counter.clone(), default), (counter.clone(), second)].into(),
        types: [counter].into(),
    };
    assert_eq!(uses_of(database, url).await?, expected);
    Ok(())
}

async fn uses_of(database: &dyn OpenStore, url: &str) -> Result<Uses, Broken> {
    drop(database.open().await?);
    uses(url).await.map_err(|error| Broken::new(error.to_string()))
}

#[tokio::test]
async fn a_sqlite_file_tells_the_spaces_of_types() -> Result<(), Broken> {
    let database = sqlite_file()?;
    tells_the_spaces_of_types(&database, &database.url()).await
}

#[tokio::test]
async fn a_postgres_database_tells_the_spaces_of_types() -> Result<(), Broken> {
    let database = postgres_database("uses").await?;
    tells_the_spaces_of_types(&database, database.url()).await
}

#[tokio::test]
async fn a_sqlite_file_newer_than_the_program_is_refused() -> Result<(), Broken> {
    let database = sqlite_file()?;
    drop(database.open().await?);
    let mut connection = SqliteConnection::connect(&database.url()).await?;
    sqlx::query("insert into schema_version values (99, 'later', 0, null)")
        .execute(&mut connection)
        .await?;
    let error = refused(&database.url(), Options::default()).await?;
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    let seen = examine(&database.url(), &Options::default(), &Host::system()).await;
    assert!(matches!(seen, Err(OpenError::Newer { found: 99, .. })), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_postgres_database_newer_than_the_program_is_refused() -> Result<(), Broken> {
    let database = postgres_database("newer").await?;
    drop(database.open().await?);
    let mut connection = database.connect().await?;
    sqlx::query("insert into schema_version values (99, 'later', 0, null)")
        .execute(&mut connection)
        .await?;
    let error = refused(database.url(), Options::default()).await?;
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    let seen = examine(database.url(), &Options::default(), &Host::system()).await;
    assert!(matches!(seen, Err(OpenError::Newer { found: 99, .. })), "{seen:?}");
    Ok(())
}

/// What the next minor release is to leave a database like, so that nodes of this one can start again
/// while they are upgraded one by one.
async fn serves_this_program(
    database: &dyn OpenStore,
    url: &str,
    record: impl AsyncFn(i64) -> Result<(), Broken>,
) -> Result<(), Broken> {
    drop(database.open().await?);
    let newest = examine(url, &Options::default(), &Host::system()).await?.newest;
    record(newest).await?;
    let seen = examine(url, &Options::default(), &Host::system()).await?;
    assert_eq!((seen.schema, seen.newest), (Some(newest + 1), newest));
    write_something(database).await?;
    let seen = examine(url, &Options::default(), &Host::system()).await?;
    assert_eq!(seen.schema, Some(newest + 1), "it stays as the newer program made it");
    Ok(())
}

const RECORD_NEXT: &str = "insert into schema_version values ($1 + 1, 'next', 0, $1)";

#[tokio::test]
async fn a_sqlite_file_of_a_newer_program_is_used_where_it_serves_this_one() -> Result<(), Broken> {
    let database = sqlite_file()?;
    serves_this_program(&database, &database.url(), async |newest| {
        let mut connection = SqliteConnection::connect(&database.url()).await?;
        sqlx::query(RECORD_NEXT).bind(newest).execute(&mut connection).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_postgres_database_of_a_newer_program_is_used_where_it_serves_this_one()
-> Result<(), Broken> {
    let database = postgres_database("serves").await?;
    serves_this_program(&database, database.url(), async |newest| {
        let mut connection = database.connect().await?;
        sqlx::query(RECORD_NEXT).bind(newest).execute(&mut connection).await?;
        Ok(())
    })
    .await
}

/// A clock of another machine, or of another start of it.
struct Elsewhere {
    machine: u64,
    run: u64,
}

impl Clock for Elsewhere {
    fn monotonic(&self) -> Monotonic {
        Host::system().now()
    }

    fn wall(&self) -> Timestamp {
        Host::system().clock.wall()
    }

    fn machine_run(&self) -> u64 {
        self.run
    }

    fn machine(&self) -> u64 {
        self.machine
    }
}

#[tokio::test]
async fn a_sqlite_file_serves_the_machine_that_it_was_made_on() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let url = database.url();
    let on = |machine, run| Host { clock: Arc::new(Elsewhere { machine, run }), ..Host::system() };
    let opened = async |host: Host, take_from_other_host| -> Result<_, Broken> {
        let options = Options { take_from_other_host, ..Options::default() };
        let seen = examine(&url, &options, &host).await.map(drop);
        let store = open(&url, options, host, Metrics::new()?).await;
        assert_eq!(
            seen.map_err(|error| error.to_string()),
            store.as_ref().map(drop).map_err(ToString::to_string),
            "a look finds what a start does",
        );
        Ok(store)
    };
    opened(on(1, 10), false).await??.adopt(ClusterId(7)).await?;
    // Another process of it, a container on it, and the next start of it.
    for (machine, run) in [(1, 10), (5, 10), (0, 10), (1, 11)] {
        drop(opened(on(machine, run), false).await??);
    }
    let error = opened(on(2, 20), false).await?.err().ok_or_else(|| Broken::new("taken"))?;
    assert!(matches!(error, OpenError::OtherHost { .. }), "{error}");
    assert!(error.to_string().contains("store.take_from_other_host"), "{error}");
    // Refused, it is still the first one's.
    drop(opened(on(1, 11), false).await??);
    // Moved, it is the other's.
    drop(opened(on(2, 20), true).await??);
    drop(opened(on(2, 21), false).await??);
    let error = opened(on(1, 11), false).await?.err().ok_or_else(|| Broken::new("taken"))?;
    assert!(matches!(error, OpenError::OtherHost { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_postgres_database_that_may_forget_is_refused_unless_allowed() -> Result<(), Broken> {
    let database = postgres_database("forgets").await?;
    let mut connection = database.connect().await?;
    let name: String =
        sqlx::query_scalar("select current_database()::text").fetch_one(&mut connection).await?;
    let sql = format!("alter database \"{name}\" set synchronous_commit = off");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await?;
    let error = refused(database.url(), Options::default()).await?;
    assert!(error.to_string().contains("synchronous_commit=off"), "{error}");
    let options = Options { allow_unsafe_durability: true, ..Options::default() };
    open(database.url(), options, Host::system(), Metrics::new()?).await?;
    Ok(())
}

/// A database is seen as it is, before and after its first start, and not changed by it.
async fn is_seen(database: &dyn OpenStore, url: &str) -> Result<(), Broken> {
    let seen = examine(url, &Options::default(), &Host::system()).await?;
    assert!(seen.newest > 0, "{seen:?}");
    let nothing = Examined { schema: None, cluster: None, ..seen.clone() };
    assert_eq!(seen, nothing, "a look makes nothing");
    assert_eq!(examine(url, &Options::default(), &Host::system()).await?, nothing);
    let store = database.open().await?;
    let opened = Examined { schema: Some(seen.newest), ..nothing };
    assert_eq!(examine(url, &Options::default(), &Host::system()).await?, opened);
    let cluster = store.adopt(ClusterId(u64::MAX - 7)).await?;
    let owned = Examined { cluster: Some(cluster), ..opened };
    assert_eq!(examine(url, &Options::default(), &Host::system()).await?, owned);
    Ok(())
}

#[tokio::test]
async fn a_sqlite_file_is_examined_and_left_as_it_is() -> Result<(), Broken> {
    let database = sqlite_file()?;
    is_seen(&database, &database.url()).await
}

#[tokio::test]
async fn a_postgres_database_is_examined_and_left_as_it_is() -> Result<(), Broken> {
    let database = postgres_database("examined").await?;
    is_seen(&database, database.url()).await?;
    let unreachable = "postgres://someone:secret@127.0.0.1:1/nowhere";
    let Err(error) = examine(unreachable, &Options::default(), &Host::system()).await else {
        return Err(Broken::new("a database that is not there was seen"));
    };
    let error = error.to_string();
    assert!(error.contains("127.0.0.1:1/nowhere") && !error.contains("secret"), "{error}");
    Ok(())
}

#[tokio::test]
async fn many_processes_may_open_a_new_database_at_once() -> Result<(), Broken> {
    let (file, server) = (sqlite_file()?, postgres_database("at_once").await?);
    for database in [&file as &dyn OpenStore, &server] {
        let stores = futures_util::future::join_all((0..8).map(|_| database.open())).await;
        for store in stores {
            assert_eq!(store?.identity().await?, None);
        }
    }
    Ok(())
}

#[tokio::test]
async fn errors_say_what_to_do_and_keep_secrets() -> Result<(), Broken> {
    for url in ["mysql://a:secret@b/c", "sqlite:", "sqlite::memory:", "secret"] {
        let error = refused(url, Options::default()).await?;
        assert!(matches!(error, OpenError::Url { .. }), "{url}: {error}");
    }
    let unreachable = "postgres://someone:secret@127.0.0.1:1/nowhere";
    let error = refused(unreachable, Options::default()).await?.to_string();
    assert!(error.contains("127.0.0.1:1/nowhere") && !error.contains("secret"), "{error}");
    let file = tempfile::NamedTempFile::new()?;
    let below_a_file = format!("sqlite:{}/quarry.db", file.path().display());
    let error = refused(&below_a_file, Options::default()).await?;
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_sqlite_file_is_copied_back_and_stays_bounded() -> Result<(), Broken> {
    let database = sqlite_file()?;
    let owner = Owner::start(&database, 1, 1).await?;
    let address = owner.address("a")?;
    let log = format!("{}-wal", database.path().display());
    let (mut largest, mut number) = (0, 0);
    // Until the file itself holds 96 MiB: only checkpoints bring anything there.
    while tokio::fs::metadata(database.path()).await?.len() < 96 << 20 {
        let mut row = message(&address, &format!("k{number}"))?;
        row.payload = vec![b'x'; 256 * 1024].into();
        owner.write(owner.accept(&row)).await?;
        largest = largest.max(tokio::fs::metadata(&log).await?.len());
        number += 1;
        assert!(number < 4_000, "no checkpoint in 1 GiB of writes");
    }
    assert!(largest < 96 << 20, "the log grew to {largest} bytes");
    Ok(())
}
