//! What is open in the store and not in memory.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};

use quarry_types::{Envelope, Epoch, Intervention, KeyOrigin, ReplyMode, Sequence, Timestamp};

use super::{
    tests::{NOW, activate, address, admit, answers, batch_of, committed, done, message, shard_of},
    *,
};

/// Narrow bounds.
fn limits() -> Limits {
    let backlog = BacklogLimits { page: 4, window: 6, of_entity: 2, held: 3, delayed: 3 };
    Limits { backlog, ..Limits::default() }
}

/// A shard that was taken over behind 50 commits, all of them open, and what it asks first.
fn taken_over() -> (Shard<u32>, OpenRead) {
    let mut shard = Shard::new(limits(), Epoch(7), (Sequence(50), Sequence(0)), NOW);
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    let reads: Vec<_> = out
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::ReadOpen(read) => Some(read),
            _ => None,
        })
        .collect();
    let [delayed, read] = &reads[..] else { panic!("{reads:?}") };
    assert_eq!(delayed.which, Which::Delayed);
    assert_eq!((&read.which, read.after), (&Which::Waiting, at(0, u32::MAX)));
    let mut out = Vec::new();
    shard.open_read(NOW, delayed.number, Some(OpenPage::default()), &mut out);
    (shard, read.clone())
}

fn at(sequence: u64, ordinal: u32) -> Cursor {
    (Timestamp(0), (Sequence(sequence), ordinal))
}

fn read_of(effects: &[Effect<u32>]) -> Option<OpenRead> {
    effects.iter().find_map(|effect| match effect {
        Effect::ReadOpen(read) => Some(read.clone()),
        _ => None,
    })
}

/// The row of commit `sequence`, to the entity `id`.
fn row(id: &str, sequence: u64) -> Recovered {
    Recovered {
        envelope: Arc::new(message(id, &format!("{id}-{sequence}"))),
        original: None,
        accepted_at: Timestamp(NOW.0 - 1_000 + i64::try_from(sequence).unwrap()),
        position: (Sequence(sequence), 0),
        attempts: 0,
        lost: 0,
        due: Timestamp(0),
        is_delayed: false,
        errors: vec![],
        chunks: 0,
    }
}

fn page(rows: &[(&str, u64)], is_last: bool) -> OpenPage {
    let messages: Vec<_> = rows.iter().map(|(id, sequence)| row(id, *sequence)).collect();
    let last = messages.last().map(|last| (Timestamp(0), last.position));
    OpenPage { messages, next: last.filter(|_| !is_last) }
}

fn comes(shard: &mut Shard<u32>, read: &OpenRead, page: OpenPage) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.open_read(NOW, read.number, Some(page), &mut out);
    out
}

/// What came of it when nothing more was to be done.
#[derive(Default)]
struct Played {
    /// Keys in the order handled.
    handled: Vec<String>,
    /// Who was told what went well.
    told: Vec<u32>,
    marks: Vec<u64>,
}

/// Performs `todo` and all that follows. `stored` is what the store has of entities that are read
/// by themselves.
fn play(shard: &mut Shard<u32>, mut todo: Vec<Effect<u32>>, stored: &[(&str, u64)]) -> Played {
    let mut played = Played::default();
    while !todo.is_empty() {
        let effect = todo.remove(0);
        todo.extend(perform(shard, effect, stored, &mut played));
    }
    played
}

fn perform(
    shard: &mut Shard<u32>,
    effect: Effect<u32>,
    stored: &[(&str, u64)],
    played: &mut Played,
) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    match effect {
        Effect::Activate(address, _) => return activate(shard, address.id.as_str()),
        Effect::Run(address, work) => {
            played.handled.push(work.envelope.key.to_string());
            return done(shard, address.id.as_str(), work.run);
        }
        Effect::Commit(batch) => {
            played.marks.push(batch.low_water.0);
            let sequence = 50 + u64::try_from(played.marks.len()).unwrap();
            return committed(shard, batch.ticket, sequence);
        }
        Effect::ReadOpen(OpenRead { which: Which::Entity(of), after, number, .. }) => {
            let is_left =
                |(id, at): &&(&str, u64)| address(id) == of && (Sequence(*at), 0) > after.1;
            let left: Vec<_> = stored.iter().filter(is_left).copied().collect();
            shard.open_read(NOW, number, Some(page(&left, true)), &mut out);
        }
        Effect::Answer { waiter, result: Ok(_), .. } => played.told.push(waiter),
        _ => {}
    }
    out
}

#[test]
fn a_takeover_reads_no_more_than_memory_has_room_for() {
    let (mut shard, read) = taken_over();
    let rows = [("c1", 1), ("c2", 2), ("c3", 3), ("c4", 4)];
    let mut todo = comes(&mut shard, &read, page(&rows, false));
    let second = read_of(&todo).expect("there is room for another page");
    assert_eq!(second.after, at(4, 0));
    let rows = [("c5", 5), ("c6", 6), ("c7", 7), ("c8", 8)];
    todo.extend(comes(&mut shard, &second, page(&rows, false)));
    assert_eq!(shard.pending_messages(), 8, "a window and a page");
    let reads = todo.iter().filter(|effect| matches!(effect, Effect::ReadOpen(_)));
    assert_eq!(reads.count(), 1, "no more is read");
    let batch = batch_of(&todo);
    assert_eq!(batch.low_water, Sequence(0), "no mark passes what is not read");
    assert_eq!(play(&mut shard, todo, &[]).handled.len(), 8);
    assert_eq!(shard.pending_messages(), 0);
}

#[test]
fn a_new_message_runs_at_once_behind_the_old_of_its_entity() {
    let (mut shard, read) = taken_over();
    let mut todo = comes(&mut shard, &read, page(&[("c1", 1), ("c2", 2)], false));
    let new = admit(&mut shard, message("c9", "new"), 1);
    let of = read_of(&new).expect("its entity is read by itself");
    assert_eq!((of.which.clone(), of.after), (Which::Entity(address("c9")), at(2, 0)));
    assert!(!new.iter().any(|e| matches!(e, Effect::Activate(..))), "it waits for what is old");
    todo.extend(new);
    let handled = play(&mut shard, todo, &[("c9", 30), ("c9", 40)]).handled;
    let of_entity: Vec<_> = handled.iter().filter(|key| !key.starts_with("c1-")).collect();
    assert_eq!(of_entity, ["c2-2", "c9-30", "c9-40", "new"]);
}

#[test]
fn an_entity_with_more_than_its_share_holds_nobody_up() {
    let (mut shard, read) = taken_over();
    let rows = [("hot", 1), ("hot", 2), ("hot", 3), ("c2", 4)];
    let mut todo = comes(&mut shard, &read, page(&rows, false));
    assert_eq!(shard.pending_messages(), 3, "two of the hot one, and the other");
    let scan = read_of(&todo).expect("the scan goes on");
    assert_eq!(scan.which, Which::Waiting);
    todo.extend(comes(&mut shard, &scan, page(&[("hot", 5), ("c3", 6)], true)));
    let played = play(&mut shard, todo, &[("hot", 3), ("hot", 5)]);
    let hot: Vec<_> = played.handled.iter().filter(|key| key.starts_with("hot")).collect();
    assert_eq!(hot, ["hot-1", "hot-2", "hot-3", "hot-5"]);
    assert_eq!(played.handled.len(), 6);
    assert!(played.marks.is_sorted() && played.marks.last() > Some(&6), "{:?}", played.marks);
}

#[test]
fn who_asks_again_for_what_is_not_read_gets_its_outcome() {
    let (mut shard, read) = taken_over();
    let mut todo = comes(&mut shard, &read, page(&[("c1", 1)], false));
    let old = row("c9", 30);
    let again = Envelope {
        message_id: message("c9", "another id").message_id,
        key_origin: KeyOrigin::Client,
        ..Envelope::clone(&old.envelope)
    };
    let id = again.message_id;
    let asked = admit(&mut shard, again, 1);
    let of = read_of(&asked).expect("its entity is read");
    let found = Found {
        message_id: old.envelope.message_id,
        payload: old.envelope.payload.clone(),
        digest: None,
        state: FoundState::Open,
    };
    let mut out = Vec::new();
    shard.looked_up(NOW, id, Ok(Some(found)), &mut out);
    assert!(answers(&out).is_empty(), "it waits");
    todo.extend(comes(&mut shard, &of, page(&[("c9", 30)], true)));
    let played = play(&mut shard, todo, &[]);
    assert_eq!((played.handled, played.told), (vec!["c1-1".into(), "c9-30".into()], vec![1]));
}

#[test]
fn what_a_full_memory_leaves_to_the_store_is_read_in_its_turn() {
    let mut shard = shard_of(limits());
    let one_way = |key: &str| Envelope { reply: ReplyMode::Accepted, ..message("c1", key) };
    let mut todo = admit(&mut shard, one_way("k0"), 0);
    let first = batch_of(&todo);
    for number in 1..10 {
        todo.extend(admit(&mut shard, one_way(&format!("k{number}")), number));
    }
    let second = batch_of(&committed(&mut shard, first.ticket, 1));
    assert_eq!(second.accepts.len(), 9);
    let mut accepted = committed(&mut shard, second.ticket, 2);
    assert_eq!(answers(&accepted).len(), 9, "all are accepted");
    assert!(shard.pending_messages() <= 3, "{} in memory", shard.pending_messages());
    accepted.extend(admit(&mut shard, one_way("k10"), 10));
    assert!(batch_of(&accepted).low_water <= Sequence(1), "no mark passes what was left");
}

#[test]
fn a_page_that_could_not_be_read_is_asked_for_again() {
    let (mut shard, read) = taken_over();
    let mut out = Vec::new();
    shard.open_read(NOW, read.number, None, &mut out);
    assert_eq!(read_of(&out), None);
    let later = shard.next_wake().expect("it is tried again");
    shard.tick(later, &mut out);
    assert_eq!(read_of(&out).map(|read| read.after), Some(read.after));
}

#[test]
fn what_is_not_read_can_be_cancelled_and_is_not_run_then() {
    let (mut shard, read) = taken_over();
    let mut todo = comes(&mut shard, &read, page(&[("c1", 1)], false));
    let old = row("c9", 30);
    let id = old.envelope.message_id;
    let tenant = old.envelope.address.tenant.clone();
    let mut out = Vec::new();
    shard.intervene(NOW, id, tenant.clone(), Intervention::Cancel, 5, &mut out);
    assert_eq!(out, [Effect::Fetch(id)]);
    out.clear();
    let found = Fetched { tenant, state: FetchedState::Open(old) };
    shard.fetched(NOW, id, &Ok(Some(found)), &mut out);
    let new = admit(&mut shard, message("c9", "new"), 1);
    let of = read_of(&new).expect("its entity is read");
    todo.extend(out);
    todo.extend(new);
    todo.extend(comes(&mut shard, &of, page(&[("c9", 30)], true)));
    let played = play(&mut shard, todo, &[]);
    assert!(!played.handled.contains(&"c9-30".to_string()), "{:?}", played.handled);
    assert_eq!(played.told, [5, 1]);
}

#[test]
fn a_page_that_may_lack_what_was_left_meanwhile_keeps_no_room_with_what_cannot_run() {
    let backlog = BacklogLimits { page: 4, window: 2, of_entity: 2, held: 0, delayed: 3 };
    let limits = Limits { backlog, ..Limits::default() };
    let mut shard = Shard::new(limits, Epoch(7), (Sequence(50), Sequence(0)), NOW);
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    let waiting = |read: &OpenRead| read.which == Which::Waiting;
    let reads = out.iter().filter_map(|effect| read_of(core::slice::from_ref(effect)));
    let (scan, delayed): (Vec<_>, Vec<_>) = reads.partition(waiting);
    comes(&mut shard, &delayed[0], OpenPage::default());
    for (id, sequence) in [("c1", 51), ("c2", 52)] {
        let one_way =
            Envelope { reply: ReplyMode::Accepted, ..message(id, &format!("{id}-{sequence}")) };
        let ticket = batch_of(&admit(&mut shard, one_way, 1)).ticket;
        committed(&mut shard, ticket, sequence);
    }
    assert_eq!(shard.pending_messages(), 0, "both are left to the store");
    let effects = comes(&mut shard, &scan[0], page(&[("c1", 51), ("c2", 52)], true));
    assert_eq!(shard.pending_messages(), 2, "there is no room for another page");
    assert_eq!(batch_of(&effects).open.len(), 2, "both are to run");
}
