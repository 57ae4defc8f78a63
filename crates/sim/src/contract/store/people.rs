//! Checks of what is read by key and by people.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use quarry_ports::{
    Commit, EntityFilter, KeyQuery, MessageFilter, MessageRow,
    MessageStateKind::{self, Delayed, Finished, Open, Quarantined, Unfinished},
    OpenRow, OpenState, StateRow, Store,
};
use quarry_types::{Address, EntityType, Failure, Outcome, Tenant};

use super::{Broken, OpenStore, Owner, message, owner::state, same, success};

fn query(row: &MessageRow) -> KeyQuery {
    KeyQuery { address: row.address.clone(), method: row.method.clone(), key: row.key.clone() }
}

/// Answers come in the order asked, unknown keys and repeats included.
pub async fn keys_are_found_in_the_order_asked(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let address = owner.address("größe")?;
    let rows = (0..100).map(|number| message(&address, &format!("k{number}")));
    let messages = rows.collect::<Result<Vec<_>, _>>()?;
    let failed = Failure { code: "too_small".into(), message: "it was\u{0} 3".into() };
    let mut outcomes: Vec<_> = messages.iter().take(50).map(success).collect();
    if let Some(first) = outcomes.first_mut() {
        first.outcome = Outcome::Failure(failed.clone());
    }
    owner.write(Commit { messages: messages.clone(), outcomes, ..owner.commit() }).await?;
    let unknown = message(&address, "unknown")?;
    let asked: Vec<_> = messages.iter().rev().chain([&unknown]).chain(&messages).collect();
    let found = owner.store.find_keys(asked.iter().map(|row| query(row)).collect()).await?;
    let ids: Vec<_> =
        found.iter().map(|found| found.as_ref().map(|r| r.message.message_id)).collect();
    let wanted: Vec<_> = asked
        .iter()
        .map(|row| (row.message_id != unknown.message_id).then_some(row.message_id))
        .collect();
    same("ids", ids, wanted)?;
    let last = found.last().and_then(Option::as_ref).map(|record| kind(&record.state));
    same("unfinished", last, Some(MessageStateKind::Open))?;
    let first = found.get(99).and_then(Option::as_ref).map(|record| record.state.clone());
    let Some(quarry_ports::MessageState::Finished { outcome, .. }) = first else {
        return Err(Broken::new(format!("the first is {first:?}")));
    };
    same("failure", outcome, Outcome::Failure(failed))?;
    let there = messages.iter().map(|row| (query(row), Some(row.message_id)));
    let there: Vec<_> = there.chain([(query(&unknown), None)]).collect();
    questions_at_once_are_each_answered(&there, async |keys| {
        let found = owner.store.find_keys(keys).await?;
        Ok(found.into_iter().map(|found| Some(found?.message.message_id)).collect())
    })
    .await
}

/// Each of many questions is answered with what it asked for, in its order; `there` is what can be asked
/// for and what there is of it.
async fn questions_at_once_are_each_answered<Q: Clone, A: Clone + PartialEq + Debug>(
    there: &[(Q, Option<A>)],
    ask: impl AsyncFn(Vec<Q>) -> Result<Vec<Option<A>>, Broken>,
) -> Result<(), Broken> {
    let asked = |number: usize| {
        let turned = there.iter().rev().cycle().skip(number).step_by(1 + number % 3);
        turned.take(number % 7).cloned().unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let questions = (0..200).map(|number| ask(asked(number).0));
    for (number, found) in futures_util::future::join_all(questions).await.into_iter().enumerate() {
        same("answer to a question", found?, asked(number).1)?;
    }
    Ok(())
}

fn kind(state: &quarry_ports::MessageState) -> MessageStateKind {
    match state {
        quarry_ports::MessageState::Open { is_delayed: true, .. } => MessageStateKind::Delayed,
        quarry_ports::MessageState::Open { .. } => MessageStateKind::Open,
        quarry_ports::MessageState::Quarantined { .. } => MessageStateKind::Quarantined,
        quarry_ports::MessageState::Finished { .. } => MessageStateKind::Finished,
    }
}

/// As for keys.
pub async fn states_are_found_in_the_order_asked(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let ids: Vec<_> = (0..75).map(|number| format!("e{number}")).collect();
    let addresses: Vec<_> = ids.iter().map(|id| owner.address(id)).collect::<Result<_, _>>()?;
    // Every third was never stored.
    let is_there = |number: usize| number % 3 != 1;
    let stored = addresses.iter().zip(&ids).enumerate().filter(|(number, _)| is_there(*number));
    let row = |(_, (address, id)): (usize, (&Address, &String))| StateRow {
        address: address.clone(),
        state: Some(Bytes::from(id.clone())),
    };
    let states = stored.map(row).collect();
    owner.write(Commit { states, ..owner.commit() }).await?;
    let there: Vec<_> = addresses
        .into_iter()
        .zip(&ids)
        .enumerate()
        .map(|(number, (address, id))| (address, is_there(number).then(|| Bytes::from(id.clone()))))
        .collect();
    let ask = async |addresses| {
        let found = owner.store.states(addresses).await?;
        Ok(found.into_iter().map(|stored| Some(stored?.state)).collect::<Vec<_>>())
    };
    // Repeats, and more than one statement asks for.
    let twice = there.iter().rev().chain(&there).cloned();
    let (asked, wanted): (_, Vec<_>) = twice.unzip();
    same("states", ask(asked).await?, wanted)?;
    questions_at_once_are_each_answered(&there, ask).await
}

async fn pages(
    store: &dyn Store,
    filter: MessageFilter,
    limit: u32,
) -> Result<Vec<String>, Broken> {
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.messages(filter.clone(), cursor, limit).await?;
        seen.extend(page.items.iter().map(|record| record.message.key.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(seen);
        }
    }
}

/// Lists are paged without a gap or a repeat.
pub async fn messages_are_listed_newest_first(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    for number in 0..9 {
        let address = owner.address(&format!("e{}", number % 2))?;
        owner.write(owner.accept(&message(&address, &format!("k{number}"))?)).await?;
    }
    let wanted: Vec<String> = (0..9).rev().map(|number| format!("k{number}")).collect();
    for limit in [1, 4, 9, 50] {
        let seen = pages(&*owner.store, MessageFilter::default(), limit).await?;
        same("keys", seen, wanted.clone())?;
    }
    let tenant = Some(Tenant::new("other")?);
    let filter = MessageFilter { tenant, ..MessageFilter::default() };
    same("other tenant", pages(&*owner.store, filter, 10).await?, Vec::new())
}

/// Filters restrict lists, alone and together.
pub async fn messages_are_listed_by_state_and_entity(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let (a, b) = (owner.address("a")?, owner.address("b")?);
    let done = message(&a, "done")?;
    let (waits, parked) = (message(&a, "waits")?, message(&b, "parked")?);
    let row = |message: &MessageRow, state| OpenRow {
        message: message.clone(),
        position: None,
        attempts: 1,
        lost: 0,
        due: message.accepted_at.after(Duration::from_secs(1)),
        state,
        errors: Vec::new(),
    };
    let late = message(&b, "late")?;
    let open = vec![
        row(&waits, OpenState::Waiting),
        row(&parked, OpenState::Quarantined),
        row(&late, OpenState::Delayed),
    ];
    let outcomes = vec![success(&done)];
    let messages = vec![done, message(&b, "fresh")?, waits, parked, late];
    owner.write(Commit { messages, outcomes, open, ..owner.commit() }).await?;
    let listed = async |address: Option<&Address>, state| {
        let filter = MessageFilter {
            tenant: Some(Tenant::default_tenant()),
            address: address.cloned(),
            state,
            ..MessageFilter::default()
        };
        let mut keys = pages(&*owner.store, filter, 10).await?;
        keys.sort();
        Ok::<_, Broken>(keys.join(" "))
    };
    same("finished", listed(None, Some(Finished)).await?, "done".to_owned())?;
    same("quarantined", listed(None, Some(Quarantined)).await?, "parked".to_owned())?;
    same("open", listed(None, Some(Open)).await?, "fresh waits".to_owned())?;
    same("delayed", listed(None, Some(Delayed)).await?, "late".to_owned())?;
    same(
        "unfinished",
        listed(None, Some(Unfinished)).await?,
        "fresh late parked waits".to_owned(),
    )?;
    same("of a", listed(Some(&a), None).await?, "done waits".to_owned())?;
    same("open of b", listed(Some(&b), Some(Open)).await?, "fresh".to_owned())
}

/// By the type of their entity, and by the time of their acceptance.
pub async fn messages_are_listed_by_type_and_time(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let address = owner.address("a")?;
    let (old, new) = (message(&address, "old")?, message(&address, "new")?);
    let at = old.accepted_at;
    let new = MessageRow { accepted_at: at.after(Duration::from_secs(5)), ..new };
    owner.write(Commit { messages: vec![old, new], ..owner.commit() }).await?;
    let listed = async |filter| Ok::<_, Broken>(pages(&*owner.store, filter, 10).await?.join(" "));
    let before = |seconds| MessageFilter {
        before: Some(at.after(Duration::from_secs(seconds))),
        ..MessageFilter::default()
    };
    same("before both", listed(before(0)).await?, String::new())?;
    same("before the second", listed(before(5)).await?, "old".to_owned())?;
    same("before neither", listed(before(6)).await?.len(), "new old".len())?;
    let of_type = |entity_type| MessageFilter { entity_type, ..MessageFilter::default() };
    let other = Some(EntityType::new("Other")?);
    same("other type", listed(of_type(other)).await?, String::new())?;
    let all = listed(of_type(Some(address.entity_type.clone()))).await?;
    same("this type", all.len(), "new old".len())
}

/// By type and id, for one tenant.
pub async fn entities_are_listed_in_order(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let mut addresses = Vec::new();
    for name in ["b", "B", "a/x", "ä", "a"] {
        addresses.push(owner.address(name)?);
    }
    let states = addresses.iter().map(|address| state(address, "12345")).collect();
    let now = owner.loaded.now.after(Duration::from_secs(1));
    owner.write(Commit { states, now, ..owner.commit() }).await?;
    addresses.sort();
    let filter = EntityFilter { tenant: Tenant::default_tenant(), entity_type: None };
    for limit in [1, 2, 5, 9] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = owner.store.entities(filter.clone(), cursor, limit).await?;
            for record in page.items {
                same("slot", record.slot, record.address.slot())?;
                same("facts", (record.state_bytes, record.updated_at), (5, now))?;
                seen.push(record.address);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        same("entities", seen, addresses.clone())?;
    }
    let other_type = Some(EntityType::new("Register")?);
    let filter = EntityFilter { entity_type: other_type, ..filter };
    same("other type", owner.store.entities(filter, None, 9).await?.items.len(), 0)
}

/// Readiness asks the database itself.
pub async fn a_store_says_that_it_takes_writes(database: &dyn OpenStore) -> Result<(), Broken> {
    let store = database.open().await?;
    store.check_writable(Duration::from_secs(5)).await?;
    store.check_writable(Duration::from_secs(5)).await?;
    super::holds("it says what it is", !store.describe().is_empty())
}
