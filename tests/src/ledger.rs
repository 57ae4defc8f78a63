//! The data itself, read behind the nodes' backs: what every shard committed, and whether all rows
//! belong to such commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use quarry_types::{Address, Tenant};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

use crate::{chaos::LoadRow, cluster::Cluster};

/// A load changes the epoch and the process of a fence. The row is locked meanwhile, so the loads of a shard
/// are noted in their order.
const NOTE_LOADS: &str = "create schema if not exists harness; \
    create table if not exists harness.load \
        (id bigserial primary key, shard bigint, epoch bigint, boot bigint); \
    create or replace function harness.note_load() returns trigger language plpgsql as $$ begin \
        insert into harness.load (shard, epoch, boot) values (new.shard, new.epoch, new.boot); \
        return null; end $$; \
    create or replace trigger note_new after insert on public.shard_fence \
        for each row execute function harness.note_load(); \
    create or replace trigger note_next after update on public.shard_fence \
        for each row when (old.epoch <> new.epoch or old.boot <> new.boot) \
        execute function harness.note_load();";

/// Each statement counts rows that break a promise of the store. The oldest commits of a shard may be
/// retired, without a gap; what they wrote may stand.
const BREACHES: &[(&str, &str)] = &[
    (
        "commits whose epoch is below that of the commit before (L1)",
        "select count(*) from (select epoch, lag(epoch) over (partition by shard order by sequence) \
         as before from shard_commit) as c where c.before > c.epoch",
    ),
    (
        "commits that do not follow the one before (L3)",
        "select count(*) from (select coalesce(first, sequence) as first, sequence, \
         lag(sequence) over (partition by shard order by sequence) as before from shard_commit) as c \
         where c.first <> c.before + 1 or c.first > c.sequence",
    ),
    (
        "commits of an epoch above the fence's",
        "select count(*) from shard_commit c left join shard_fence f on f.shard = c.shard \
         where f.shard is null or c.epoch > f.epoch",
    ),
    (
        "messages of no commit, or of a void one",
        "select count(*) from message m where coalesce((select case \
         when coalesce(c.first, c.sequence) <= m.sequence then c.void end from shard_commit c \
         where c.shard = m.shard and c.sequence >= m.sequence order by c.sequence limit 1), \
         case when m.sequence < (select min(coalesce(k.first, k.sequence)) from shard_commit k \
         where k.shard = m.shard) then 0 end, 1) <> 0",
    ),
    (
        "messages that are not 0, 1, 2 … of their commit",
        "select count(*) from (select ordinal, row_number() over (partition by shard, sequence \
         order by ordinal) as place from message) as m where m.ordinal <> m.place - 1",
    ),
    (
        "messages out of their shard's slots",
        "select count(*) from message m join shard_fence f on f.shard = m.shard \
         where m.slot not between f.first_slot and f.last_slot",
    ),
    (
        "outcomes of no commit, or of a void one",
        "select count(*) from outcome o where coalesce((select case \
         when coalesce(c.first, c.sequence) <= o.sequence then c.void end from shard_commit c \
         where c.shard = o.shard and c.sequence >= o.sequence order by c.sequence limit 1), \
         case when o.sequence < (select min(coalesce(k.first, k.sequence)) from shard_commit k \
         where k.shard = o.shard) then 0 end, 1) <> 0",
    ),
    (
        "outcomes of no message, or before it (D2), or out of their shard's slots",
        "select count(*) from outcome o left join message m on m.message_id = o.message_id \
         left join shard_fence f on f.shard = o.shard \
         where m.message_id is null or m.sequence > o.sequence or m.slot <> o.slot \
         or m.slot not between f.first_slot and f.last_slot",
    ),
    (
        "messages that are neither open nor finished, or both",
        "select count(*) from message m left join outcome o on o.message_id = m.message_id \
         left join open_message p on p.message_id = m.message_id \
         where (o.message_id is null) = (p.message_id is null)",
    ),
    (
        "states of no commit, or of a void one",
        "select count(*) from entity_state s where not exists (select 1 from shard_fence f \
         where s.slot between f.first_slot and f.last_slot and coalesce((select case \
         when coalesce(c.first, c.sequence) <= s.sequence then c.void end from shard_commit c \
         where c.shard = f.shard and c.sequence >= s.sequence order by c.sequence limit 1), \
         case when s.sequence < (select min(coalesce(k.first, k.sequence)) from shard_commit k \
         where k.shard = f.shard) then 0 end, 1) = 0)",
    ),
    (
        "shards that were split and stand open, or have no part",
        "select count(*) from shard_fence w where w.closed <> (case when exists (select 1 \
         from shard_fence p where p.first_slot >= w.first_slot and p.last_slot <= w.last_slot \
         and p.shard <> w.shard and p.shard / 131072 = w.shard / 131072) then 1 else 0 end)",
    ),
    (
        "commits of a shard that do not go on behind the shard that it is a part of",
        "select count(*) from shard_fence p join shard_fence w on w.closed = 1 \
         and w.shard <> p.shard and p.first_slot >= w.first_slot and p.last_slot <= w.last_slot \
         and p.shard / 131072 = w.shard / 131072 \
         where (select min(coalesce(c.first, c.sequence)) from shard_commit c \
         where c.shard = p.shard) \
         < (select max(c.sequence) from shard_commit c where c.shard = w.shard)",
    ),
    (
        "states that the commit of their last outcome did not write (G2)",
        "select count(*) from (select s.sequence, (select max(o.sequence) from message m \
         join outcome o on o.message_id = m.message_id where m.slot = s.slot \
         and m.tenant = s.tenant and m.entity_type = s.entity_type \
         and m.entity_id = s.entity_id) as last from entity_state s) as s \
         where s.last is null or s.last <> s.sequence",
    ),
    (
        "sends of a message that has no outcome, or of another commit (G2)",
        "select count(*) from outbox s left join outcome o on o.message_id = s.message_id \
         where o.message_id is null or o.shard <> s.shard or o.sequence <> s.sequence",
    ),
];

const TOTALS: &str = "select (select count(distinct shard) from shard_commit), \
    (select cast(coalesce(sum(sequence - coalesce(first, sequence) + 1), 0) as bigint) \
    from shard_commit), (select count(*) from message), \
    (select count(*) from outcome), (select count(*) from entity_state)";

enum Reader {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

macro_rules! fetch {
    ($reader:expr, $sql:expr) => {
        match $reader {
            Reader::Postgres(connection) => sqlx::query_as($sql).fetch_all(connection).await,
            Reader::Sqlite(connection) => sqlx::query_as($sql).fetch_all(connection).await,
        }
    };
}

/// How long a change waits for the nodes' own.
const BUSY: Duration = Duration::from_secs(10);

/// A connection of its own to the store of a cluster.
pub struct Ledger(Reader);

/// One commit of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitRow {
    /// Id of the shard.
    pub shard: i64,
    /// Place in the shard's sequence.
    pub sequence: i64,
    /// Epoch of the owner that wrote it.
    pub epoch: i64,
}

/// What a ledger without a breach holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audited {
    /// Shards that were ever loaded.
    pub shards: i64,
    /// Their commits.
    pub commits: i64,
    /// Messages accepted.
    pub messages: i64,
    /// Messages finished.
    pub outcomes: i64,
    /// Entities with a state.
    pub states: i64,
}

/// Rows that stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Messages.
    pub messages: i64,
    /// Outcomes.
    pub outcomes: i64,
    /// Rows of commits of all shards.
    pub commits: i64,
}

impl Ledger {
    /// Opens the store of `cluster`.
    pub async fn of(cluster: &Cluster) -> Result<Self> {
        Self::open(cluster.store_url()).await
    }

    /// Opens the store at `url`.
    pub async fn open(url: &str) -> Result<Self> {
        let reader = if let Some(path) = url.strip_prefix("sqlite://") {
            let options = SqliteConnectOptions::new().filename(path).read_only(true);
            Reader::Sqlite(options.disable_statement_logging().connect().await?)
        } else {
            let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
            Reader::Postgres(PgConnection::connect_with(&options).await?)
        };
        Ok(Self(reader))
    }

    /// Checks all that the store promises of its rows; the error names what is broken.
    pub async fn audit(&mut self) -> Result<Audited> {
        let mut broken = Vec::new();
        for (what, sql) in BREACHES {
            let counts: Vec<(i64,)> = fetch!(&mut self.0, *sql).with_context(|| *what)?;
            let (count,) = counts.first().context("a count without a row")?;
            if *count > 0 {
                broken.push(format!("{count} {what}"));
            }
        }
        ensure!(broken.is_empty(), "the data is broken:\n{}", broken.join("\n"));
        let totals: Vec<(i64, i64, i64, i64, i64)> = fetch!(&mut self.0, TOTALS)?;
        let (shards, commits, messages, outcomes, states) =
            *totals.first().context("totals without a row")?;
        Ok(Audited { shards, commits, messages, outcomes, states })
    }

    /// How many rows stand of messages, outcomes and commits.
    pub async fn kept(&mut self) -> Result<Kept> {
        let sql = "select (select count(*) from message), (select count(*) from outcome), \
            (select count(*) from shard_commit)";
        let rows: Vec<(i64, i64, i64)> = fetch!(&mut self.0, sql)?;
        let (messages, outcomes, commits) = *rows.first().context("counts without a row")?;
        Ok(Kept { messages, outcomes, commits })
    }

    /// The id of the cluster that it belongs to, as nodes write it.
    pub async fn cluster(&mut self) -> Result<String> {
        let rows: Vec<(i64,)> = fetch!(&mut self.0, "select cluster from cluster_identity")?;
        let (cluster,) = rows.first().context("the store belongs to no cluster")?;
        Ok(format!("{cluster:016x}"))
    }

    /// How many sends between entities are open or set aside.
    pub async fn sends(&mut self) -> Result<i64> {
        let rows: Vec<(i64,)> = fetch!(&mut self.0, "select count(*) from outbox")?;
        Ok(rows.first().context("a count without a row")?.0)
    }

    /// Entities with messages that are not over, as `TYPE/ID`.
    pub async fn open_entities(&mut self) -> Result<BTreeSet<String>> {
        let sql = "select distinct entity_type || '/' || entity_id from v_messages \
            where state = 'open'";
        let rows: Vec<(String,)> = fetch!(&mut self.0, sql)?;
        Ok(rows.into_iter().map(|(entity,)| entity).collect())
    }

    /// The epoch of every shard's fence.
    pub async fn fences(&mut self) -> Result<BTreeMap<i64, i64>> {
        let rows: Vec<(i64, i64)> = fetch!(&mut self.0, "select shard, epoch from shard_fence")?;
        Ok(rows.into_iter().collect())
    }

    /// The shards that were split.
    pub async fn split_shards(&mut self) -> Result<BTreeSet<i64>> {
        let sql = "select shard from v_shards where state = 'split'";
        let rows: Vec<(i64,)> = fetch!(&mut self.0, sql)?;
        Ok(rows.into_iter().map(|(shard,)| shard).collect())
    }

    /// Who loaded each shard last, under which epoch, and behind which commit.
    pub async fn loads(&mut self) -> Result<Vec<LoadRow>> {
        let sql = "select f.shard, f.epoch, f.boot, coalesce((select c.sequence from shard_commit c \
            where c.shard = f.shard and c.epoch < f.epoch order by c.sequence desc limit 1), 0) \
            from shard_fence f";
        let rows: Vec<(i64, i64, i64, i64)> = fetch!(&mut self.0, sql)?;
        let row = |(shard, epoch, boot, before)| LoadRow { shard, epoch, boot, before };
        Ok(rows.into_iter().map(row).collect())
    }

    /// From now on PostgreSQL notes every load of a shard, in a schema of the harness; whether it does.
    /// SQLite does not, nor does a database that no node has opened yet.
    pub async fn note_loads(&mut self) -> Result<bool> {
        let Reader::Postgres(connection) = &mut self.0 else { return Ok(false) };
        let ask = "select to_regclass('public.shard_fence') is not null";
        let (is_there,): (bool,) = sqlx::query_as(ask).fetch_one(&mut *connection).await?;
        if is_there {
            sqlx::raw_sql(NOTE_LOADS).execute(connection).await?;
        }
        Ok(is_there)
    }

    /// Every load since [`Ledger::note_loads`]: shard, epoch and process, those of a shard in their order.
    pub async fn noted_loads(&mut self) -> Result<Vec<(i64, i64, i64)>> {
        let sql = "select shard, epoch, boot from harness.load order by id";
        Ok(fetch!(&mut self.0, sql)?)
    }

    /// Every commit that is kept, by shard and sequence.
    pub async fn commits(&mut self) -> Result<Vec<CommitRow>> {
        let sql = "select shard, coalesce(first, sequence), sequence, epoch from shard_commit \
            order by shard, sequence";
        let rows: Vec<(i64, i64, i64, i64)> = fetch!(&mut self.0, sql)?;
        let run = |(shard, first, last, epoch): (i64, i64, i64, i64)| {
            (first..=last).map(move |sequence| CommitRow { shard, sequence, epoch })
        };
        Ok(rows.into_iter().flat_map(run).collect())
    }

    /// Of each table of PostgreSQL how many rows it has, and the newest transaction that wrote one of
    /// them: what was written, or removed, differs.
    pub async fn written(&mut self) -> Result<BTreeMap<String, (i64, i64)>> {
        let sql = "select tablename::text from pg_tables where schemaname = 'public'";
        let tables: Vec<(String,)> = fetch!(&mut self.0, sql)?;
        let mut written = BTreeMap::new();
        for (table,) in tables {
            let sql =
                format!("select count(*), coalesce(max(xmin::text::bigint), 0) from \"{table}\"");
            let rows: Vec<(i64, i64)> = fetch!(&mut self.0, AssertSqlSafe(sql))?;
            written.insert(table, *rows.first().context("counts without a row")?);
        }
        Ok(written)
    }

    /// Sessions of PostgreSQL that hold fences and wait for their client to go on: what was executed
    /// is neither committed nor undone.
    pub async fn sessions_in_commit(&mut self) -> Result<i64> {
        let sql = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
            where l.relation = 'shard_fence'::regclass and l.granted and a.wait_event = 'ClientRead'";
        let counts: Vec<(i64,)> = fetch!(&mut self.0, sql)?;
        Ok(counts.first().context("a count without a row")?.0)
    }
}

/// Changes the store of `cluster` behind the backs of its nodes.
pub async fn change(cluster: &Cluster, sql: &str) -> Result<()> {
    let url = cluster.store_url();
    let sql = AssertSqlSafe(sql.to_owned());
    if let Some(path) = url.strip_prefix("sqlite://") {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY);
        let mut connection = options.disable_statement_logging().connect().await?;
        sqlx::query(sql).execute(&mut connection).await?;
    } else {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::query(sql).execute(&mut connection).await?;
    }
    Ok(())
}

/// Makes the stored state of a counter unreadable, so that messages to it fail.
pub async fn damage_counter(cluster: &Cluster, id: &str) -> Result<()> {
    let slot = Address::parse(Tenant::default_tenant(), &format!("Counter/{id}"))?.slot();
    let columns = "tenant, entity_type, entity_id, slot, sequence, updated_at, state";
    let state = if cluster.store_url().starts_with("sqlite") { "x'00'" } else { "'x'::bytea" };
    let values = format!("'default', 'Counter', '{id}', {}, 0, 0, {state}", slot.0);
    change(cluster, &format!("insert into entity_state ({columns}) values ({values})")).await
}

/// Removes the stored states of all counters: they begin anew.
pub async fn mend_counters(cluster: &Cluster) -> Result<()> {
    change(cluster, "delete from entity_state where entity_type = 'Counter'").await
}
