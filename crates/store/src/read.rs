//! Reads that both databases understand. Every statement is put together from constants; values
//! are bound.

use std::collections::BTreeMap;

use quarry_ports::{
    EntityFilter, EntityRecord, FoundCommit, KeyQuery, KnownCommit, MessageFilter, MessageRecord,
    MessageStateKind, Page, StoreError, StoredState,
};
use quarry_types::{Address, ClusterId, Epoch, MessageId, Sequence, ShardId};
use uuid::Uuid;

use crate::{
    database::{Database, Value, bits, counter, stored},
    record::{EntityColumns, RecordColumns},
};

const RECORD_COLUMNS: &str = "select m.message_id, m.tenant, m.entity_type, m.entity_id, m.method, m.key, \
    m.payload, m.digest, m.accepted_at, o.kind, o.body, o.attempts as outcome_attempts, \
    o.finished_at, p.state as open_state, p.attempts as open_attempts, p.due, p.errors, \
    m.sequence, m.ordinal, \
    case when p.payload <> m.payload then p.payload end as edited from ";
const RECORD_JOINS: &str = "message m left join outcome o on o.message_id = m.message_id \
    left join open_message p on p.message_id = m.message_id where ";

/// How many rows one statement asks for at most.
const MOST_ASKED: usize = 64;

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn id(message_id: MessageId) -> Value {
    Value::Id(Uuid::from_bytes(message_id.to_bytes()))
}

pub(crate) async fn identity<D: Database>(database: &D) -> Result<Option<ClusterId>, StoreError> {
    let sql = "select cluster from cluster_identity".to_owned();
    let rows: Vec<(i64,)> = database.fetch(sql, Vec::new()).await?;
    Ok(rows.first().map(|(cluster,)| ClusterId(bits(*cluster))))
}

/// What the store has of commits that were acknowledged.
pub(crate) async fn find_commits<D: Database>(
    database: &D,
    known: &[KnownCommit],
) -> Result<Vec<FoundCommit>, StoreError> {
    let mut found = Vec::with_capacity(known.len());
    for (run, length) in runs(known) {
        let asked = values_of(length, (2, 0));
        let sql = format!(
            "with asked (place, shard, sequence) as {asked} select (select case \
             when coalesce(c.first, c.sequence) <= a.sequence then c.epoch end \
             from shard_commit c where c.shard = a.shard and c.sequence >= a.sequence \
             order by c.sequence limit 1), \
             (select c.sequence from shard_commit c where c.shard = a.shard \
             order by c.sequence desc limit 1) from asked a order by a.place"
        );
        let of = |known: &KnownCommit| [i64::from(known.shard.0), stored(known.sequence.0)];
        let mut values = run.iter().flat_map(of).map(Value::Int).collect();
        fill_up(&mut values, length, (2, 0));
        let rows: Vec<(Option<i64>, Option<i64>)> = database.fetch(sql, values).await?;
        found.extend(rows.into_iter().take(run.len()).map(|(epoch, newest)| FoundCommit {
            epoch: epoch.map(|epoch| Epoch(counter(epoch))),
            newest: newest.map(|newest| Sequence(counter(newest))),
        }));
    }
    Ok(found)
}

pub(crate) async fn check_fences<D: Database>(
    database: &D,
    shards: &[(ShardId, Epoch)],
) -> Result<Vec<bool>, StoreError> {
    let ids = || shards.iter().map(|(shard, _)| shard.0);
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(Vec::new()) };
    let sql = "select shard, epoch from shard_fence where shard between $1 and $2".to_owned();
    let values = vec![Value::Int(i64::from(first)), Value::Int(i64::from(last))];
    let rows: Vec<(i64, i64)> = database.fetch(sql, values).await?;
    let recorded: BTreeMap<i64, i64> = rows.into_iter().collect();
    let stands = |(shard, epoch): &(ShardId, Epoch)| {
        recorded.get(&i64::from(shard.0)).is_some_and(|recorded| *recorded == stored(epoch.0))
    };
    Ok(shards.iter().map(stands).collect())
}

/// `(values …)` of `rows` rows, of which each has a leading number and then `integers` numbers and
/// `texts` texts as parameters.
pub(crate) fn values_of(rows: usize, (integers, texts): (usize, usize)) -> String {
    let mut sql = String::from("(values ");
    let mut bound = 0;
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        sql.push_str(&row.to_string());
        for column in 0..integers.saturating_add(texts) {
            bound += 1;
            let kind = if column < integers { "bigint" } else { "text" };
            sql.push_str(", cast($");
            sql.push_str(&bound.to_string());
            sql.push_str(" as ");
            sql.push_str(kind);
            sql.push(')');
        }
        sql.push(')');
    }
    sql.push(')');
    sql
}

/// Splits `items` into runs that one statement asks for, each with the length to which what is asked
/// is filled up with what is nowhere: the lengths are few, so that few statements are prepared.
pub(crate) fn runs<T>(items: &[T]) -> impl Iterator<Item = (&[T], usize)> {
    items.chunks(MOST_ASKED).map(|run| (run, run.len().next_power_of_two()))
}

/// Fills the values of [`values_of`] up to `rows` rows with what no table has: negative numbers and
/// empty texts.
pub(crate) fn fill_up(values: &mut Vec<Value>, rows: usize, (integers, texts): (usize, usize)) {
    let nowhere = std::iter::repeat_n(Value::Int(-1), integers)
        .chain(std::iter::repeat_n(text(""), texts))
        .collect::<Vec<_>>();
    while values.len() < rows.saturating_mul(nowhere.len()) {
        values.extend_from_slice(&nowhere);
    }
}

pub(crate) async fn find_keys<D: Database>(
    database: &D,
    queries: &[KeyQuery],
) -> Result<Vec<Option<MessageRecord>>, StoreError> {
    let mut found = BTreeMap::new();
    for (run, length) in runs(queries) {
        let asked = values_of(length, (1, 5));
        // A cross join keeps the asked rows outside, so that each is one look into the index.
        let sql = format!(
            "with asked (place, slot, tenant, entity_type, entity_id, method, key) as {asked} \
             {RECORD_COLUMNS} asked a cross join {RECORD_JOINS} a.slot = m.slot \
             and a.tenant = m.tenant and a.entity_type = m.entity_type \
             and a.entity_id = m.entity_id and a.method = m.method and a.key = m.key"
        );
        let mut values = Vec::with_capacity(length.saturating_mul(6));
        for query in run {
            let address = &query.address;
            values.push(Value::Int(i64::from(address.slot().0)));
            values.push(text(address.tenant.as_str()));
            values.push(text(address.entity_type.as_str()));
            values.push(text(address.id.as_str()));
            values.push(text(query.method.as_str()));
            values.push(text(query.key.as_str()));
        }
        fill_up(&mut values, length, (1, 5));
        let rows: Vec<RecordColumns> = database.fetch(sql, values).await?;
        for row in rows {
            let record = row.parse()?;
            let row = &record.message;
            found.insert((row.address.clone(), row.method.clone(), row.key.clone()), record);
        }
    }
    let key = |query: &KeyQuery| (query.address.clone(), query.method.clone(), query.key.clone());
    Ok(queries.iter().map(|query| found.get(&key(query)).cloned()).collect())
}

pub(crate) async fn states<D: Database>(
    database: &D,
    addresses: &[Address],
) -> Result<Vec<Option<StoredState>>, StoreError> {
    let mut found = Vec::with_capacity(addresses.len());
    for (run, length) in runs(addresses) {
        let asked = values_of(length, (0, 3));
        let sql = format!(
            "with asked (place, tenant, entity_type, entity_id) as {asked} \
             select cast(a.place as bigint) as place, s.state, s.sequence from asked a \
             cross join entity_state s where s.tenant = a.tenant and s.entity_type = a.entity_type \
             and s.entity_id = a.entity_id"
        );
        let mut values = Vec::with_capacity(length.saturating_mul(3));
        for address in run {
            values.push(text(address.tenant.as_str()));
            values.push(text(address.entity_type.as_str()));
            values.push(text(address.id.as_str()));
        }
        fill_up(&mut values, length, (0, 3));
        let rows: Vec<(i64, Vec<u8>, i64)> = database.fetch(sql, values).await?;
        let mut places: BTreeMap<i64, StoredState> = BTreeMap::new();
        for (place, state, sequence) in rows {
            let sequence = Sequence(counter(sequence));
            places.insert(place, StoredState { state: state.into(), sequence });
        }
        found.extend((0_i64..).zip(run).map(|(place, _)| places.remove(&place)));
    }
    Ok(found)
}

pub(crate) async fn message<D: Database>(
    database: &D,
    message_id: MessageId,
) -> Result<Option<MessageRecord>, StoreError> {
    let sql = format!("{RECORD_COLUMNS} {RECORD_JOINS} m.message_id = $1");
    let rows: Vec<RecordColumns> = database.fetch(sql, vec![id(message_id)]).await?;
    rows.into_iter().next().map(RecordColumns::parse).transpose()
}

/// The conditions of a list with what they bind.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` in it stands for the next of `values`.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" and ");
        }
        let mut values = values.into_iter();
        for character in condition.chars() {
            match (character == '?').then(|| values.next()).flatten() {
                Some(value) => {
                    self.values.push(value);
                    self.placeholder();
                }
                None => self.sql.push(character),
            }
        }
    }

    fn limit(&mut self, order: &str, limit: u32) {
        self.values.push(Value::Int(i64::from(limit).saturating_add(1)));
        for part in [" order by ", order, " limit "] {
            self.sql.push_str(part);
        }
        self.placeholder();
    }

    /// Names the last value.
    fn placeholder(&mut self) {
        self.sql.push('$');
        self.sql.push_str(&self.values.len().to_string());
    }
}

pub(crate) async fn messages<D: Database>(
    database: &D,
    filter: &MessageFilter,
    cursor: Option<String>,
    limit: u32,
) -> Result<Page<MessageRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.and(
        match filter.state {
            None => "true",
            Some(MessageStateKind::Finished) => "o.message_id is not null",
            Some(MessageStateKind::Unfinished) => "o.message_id is null",
            Some(MessageStateKind::Quarantined) => "o.message_id is null and p.state = 1",
            Some(MessageStateKind::Delayed) => "o.message_id is null and p.state = 2",
            Some(MessageStateKind::Open) => {
                "o.message_id is null and (p.state is null or p.state = 0)"
            }
        },
        [],
    );
    if let Some(tenant) = &filter.tenant {
        conditions.and("m.tenant = ?", [text(tenant.as_str())]);
    }
    if let Some(address) = &filter.address {
        conditions.and(
            "m.slot = ? and m.tenant = ? and m.entity_type = ? and m.entity_id = ?",
            [
                Value::Int(i64::from(address.slot().0)),
                text(address.tenant.as_str()),
                text(address.entity_type.as_str()),
                text(address.id.as_str()),
            ],
        );
    }
    if let Some(entity_type) = &filter.entity_type {
        conditions.and("m.entity_type = ?", [text(entity_type.as_str())]);
    }
    if let Some(before) = filter.before {
        conditions.and("m.accepted_at < ?", [Value::Int(before.0)]);
    }
    if let Some(cursor) = cursor {
        let before: MessageId = cursor.parse().map_err(|error| StoreError::Corrupt {
            reason: format!("the cursor is not one of this list: {error}"),
        })?;
        conditions.and("m.message_id < ?", [id(before)]);
    }
    conditions.limit("m.message_id desc", limit);
    let sql = format!("{RECORD_COLUMNS} {RECORD_JOINS} {}", conditions.sql);
    let rows: Vec<RecordColumns> = database.fetch(sql, conditions.values).await?;
    let (rows, more) = cut(rows, limit);
    let next = rows.last().map(|row| row.message_id().to_string()).filter(|_| more);
    let items = rows.into_iter().map(RecordColumns::parse).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

pub(crate) async fn entities<D: Database>(
    database: &D,
    filter: &EntityFilter,
    cursor: Option<String>,
    limit: u32,
) -> Result<Page<EntityRecord>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.and("tenant = ?", [text(filter.tenant.as_str())]);
    if let Some(entity_type) = &filter.entity_type {
        conditions.and("entity_type = ?", [text(entity_type.as_str())]);
    }
    if let Some(cursor) = cursor {
        let (entity_type, entity_id) = cursor.split_once('/').unwrap_or((&cursor, ""));
        conditions.and("(entity_type, entity_id) > (?, ?)", [text(entity_type), text(entity_id)]);
    }
    conditions.limit("entity_type, entity_id", limit);
    let sql = format!(
        "select tenant, entity_type, entity_id, cast(length(state) as bigint) as state_bytes, \
         updated_at from entity_state where {}",
        conditions.sql
    );
    let rows: Vec<EntityColumns> = database.fetch(sql, conditions.values).await?;
    let (rows, more) = cut(rows, limit);
    let items: Vec<EntityRecord> =
        rows.into_iter().map(EntityColumns::parse).collect::<Result<_, _>>()?;
    let next = items.last().map(|record| record.address.to_string()).filter(|_| more);
    Ok(Page { items, next })
}

/// The first `limit` of rows of which one more was asked for, and whether there are more.
pub(crate) fn cut<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}
