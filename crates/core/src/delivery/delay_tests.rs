//! Given, when, then effects: messages that wait for their time.

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};
use core::time::Duration;

use quarry_types::{
    Answer, CallError, Due, Envelope, KeyOrigin, RefusalCode, ReplyMode, Sequence, Timestamp,
};

use super::{
    horizon_tests::recover,
    tests::{
        NOW, activate, address, admit, answers, batch_of, committed, done, message, run_of, shard,
        shard_of,
    },
    *,
};

fn delayed(id: &str, key: &str, millis: u64) -> Envelope {
    let due = Due::After(millis);
    Envelope { reply: ReplyMode::Accepted, due, ..message(id, key) }
}

fn after(millis: i64) -> Timestamp {
    Timestamp(NOW.0 + millis)
}

fn tick(shard: &mut Shard<u32>, millis: i64) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.tick(after(millis), &mut out);
    out
}

fn recovered(key: &str, ordinal: u32, joins: i64, is_delayed: bool) -> Recovered {
    Recovered {
        envelope: Arc::new(message("c1", key)),
        original: None,
        accepted_at: if is_delayed { NOW } else { after(joins) },
        position: (Sequence(3), ordinal),
        attempts: 0,
        lost: 0,
        due: after(joins),
        is_delayed,
        errors: vec![],
        chunks: 0,
    }
}

fn then(mut first: Vec<Effect<u32>>, next: Vec<Effect<u32>>) -> Vec<Effect<u32>> {
    first.extend(next);
    first
}

#[test]
fn a_delay_counts_from_the_latest_that_store_time_may_be() {
    let at_its_time = Envelope { due: Due::At(after(300)), ..delayed("c1", "k2", 0) };
    for (envelope, due) in [(delayed("c1", "k1", 250), 290), (at_its_time, 300)] {
        let mut shard = shard().with_clock_behind(Duration::from_millis(40));
        let batch = batch_of(&admit(&mut shard, envelope, 1));
        assert_eq!(batch.open[0].due, after(due));
    }
    let mut shard = shard().with_clock_behind(Duration::from_millis(40));
    let at_once = batch_of(&admit(&mut shard, delayed("c1", "k3", 0), 1));
    assert_eq!(at_once.accepts.len(), 1);
    assert!(at_once.open.is_empty(), "without a delay nothing waits");
}

#[test]
fn a_delayed_message_is_accepted_at_once_and_joins_the_queue_when_it_is_due() {
    let mut shard = shard();
    let batch = batch_of(&admit(&mut shard, delayed("c1", "k1", 5_000), 1));
    assert_eq!((batch.accepts.len(), batch.open.len()), (1, 1));
    assert_eq!((batch.open[0].state, batch.open[0].due), (OpenRecordState::Delayed, after(5_000)));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(matches!(answers(&effects)[..], [(1, Ok(Answer::Accepted { replayed: false, .. }))]));
    assert_eq!(shard.next_wake(), Some(after(5_000)));
    assert!(tick(&mut shard, 4_999).is_empty(), "never early");
    assert_eq!(tick(&mut shard, 5_000), [Effect::Activate(address("c1"), 1)]);
    let work = run_of(&activate(&mut shard, "c1"));
    assert_eq!((work.envelope.key.as_str(), work.attempt), ("k1", 1));
}

#[test]
fn a_delayed_message_holds_back_neither_later_ones_nor_the_low_water_mark() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "late", 5_000), 1)).ticket;
    committed(&mut shard, ticket, 1);
    admit(&mut shard, message("c1", "soon"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    assert_eq!(work.envelope.key.as_str(), "soon");
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    assert_eq!(batch.low_water, Sequence(1));
    committed(&mut shard, batch.ticket, 2);
    assert_eq!(run_of(&tick(&mut shard, 5_000)).envelope.key.as_str(), "late");
}

#[test]
fn what_is_admitted_after_a_message_became_due_comes_behind_it() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "late", 10), 1)).ticket;
    committed(&mut shard, ticket, 1);
    let mut out = Vec::new();
    let envelope = Arc::new(message("c1", "later"));
    shard.admit(after(10), envelope, quarry_types::Delivery::Durable, 2, &mut out);
    assert_eq!(run_of(&activate(&mut shard, "c1")).envelope.key.as_str(), "late");
}

#[test]
fn of_two_messages_due_at_once_the_first_admitted_runs_first() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "k2", 10), 1)).ticket;
    admit(&mut shard, delayed("c1", "k1", 10), 2);
    let ticket = batch_of(&committed(&mut shard, ticket, 1)).ticket;
    committed(&mut shard, ticket, 2);
    tick(&mut shard, 10);
    assert_eq!(run_of(&activate(&mut shard, "c1")).envelope.key.as_str(), "k2");
}

#[test]
fn a_second_send_with_the_key_attaches_to_what_waits_for_its_time() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "k1", 10), 1)).ticket;
    assert!(admit(&mut shard, delayed("c1", "k1", 10), 2).is_empty());
    let effects = committed(&mut shard, ticket, 1);
    assert_eq!(answers(&effects).len(), 2);
    let effects = admit(&mut shard, delayed("c1", "k1", 10), 3);
    assert!(matches!(answers(&effects)[..], [(3, Ok(Answer::Accepted { replayed: true, .. }))]));
}

#[test]
fn what_waits_for_its_time_counts_as_in_the_mailbox() {
    let mut limits = Limits::default();
    limits.default_type.mailbox = 2;
    let mut shard = shard_of(limits);
    admit(&mut shard, delayed("c1", "k1", 10), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let full = |effects: &[Effect<u32>]| {
        matches!(answers(effects)[..],
            [(_, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::Overloaded)
    };
    assert!(full(&admit(&mut shard, delayed("c1", "k3", 10), 3)));
    assert!(full(&admit(&mut shard, message("c1", "k4"), 4)));
    assert!(!full(&admit(&mut shard, delayed("c2", "k5", 10), 5)));
}

#[test]
fn a_delay_beyond_the_longest_is_refused() {
    let mut shard = shard();
    let millis = u64::try_from(Due::LONGEST.as_millis()).unwrap();
    let effects = admit(&mut shard, delayed("c1", "k1", millis + 1), 1);
    assert!(matches!(answers(&effects)[..],
        [(1, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::InvalidPayload));
    assert!(answers(&admit(&mut shard, delayed("c1", "k2", millis), 2)).is_empty());
}

#[test]
fn a_clients_key_is_looked_up_before_the_message_waits() {
    let mut shard = shard();
    let envelope = Envelope { key_origin: KeyOrigin::Client, ..delayed("c1", "k1", 10) };
    let id = envelope.message_id;
    assert!(matches!(admit(&mut shard, envelope, 1)[..], [Effect::Lookup(_)]));
    admit(&mut shard, message("c1", "k2"), 2);
    assert_eq!(run_of(&activate(&mut shard, "c1")).envelope.key.as_str(), "k2");
    let mut out = Vec::new();
    shard.looked_up(NOW, id, Ok(None), &mut out);
    assert_eq!(batch_of(&out).open[0].state, OpenRecordState::Delayed);
}

#[test]
fn a_row_that_could_not_be_written_refuses_the_delayed_message_and_no_other() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "k1", 10), 1)).ticket;
    admit(&mut shard, delayed("c1", "k2", 10), 2);
    let mut out = Vec::new();
    shard.commit_failed(NOW, ticket, CommitFailure::Unavailable("away".to_string()), &mut out);
    assert!(matches!(answers(&out)[..],
        [(1, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::StoreUnavailable));
    let batch = batch_of(&out);
    assert_eq!(batch.accepts[0].envelope.key.as_str(), "k2");
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(matches!(answers(&effects)[..], [(2, Ok(Answer::Accepted { .. }))]));
}

#[test]
fn a_rejected_commit_is_split_until_the_delayed_culprit_is_refused_alone() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c0", "k0") };
    let first = batch_of(&admit(&mut shard, one_way, 9)).ticket;
    for (key, waiter) in [("k1", 1), ("k2", 2)] {
        admit(&mut shard, delayed("c1", key, 10), waiter);
    }
    let both = batch_of(&committed(&mut shard, first, 1));
    assert_eq!(both.accepts.len(), 2);
    let rejected = || CommitFailure::Rejected("bad".to_string());
    let mut out = Vec::new();
    shard.commit_failed(NOW, both.ticket, rejected(), &mut out);
    let alone = batch_of(&out);
    assert_eq!((alone.accepts.len(), answers(&out).len()), (1, 0));
    let mut out = Vec::new();
    shard.commit_failed(NOW, alone.ticket, rejected(), &mut out);
    assert!(matches!(answers(&out)[..], [(1, Err(CallError::Refused(_)))]));
    assert_eq!(batch_of(&out).accepts[0].envelope.key.as_str(), "k2");
}

#[test]
fn after_a_takeover_what_is_not_due_waits_and_the_rest_keeps_its_place() {
    let mut shard = shard();
    let page = vec![
        recovered("due between", 0, -50, true),
        recovered("not due", 1, 70, true),
        recovered("first", 2, -100, false),
        recovered("last", 3, -10, false),
    ];
    let mut todo = Vec::new();
    recover(&mut shard, page, &mut todo);
    let (mut order, mut sequence) = (Vec::new(), 10);
    while !todo.is_empty() {
        todo = match todo.remove(0) {
            Effect::Activate(..) => then(todo, activate(&mut shard, "c1")),
            Effect::Run(_, work) => {
                order.push(work.envelope.key.to_string());
                then(todo, done(&mut shard, "c1", work.run))
            }
            Effect::Commit(batch) => {
                sequence += 1;
                then(todo, committed(&mut shard, batch.ticket, sequence))
            }
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(order, ["first", "due between", "last"]);
    assert_eq!((shard.pending_messages(), shard.next_wake()), (1, Some(after(70))));
}

#[test]
fn a_closing_shard_leaves_what_waits_to_the_next_owner() {
    let mut shard = shard();
    let ticket = batch_of(&admit(&mut shard, delayed("c1", "k1", 10), 1)).ticket;
    committed(&mut shard, ticket, 1);
    let mut out = Vec::new();
    shard.close(&mut out);
    assert_eq!(out, [Effect::Closed]);
    assert_eq!(shard.next_wake(), None);
}

/// A message is handled, the next one runs, one joins late that was due before both, and the commit of the
/// first fails: whether the first was delayed or not, it runs again before the second.
fn put_back(first_is_delayed: bool) {
    let mut shard = shard();
    let one_way = |id: &str, key| Envelope { reply: ReplyMode::Accepted, ..message(id, key) };
    let at = |shard: &mut Shard<u32>, millis, envelope: Envelope| {
        let (envelope, mut out) = (Arc::new(envelope), Vec::new());
        shard.admit(after(millis), envelope, quarry_types::Delivery::Durable, 3, &mut out);
        out
    };
    let mut earlier = 0;
    if first_is_delayed {
        let ticket = batch_of(&admit(&mut shard, delayed("c1", "k1", 15), 1)).ticket;
        committed(&mut shard, ticket, 1);
        earlier = 1;
    }
    let first = batch_of(&admit(&mut shard, one_way("c2", "other"), 1)).ticket;
    admit(&mut shard, delayed("c1", "late", 10), 2);
    if !first_is_delayed {
        at(&mut shard, 20, one_way("c1", "k1"));
    }
    at(&mut shard, 20, one_way("c1", "k2"));
    let k1 = run_of(&activate(&mut shard, "c1"));
    let rows = batch_of(&committed(&mut shard, first, earlier + 1));
    assert_eq!(rows.accepts.len(), if first_is_delayed { 2 } else { 3 }, "late is not durable");
    let k2 = run_of(&done(&mut shard, "c1", k1.run));
    assert_eq!((k1.envelope.key.as_str(), k2.envelope.key.as_str()), ("k1", "k2"));
    let outcome = batch_of(&committed(&mut shard, rows.ticket, earlier + 2));
    assert_eq!(outcome.finishes.len(), 1);
    tick(&mut shard, 25);
    let (away, mut out) = (CommitFailure::Unavailable("away".to_string()), Vec::new());
    shard.commit_failed(after(26), outcome.ticket, away, &mut out);
    tick(&mut shard, 5_000);
    let again = run_of(&activate(&mut shard, "c1"));
    assert_eq!(again.envelope.key.as_str(), "k1");
    let next = run_of(&done(&mut shard, "c1", again.run));
    assert_eq!(next.envelope.key.as_str(), "k2");
}

#[test]
fn what_is_put_back_stands_before_what_came_after_it_whatever_joined_late_between() {
    put_back(false);
    put_back(true);
}
