//! Checks of what a takeover reads.

use std::time::Duration;

use bytes::Bytes;
use quarry_ports::{
    Commit, KeyQuery, MessageRow, MessageState, OPEN_PAGE_BYTES, OpenOf, OpenQuery, OpenRow,
    OpenState, OutcomeRow, Position,
};
use quarry_types::{Intervention, Outcome, Sequence, ShardId};

use super::{Broken, OpenStore, Owner, address_in, message, same, success};

fn open_row(message: &MessageRow, state: OpenState) -> OpenRow {
    OpenRow {
        message: message.clone(),
        position: None,
        attempts: 2,
        lost: 1,
        due: message.accepted_at.after(Duration::from_secs(9)),
        state,
        errors: vec!["first\u{0}".to_owned(), "second".to_owned()],
    }
}

/// Rows and open rows are one list by position, read in pages.
pub async fn unfinished_messages_are_read_in_order_and_in_pages(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let mut wanted = Vec::new();
    for number in 0..7 {
        let address = owner.address(&format!("e{}", number % 3))?;
        let (row, done) =
            (message(&address, &format!("k{number}"))?, message(&address, &format!("d{number}"))?);
        let open =
            if number % 2 == 0 { vec![open_row(&row, OpenState::Waiting)] } else { Vec::new() };
        let outcomes = vec![success(&done)];
        let messages = vec![done, row.clone()];
        owner.write(Commit { messages, outcomes, open, ..owner.commit() }).await?;
        wanted.push(row.key.to_string());
    }
    for limit in [1, 2, 3, 7, 100] {
        let seen = owner.pages(OpenOf::Waiting, limit).await?;
        same("pages", seen, (wanted.clone(), 7_u32.div_ceil(limit)))?;
    }
    Ok(())
}

/// An entity's own are read in order, and nothing of others, of what is done or of what waits for
/// its time; what is delayed is read by itself.
pub async fn unfinished_messages_of_an_entity_are_read_alone(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let (hot, cold) = (owner.address("hot")?, owner.address("cold")?);
    for number in 0..12 {
        let address = if number % 3 == 0 { &hot } else { &cold };
        let key = |kind: &str| format!("{kind}{number}");
        let (row, done) = (message(address, &key("k"))?, message(address, &key("d"))?);
        let (parked, later) = (message(address, &key("p"))?, message(address, &key("l"))?);
        let open = vec![
            open_row(&parked, OpenState::Waiting),
            OpenRow { attempts: 0, ..open_row(&later, OpenState::Delayed) },
        ];
        let outcomes = vec![success(&done)];
        let messages = vec![row, done, parked, later];
        owner.write(Commit { messages, outcomes, open, ..owner.commit() }).await?;
    }
    let of_hot: Vec<String> =
        [0, 3, 6, 9].iter().flat_map(|n| [format!("k{n}"), format!("p{n}")]).collect();
    let delayed: Vec<String> = (0..12).map(|number| format!("l{number}")).collect();
    for limit in [1, 3, 8, 100] {
        let seen = owner.pages(OpenOf::Entity(hot.clone()), limit).await?;
        same("of the entity", seen, (of_hot.clone(), 8_u32.div_ceil(limit)))?;
        let seen = owner.pages(OpenOf::Delayed, limit).await?;
        same("delayed", seen, (delayed.clone(), 12_u32.div_ceil(limit)))?;
    }
    let query = OpenQuery { low_water: Sequence(6), ..owner.open(OpenOf::Entity(hot)) };
    let page = owner.store.open_messages(query, 100).await?;
    let keys: Vec<_> = page.messages.iter().map(|open| open.message.key.to_string()).collect();
    same("above the mark", keys, ["p0", "p3", "k6", "p6", "k9", "p9"].map(String::from).into())
}

/// What is delayed is read in the order of its times, and of its rows where these are equal, behind
/// the last one of the page before.
pub async fn delayed_messages_are_read_in_the_order_of_their_times(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    for (number, seconds) in [50, 10, 40, 10, 30, 10, 20].into_iter().enumerate() {
        let row = message(&address, &format!("{seconds} {number}"))?;
        let parked = message(&address, &format!("parked {number}"))?;
        let due = row.accepted_at.after(Duration::from_secs(seconds));
        let open = vec![
            OpenRow { attempts: 0, due, ..open_row(&row, OpenState::Delayed) },
            open_row(&parked, OpenState::Waiting),
        ];
        owner.write(Commit { messages: vec![row, parked], open, ..owner.commit() }).await?;
    }
    let wanted = ["10 1", "10 3", "10 5", "20 6", "30 4", "40 2", "50 0"].map(String::from);
    for limit in [1, 2, 3, 7, 100] {
        let seen = owner.pages(OpenOf::Delayed, limit).await?;
        same("delayed", seen, (wanted.to_vec(), 7_u32.div_ceil(limit)))?;
    }
    Ok(())
}

/// A page has a bounded size, and at least one message.
pub async fn a_page_of_large_messages_ends_early(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    for number in 0..3 {
        let payload = Bytes::from(vec![b' '; OPEN_PAGE_BYTES * 3 / 4]);
        let row = MessageRow { payload, ..message(&address, &format!("k{number}"))? };
        owner.write(owner.accept(&row)).await?;
    }
    let wanted = (["k0", "k1", "k2"].map(String::from).into(), 2);
    same("pages", owner.pages(OpenOf::Waiting, 100).await?, wanted)
}

/// Below the mark only open rows are read.
pub async fn the_mark_hides_what_is_below_it(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let rows = ["a", "b", "c"].map(|key| message(&address, key));
    let rows = rows.into_iter().collect::<Result<Vec<_>, _>>()?;
    for row in &rows {
        owner.write(owner.accept(row)).await?;
    }
    let first = rows.first().ok_or_else(|| Broken::new("no row"))?;
    let position = Some(Position { sequence: Sequence(1), ordinal: 0 });
    let open = vec![OpenRow { position, ..open_row(first, OpenState::Waiting) }];
    owner.write(Commit { open, ..owner.commit() }).await?;
    let keys = |open: Vec<quarry_ports::OpenMessage>| -> Vec<String> {
        open.iter().map(|open| open.message.key.to_string()).collect()
    };
    same(
        "from the start",
        keys(owner.unfinished(0).await?),
        vec!["a".into(), "b".into(), "c".into()],
    )?;
    same("above 2", keys(owner.unfinished(2).await?), vec!["a".into(), "c".into()])?;
    same("above 9", keys(owner.unfinished(9).await?), vec!["a".into()])
}

/// A takeover of one shard reads nothing of another.
pub async fn another_range_is_not_read(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let other = Owner::load(owner.store.clone(), 3, 1, 1).await?;
    let row = message(&address_in(ShardId(2), "a")?, "k")?;
    let parked = message(&address_in(ShardId(2), "b")?, "k")?;
    let open = vec![open_row(&parked, OpenState::Waiting)];
    let messages = vec![row, parked];
    owner.write(Commit { messages, open, ..owner.commit() }).await?;
    same("own", owner.unfinished(0).await?.len(), 2)?;
    same("other", other.unfinished(0).await?.len(), 0)
}

/// Position, attempts, due time and errors survive.
pub async fn an_open_row_says_what_a_new_owner_must_know(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let address = owner.address("a")?;
    let (first, row) = (message(&address, "first")?, message(&address, "k")?);
    let open = vec![open_row(&row, OpenState::Waiting)];
    let messages = vec![first.clone(), row.clone()];
    owner.write(Commit { messages, open, ..owner.commit() }).await?;
    let found = owner.unfinished(1).await?;
    let [found] = found.as_slice() else { return Err(Broken::new(format!("{found:?}"))) };
    let wanted = open_row(&row, OpenState::Waiting);
    same("message", &found.message, &row)?;
    same("position", found.position, Position { sequence: Sequence(1), ordinal: 1 })?;
    same(
        "attempts",
        (found.attempts, found.lost, found.due, found.state),
        (2, 1, wanted.due, OpenState::Waiting),
    )?;
    same("errors", &found.errors, &wanted.errors)?;
    let plain = owner.unfinished(0).await?;
    let plain = plain.first().ok_or_else(|| Broken::new("the first message is not read"))?;
    same("plain row", (plain.attempts, plain.lost, plain.due), (0, 0, first.accepted_at))
}

/// An open row is written whole each time, the last one counts, the outcome removes it.
pub async fn an_open_row_is_overwritten_and_removed_by_the_outcome(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let open = vec![open_row(&row, OpenState::Waiting)];
    owner.write(Commit { open, ..owner.accept(&row) }).await?;
    let position = Some(Position { sequence: Sequence(1), ordinal: 0 });
    let again = OpenRow {
        position,
        attempts: 3,
        lost: 0,
        errors: Vec::new(),
        ..open_row(&row, OpenState::Waiting)
    };
    owner.write(Commit { open: vec![again], ..owner.commit() }).await?;
    let found = owner.unfinished(2).await?;
    let seen: Vec<_> =
        found.iter().map(|open| (open.attempts, open.lost, open.errors.len())).collect();
    same("overwritten", seen, vec![(3, 0, 0)])?;
    let outcomes = vec![success(&row)];
    owner.write(Commit { outcomes, ..owner.commit() }).await?;
    same("removed", owner.unfinished(0).await?.len(), 0)?;
    let record = owner.store.message(row.message_id).await?.map(|record| record.state);
    let finished = matches!(record, Some(MessageState::Finished { .. }));
    super::holds("finished", finished)
}

/// D4: it stands visibly and no takeover runs it; its entity is known to have it.
pub async fn a_quarantined_message_is_shown_and_not_run(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let (address, other) = (owner.address("a")?, owner.address("b")?);
    let row = message(&address, "k")?;
    let parked = message(&address, "parked")?;
    let open = vec![open_row(&parked, OpenState::Waiting)];
    owner.write(Commit { open, ..owner.accept(&parked) }).await?;
    let open = vec![open_row(&row, OpenState::Quarantined)];
    owner.write(Commit { open, ..owner.accept(&row) }).await?;
    same("not run", owner.unfinished(0).await?.len(), 1)?;
    let aside = owner.pages(OpenOf::Quarantined(address.clone()), 1).await?;
    same("of its entity", aside, (vec!["k".to_owned()], 1))?;
    let aside = owner.pages(OpenOf::Quarantined(other), 1).await?;
    same("of another", aside.0, Vec::new())?;
    let record = owner.store.message(row.message_id).await?.map(|record| record.state);
    let errors = open_row(&row, OpenState::Quarantined).errors;
    same("shown", record, Some(MessageState::Quarantined { attempts: 2, errors }))?;
    let position = Some(Position { sequence: Sequence(2), ordinal: 0 });
    let redriven = OpenRow { position, ..open_row(&row, OpenState::Waiting) };
    owner.write(Commit { open: vec![redriven], ..owner.commit() }).await?;
    same("redriven", owner.unfinished(0).await?.len(), 2)?;
    same("no more", owner.pages(OpenOf::Quarantined(address), 1).await?.0, Vec::new())
}

/// A message that waits for its time is shown as such, and a takeover reads it.
pub async fn a_delayed_message_is_shown_and_read_by_a_takeover(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let open = OpenRow { attempts: 0, errors: Vec::new(), ..open_row(&row, OpenState::Delayed) };
    let due = open.due;
    owner.write(Commit { open: vec![open], ..owner.accept(&row) }).await?;
    let found = owner.unfinished(1).await?;
    let seen: Vec<_> = found.iter().map(|open| (open.due, open.state)).collect();
    same("read", seen, vec![(due, OpenState::Delayed)])?;
    let record = owner.store.message(row.message_id).await?.map(|record| record.state);
    let errors = Vec::new();
    same("shown", record, Some(MessageState::Open { attempts: 0, due, is_delayed: true, errors }))
}

/// An operator's payload is in the open row, and is what runs; the message's own stays, and is what
/// its key stands for (G5).
pub async fn an_edited_message_keeps_what_was_sent(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let open = vec![open_row(&row, OpenState::Quarantined)];
    owner.write(Commit { open, ..owner.accept(&row) }).await?;
    let record = owner.store.message(row.message_id).await?;
    let position = Position { sequence: Sequence(1), ordinal: 0 };
    let seen = record.map(|record| (record.position, record.edited));
    same("not edited", seen, Some((position, None)))?;
    let edited = MessageRow { payload: Bytes::from_static(b"edited"), ..row.clone() };
    let redriven =
        OpenRow { position: Some(position), attempts: 0, ..open_row(&edited, OpenState::Waiting) };
    owner.write(Commit { open: vec![redriven], ..owner.commit() }).await?;
    let found = owner.unfinished(1).await?;
    let seen: Vec<_> =
        found.into_iter().map(|open| (open.message.payload, open.original)).collect();
    same("runs", seen, vec![(edited.payload.clone(), Some(row.payload.clone()))])?;
    let query =
        KeyQuery { address: row.address.clone(), method: row.method.clone(), key: row.key.clone() };
    for found in [
        owner.store.message(row.message_id).await?,
        owner.store.find_keys(vec![query]).await?.into_iter().flatten().next(),
    ] {
        let seen = found.map(|record| (record.message.payload, record.edited));
        same("stands", seen, Some((row.payload.clone(), Some(edited.payload.clone()))))?;
    }
    let outcomes = vec![success(&row)];
    owner.write(Commit { outcomes, ..owner.commit() }).await?;
    let seen = owner.store.message(row.message_id).await?.map(|record| record.edited);
    same("finished", seen, Some(None))
}

/// Its outcome removes it from what is set aside, as from what waits.
pub async fn a_message_that_is_set_aside_can_be_ended(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    let open = vec![open_row(&row, OpenState::Quarantined)];
    owner.write(Commit { open, ..owner.accept(&row) }).await?;
    let ended = Intervention::Drop.failure().map(Outcome::Failure);
    let Some(outcome) = ended else { return Err(Broken::new("a drop has no outcome")) };
    let outcomes = vec![OutcomeRow { outcome: outcome.clone(), ..success(&row) }];
    owner.write(Commit { outcomes, ..owner.commit() }).await?;
    let Some(MessageState::Finished { outcome: seen, .. }) =
        owner.store.message(row.message_id).await?.map(|record| record.state)
    else {
        return Err(Broken::new("it is not finished"));
    };
    same("outcome", seen, outcome)?;
    same("not run", owner.unfinished(0).await?.len(), 0)
}
