//! What is delayed, when there is more of it than memory holds.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};

use quarry_types::{
    Delivery, Due, Envelope, Epoch, Intervention, KeyOrigin, ReplyMode, Sequence, Timestamp,
};

use super::{
    backlog::Source,
    horizon::FIRST,
    tests::{NOW, activate, admit, answers, batch_of, committed, done, message, shard_of},
    *,
};

/// Memory for four delayed messages, read two at a time.
fn limits() -> Limits {
    let backlog = BacklogLimits { page: 2, delayed: 4, ..BacklogLimits::default() };
    Limits { backlog, ..Limits::default() }
}

/// What the owner before left open comes.
pub(super) fn recover(shard: &mut Shard<u32>, page: Vec<Recovered>, out: &mut Vec<Effect<u32>>) {
    let addresses: BTreeSet<_> = page.iter().map(|row| row.envelope.address.clone()).collect();
    for row in page {
        shard.recover_one(NOW, row, Source::Caller, out);
    }
    for address in addresses {
        shard.schedule(&address, NOW, out);
    }
    shard.flush(out);
}

fn after(millis: i64) -> Timestamp {
    Timestamp(NOW.0 + millis)
}

/// The row of commit 3 at `ordinal`, due in `millis`.
fn row(id: &str, ordinal: u32, millis: i64) -> Recovered {
    Recovered {
        envelope: Arc::new(message(id, &format!("{id} {millis}"))),
        original: None,
        accepted_at: after(-5_000),
        position: (Sequence(3), ordinal),
        attempts: 0,
        lost: 0,
        due: after(millis),
        is_delayed: true,
        errors: vec![],
        chunks: 0,
    }
}

fn page(messages: Vec<Recovered>, is_last: bool) -> OpenPage {
    let next = messages.last().map(|last| (last.due, last.position)).filter(|_| !is_last);
    OpenPage { messages, next }
}

fn reads(effects: &[Effect<u32>]) -> Vec<OpenRead> {
    let read = |effect: &Effect<u32>| match effect {
        Effect::ReadOpen(read) if read.which == Which::Delayed => Some(read.clone()),
        _ => None,
    };
    effects.iter().filter_map(read).collect()
}

fn comes(shard: &mut Shard<u32>, read: &OpenRead, page: OpenPage) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.open_read(NOW, read.number, Some(page), &mut out);
    out
}

/// A shard that was taken over, of which nothing is open but what is delayed; what it asks first.
fn taken_over() -> (Shard<u32>, OpenRead) {
    let mut shard = Shard::new(limits(), Epoch(7), (Sequence(50), Sequence(0)), NOW);
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    let [delayed] = &reads(&out)[..] else { panic!("{out:?}") };
    assert_eq!(delayed.after, FIRST);
    for effect in &out {
        if let Effect::ReadOpen(read) = effect
            && read.which == Which::Waiting
        {
            comes(&mut shard, read, OpenPage::default());
        }
    }
    (shard, delayed.clone())
}

fn delayed(id: &str, key: &str, millis: u64) -> Envelope {
    Envelope { reply: ReplyMode::Accepted, due: Due::After(millis), ..message(id, key) }
}

/// What came of it when nothing more was to be done.
#[derive(Default)]
struct Played {
    /// Keys in the order handled.
    handled: Vec<String>,
    /// Who was told what went well.
    told: Vec<u32>,
    /// Pages of what is delayed that were asked for.
    reads: Vec<OpenRead>,
}

/// Performs `todo` and all that follows but reads; commits are numbered from `sequence` on.
fn play(shard: &mut Shard<u32>, mut todo: Vec<Effect<u32>>, mut sequence: u64) -> Played {
    let mut played = Played::default();
    while !todo.is_empty() {
        let next = match todo.remove(0) {
            Effect::Activate(address, _) => activate(shard, address.id.as_str()),
            Effect::Run(address, work) => {
                played.handled.push(work.envelope.key.to_string());
                done(shard, address.id.as_str(), work.run)
            }
            Effect::Commit(batch) => {
                sequence += 1;
                committed(shard, batch.ticket, sequence)
            }
            Effect::ReadOpen(read) => {
                played.reads.extend(reads(&[Effect::ReadOpen(read)]));
                continue;
            }
            Effect::Answer { waiter, result: Ok(_), .. } => {
                played.told.push(waiter);
                continue;
            }
            _ => continue,
        };
        todo.extend(next);
    }
    played
}

fn tick(shard: &mut Shard<u32>, millis: i64) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.tick(after(millis), &mut out);
    out
}

/// A shard with messages due in one, two, three and four seconds in memory, and one due in five that
/// was left to the store.
fn with_five() -> Shard<u32> {
    let mut shard = shard_of(limits());
    for number in 1..=5 {
        let envelope = delayed("c1", &format!("k{number}"), 1_000 * number);
        let out = admit(&mut shard, envelope, 1);
        assert_eq!(play(&mut shard, out, number - 1).told, [1], "it is accepted");
    }
    assert_eq!(shard.pending_messages(), 4, "the last one is left to the store");
    shard
}

#[test]
fn a_takeover_holds_the_next_that_are_due_and_reads_on_when_they_are_handled() {
    let (mut shard, read) = taken_over();
    let out = comes(&mut shard, &read, page(vec![row("c1", 7, 100), row("c2", 2, 200)], false));
    let [second] = &play(&mut shard, out, 50).reads[..] else { panic!("there is room") };
    assert_eq!(second.after, (after(200), (Sequence(3), 2)));
    let rows = vec![row("c3", 5, 300), row("c4", 1, 301)];
    let out = comes(&mut shard, second, page(rows, false));
    assert!(play(&mut shard, out, 50).reads.is_empty(), "memory is full");
    assert_eq!((shard.pending_messages(), shard.next_wake()), (4, Some(after(100))));
    let out = tick(&mut shard, 200);
    let played = play(&mut shard, out, 50);
    assert_eq!(played.handled, ["c1 100", "c2 200"]);
    let [third] = &played.reads[..] else { panic!("there is room again") };
    assert_eq!(third.after, (after(301), (Sequence(3), 1)));
}

#[test]
fn of_too_many_the_last_are_left_to_the_store_and_read_in_their_turn() {
    let mut shard = with_five();
    let later = admit(&mut shard, delayed("c1", "k6", 9_000), 6);
    assert_eq!(play(&mut shard, later, 5).told, [6], "it is accepted");
    let first = admit(&mut shard, delayed("c1", "k0", 10), 7);
    assert_eq!(play(&mut shard, first, 6).told, [7]);
    assert_eq!((shard.pending_messages(), shard.next_wake()), (4, Some(after(10))));
    let mut played = Played::default();
    for (sequence, millis) in [(7, 10), (10, 1_000), (20, 2_000)] {
        let out = tick(&mut shard, millis);
        let next = play(&mut shard, out, sequence);
        played.handled.extend(next.handled);
        played.reads.extend(next.reads);
    }
    assert_eq!(played.handled, ["k0", "k1", "k2"]);
    let [read] = &played.reads[..] else { panic!("the rest is read: {:?}", played.reads) };
    assert_eq!(read.after, (after(4_000), (Sequence(3), u32::MAX)), "just before what was left");
}

#[test]
fn what_waits_for_a_page_goes_on_when_memory_is_filled_before_it_comes() {
    let (mut shard, read) = taken_over();
    let new = admit(&mut shard, message("c1", "new"), 1);
    assert!(play(&mut shard, new, 50).handled.is_empty(), "what is delayed is not known");
    let mut out = Vec::new();
    shard.open_read(NOW, read.number, None, &mut out);
    assert!(play(&mut shard, out, 50).handled.is_empty(), "it will be read again");
    for number in 1..=3 {
        admit(&mut shard, delayed("c2", &format!("k{number}"), 1_000), 2);
    }
    let out = tick(&mut shard, 499);
    assert!(play(&mut shard, out, 50).handled.is_empty(), "it will be read again");
    let out = tick(&mut shard, 500);
    let played = play(&mut shard, out, 50);
    assert!(played.reads.is_empty(), "there is no room");
    assert_eq!(played.handled, ["new"]);
}

#[test]
fn nothing_overtakes_what_was_due_before_it_and_is_not_read() {
    let (mut shard, read) = taken_over();
    let new = admit(&mut shard, message("c1", "new"), 1);
    assert!(play(&mut shard, new, 50).handled.is_empty(), "what is delayed is not known");
    let out = comes(&mut shard, &read, page(vec![row("c1", 1, -50), row("c2", 2, 900)], false));
    assert_eq!(play(&mut shard, out, 50).handled, ["c1 -50", "new"]);
}

#[test]
fn where_memory_is_full_of_what_is_due_others_go_on() {
    let (mut shard, read) = taken_over();
    let hot = |ordinal: u32| row("hot", ordinal, i64::from(ordinal) - 100);
    let out = comes(&mut shard, &read, page(vec![hot(0), hot(1)], false));
    let [second] = &reads(&out)[..] else { panic!("there is room") };
    comes(&mut shard, second, page(vec![hot(2), hot(3)], false));
    let new = admit(&mut shard, message("c9", "new"), 1);
    assert_eq!(play(&mut shard, new, 50).handled, ["new"]);
}

#[test]
fn what_is_left_to_the_store_can_be_waited_for_and_cancelled() {
    let mut shard = with_five();
    let left = delayed("c1", "k5", 5_000);
    let again = Envelope {
        message_id: message("c1", "another id").message_id,
        key_origin: KeyOrigin::Client,
        reply: ReplyMode::Outcome,
        ..left.clone()
    };
    let id = again.message_id;
    admit(&mut shard, again, 8);
    let found = Found {
        message_id: left.message_id,
        payload: left.payload.clone(),
        digest: None,
        state: FoundState::Delayed,
    };
    let mut out = Vec::new();
    shard.looked_up(NOW, id, Ok(Some(found)), &mut out);
    assert!(answers(&out).is_empty(), "who asks for its outcome waits");
    let tenant = left.address.tenant.clone();
    shard.intervene(NOW, left.message_id, tenant.clone(), Intervention::Cancel, 9, &mut out);
    assert_eq!(out, [Effect::Fetch(left.message_id)]);
    out.clear();
    let state = FetchedState::Open(Recovered {
        envelope: Arc::new(left.clone()),
        position: (Sequence(5), 0),
        due: after(5_000),
        ..row("c1", 0, 0)
    });
    shard.fetched(NOW, left.message_id, &Ok(Some(Fetched { tenant, state })), &mut out);
    let mut told = play(&mut shard, out, 5).told;
    told.sort_unstable();
    assert_eq!(told, [8, 9], "both are told its outcome");
    assert_eq!(shard.pending_messages(), 4);
}

#[test]
fn what_an_operator_could_not_end_is_read_again_before_what_is_due_later_runs() {
    let (mut shard, read) = taken_over();
    let first = row("c1", 1, 100);
    let (id, tenant) = (first.envelope.message_id, first.envelope.address.tenant.clone());
    let mut out = Vec::new();
    shard.intervene(NOW, id, tenant.clone(), Intervention::Cancel, 9, &mut out);
    out.clear();
    let state = FetchedState::Open(first.clone());
    shard.fetched(NOW, id, &Ok(Some(Fetched { tenant, state })), &mut out);
    let ticket = batch_of(&out).ticket;
    let rows = vec![first.clone(), row("c1", 2, 200)];
    let out = comes(&mut shard, &read, page(rows.clone(), false));
    let [second] = &reads(&out)[..] else { panic!("there is room") };
    let out = comes(&mut shard, second, page(vec![row("c3", 5, 300), row("c4", 1, 301)], false));
    assert!(reads(&out).is_empty(), "memory is full");
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".to_string());
    shard.commit_failed(NOW, ticket, away, &mut out);
    let [again] = &reads(&out)[..] else { panic!("it is read again: {out:?}") };
    assert!(again.after < (after(100), (Sequence(3), 1)), "{again:?}");
    let out = tick(&mut shard, 250);
    assert!(play(&mut shard, out, 50).handled.is_empty(), "the first comes first");
    let mut out = Vec::new();
    shard.open_read(after(250), again.number, Some(page(rows, false)), &mut out);
    assert_eq!(play(&mut shard, out, 50).handled, ["c1 100", "c1 200"]);
}

#[test]
fn a_query_behind_what_was_sent_before_and_waits_for_its_time_goes_on() {
    let (mut shard, read) = taken_over();
    let out = comes(&mut shard, &read, page(vec![row("c9", 1, 500)], false));
    let [second] = &reads(&out)[..] else { panic!("there is room") };
    let stored = row("c1", 1, 900);
    let again = Envelope {
        message_id: message("c1", "another id").message_id,
        key_origin: KeyOrigin::Client,
        ..Envelope::clone(&stored.envelope)
    };
    admit(&mut shard, again, 1);
    let (query, mut out) = (Arc::new(message("c1", "query")), Vec::new());
    shard.admit(NOW, query, Delivery::VolatileLocal, 2, &mut out);
    assert_eq!(out, [], "it waits for what came before it");
    let out = comes(&mut shard, second, page(vec![stored], true));
    assert!(matches!(out[..], [Effect::Activate(..)]), "{out:?}");
}
