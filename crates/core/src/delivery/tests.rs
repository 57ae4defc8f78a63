//! Given, when, then effects.

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Callers, Delivery, Due, Envelope, Epoch, Failure, IdempotencyKey,
    Keep, KeyOrigin, MessageId, Method, Outcome, RefusalCode, ReplyMode, Sequence, Tenant,
    Timestamp, UnknownCode,
};

use super::{entity::Activation, horizon_tests::recover, *};

pub(super) const NOW: Timestamp = Timestamp(1_000_000);

/// A shard whose outbox was read.
pub(super) fn shard_of(limits: Limits) -> Shard<u32> {
    let mut shard = Shard::new(limits, Epoch(7), (Sequence(0), Sequence(0)), NOW);
    let mut out = Vec::new();
    shard.tick(NOW, &mut out);
    assert!(matches!(out[..], [Effect::ReadSends { .. }]));
    out.clear();
    shard.sends_read(NOW, Some(SendPage::default()), &mut out);
    assert!(out.is_empty());
    shard
}

pub(super) fn shard() -> Shard<u32> {
    shard_of(Limits::default())
}

pub(super) fn address(id: &str) -> Address {
    Address::parse(Tenant::default_tenant(), &alloc::format!("Counter/{id}")).unwrap()
}

pub(super) fn message(id: &str, key: &str) -> Envelope {
    let address = address(id);
    let random = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    Envelope {
        message_id: MessageId::new(NOW, address.slot(), random),
        address,
        method: Method::new("add").unwrap(),
        payload: Bytes::from_static(b"1"),
        key: IdempotencyKey::new(key).unwrap(),
        key_origin: KeyOrigin::Gateway,
        send_count: 0,
        reply: ReplyMode::Outcome,
        due: Due::Now,
        keep: Keep::Everything,
        trace_parent: None,
        callers: Callers::none(),
    }
}

pub(super) fn admit(shard: &mut Shard<u32>, envelope: Envelope, waiter: u32) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.admit(NOW, Arc::new(envelope), Delivery::Durable, waiter, &mut out);
    out
}

pub(super) fn activate(shard: &mut Shard<u32>, id: &str) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let Activation::Loading(activation) = shard.entities[&address(id)].activation else {
        panic!("{id} is not loading")
    };
    shard.activated(NOW, &address(id), activation, Ok(()), &mut out);
    out
}

pub(super) fn run_of(effects: &[Effect<u32>]) -> Work {
    let work = effects.iter().find_map(|effect| match effect {
        Effect::Run(_, work) => Some(work.clone()),
        _ => None,
    });
    work.unwrap_or_else(|| panic!("nothing runs: {effects:?}"))
}

pub(super) fn batch_of(effects: &[Effect<u32>]) -> Batch {
    let batch = effects.iter().find_map(|effect| match effect {
        Effect::Commit(batch) => Some(batch.clone()),
        _ => None,
    });
    batch.unwrap_or_else(|| panic!("nothing is committed: {effects:?}"))
}

pub(super) fn done(shard: &mut Shard<u32>, id: &str, run: RunId) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let result = Ran::Done {
        reply: Bytes::from_static(b"1"),
        state: Some(Bytes::from_static(b"1")),
        sends: Vec::new(),
        statements: Vec::new(),
    };
    shard.ran(NOW, &address(id), run, result, &mut out);
    out
}

pub(super) fn committed(shard: &mut Shard<u32>, ticket: u64, sequence: u64) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.committed(NOW, ticket, Sequence(sequence), 0, &mut out);
    out
}

pub(super) fn answers(effects: &[Effect<u32>]) -> Vec<(u32, &Result<Answer, CallError>)> {
    let answers = effects.iter().filter_map(|effect| match effect {
        Effect::Answer { waiter, result, .. } => Some((*waiter, result)),
        _ => None,
    });
    answers.collect()
}

#[test]
fn a_call_is_answered_after_the_one_commit_that_holds_row_outcome_and_state() {
    let mut shard = shard();
    assert_eq!(admit(&mut shard, message("c1", "k1"), 1), [Effect::Activate(address("c1"), 1)]);
    let work = run_of(&activate(&mut shard, "c1"));
    assert_eq!(work.attempt, 1);
    let effects = done(&mut shard, "c1", work.run);
    let batch = batch_of(&effects);
    assert_eq!((batch.accepts.len(), batch.finishes.len(), batch.states.len()), (1, 1, 1));
    assert!(answers(&effects).is_empty(), "no answer before the commit");
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(matches!(answers(&effects)[..], [(1, Ok(Answer::Handled { replayed: false, .. }))]));
    assert_eq!(shard.pending_messages(), 0);
}

#[test]
fn a_one_way_message_is_acknowledged_after_its_row_and_before_its_handler() {
    let mut shard = shard();
    let envelope = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let effects = admit(&mut shard, envelope, 1);
    let batch = batch_of(&effects);
    assert_eq!((batch.accepts.len(), batch.finishes.len()), (1, 0));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(matches!(answers(&effects)[..], [(1, Ok(Answer::Accepted { replayed: false, .. }))]));
    assert_eq!(shard.pending_messages(), 1);
}

#[test]
fn accepting_a_message_accepts_what_was_admitted_before_it() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let effects =
        admit(&mut shard, Envelope { reply: ReplyMode::Accepted, ..message("c1", "k2") }, 2);
    let keys: Vec<_> =
        batch_of(&effects).accepts.iter().map(|accept| accept.envelope.key.to_string()).collect();
    assert_eq!(keys, ["k1", "k2"]);
}

#[test]
fn a_second_call_with_the_key_attaches_and_one_with_another_payload_is_refused() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    assert!(admit(&mut shard, message("c1", "k1"), 2).is_empty());
    let other = Envelope { payload: Bytes::from_static(b"2"), ..message("c1", "k1") };
    let effects = admit(&mut shard, other, 3);
    assert!(matches!(answers(&effects)[..],
        [(3, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::KeyReused));
    let work = run_of(&activate(&mut shard, "c1"));
    let ticket = batch_of(&done(&mut shard, "c1", work.run)).ticket;
    let effects = committed(&mut shard, ticket, 1);
    let replays: Vec<_> = answers(&effects)
        .into_iter()
        .map(|(waiter, result)| {
            (waiter, matches!(result, Ok(Answer::Handled { replayed: true, .. })))
        })
        .collect();
    assert_eq!(replays, [(1, false), (2, true)]);
}

#[test]
fn a_caller_that_asks_again_tells_the_next_attempt_who_waits() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let callers = Callers::none().calling(&address("c2"), &address("c1")).unwrap();
    admit(&mut shard, Envelope { callers: callers.clone(), ..message("c1", "k1") }, 2);
    admit(&mut shard, message("c1", "k1"), 3);
    let work = run_of(&activate(&mut shard, "c1"));
    assert_eq!(work.envelope.callers, callers);
}

#[test]
fn a_clients_key_is_looked_up_before_the_message_runs() {
    let mut shard = shard();
    let envelope = Envelope { key_origin: KeyOrigin::Client, ..message("c1", "k1") };
    let id = envelope.message_id;
    let effects = admit(&mut shard, envelope, 1);
    assert!(matches!(&effects[..], [Effect::Lookup(question)] if question.message_id == id));
    let found = Found {
        digest: None,
        message_id: MessageId::new(NOW, id.slot(), 99),
        payload: Bytes::from_static(b"1"),
        state: FoundState::Finished(Outcome::Success(Bytes::from_static(b"5"))),
    };
    let mut out = Vec::new();
    shard.looked_up(NOW, id, Ok(Some(found.clone())), &mut out);
    assert!(matches!(answers(&out)[..],
        [(1, Ok(Answer::Handled { message_id, replayed: true, .. }))] if *message_id == found.message_id));
    assert_eq!(shard.pending_messages(), 0);
}

#[test]
fn a_message_sent_before_runs_only_after_its_attempt_is_committed() {
    let mut shard = shard();
    let envelope = Envelope { send_count: 1, ..message("c1", "k1") };
    let id = envelope.message_id;
    admit(&mut shard, envelope, 1);
    let mut out = Vec::new();
    shard.looked_up(NOW, id, Ok(None), &mut out);
    let batch = batch_of(&out);
    assert_eq!((batch.accepts.len(), batch.open.len()), (1, 1));
    assert_eq!((batch.open[0].attempts, batch.open[0].position), (1, None));
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Run(..))));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert_eq!(effects, [Effect::Activate(address("c1"), 1)]);
    assert_eq!(run_of(&activate(&mut shard, "c1")).attempt, 1);
}

#[test]
fn a_failed_attempt_is_stored_and_tried_again_before_what_came_later() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), work.run, retry, &mut out);
    let batch = batch_of(&out);
    assert_eq!((batch.accepts.len(), batch.open.len()), (1, 1));
    assert_eq!(batch.open[0].due, Timestamp(NOW.0 + 100));
    assert!(
        committed(&mut shard, batch.ticket, 1).is_empty(),
        "the second waits behind the first (D3)"
    );
    let mut out = Vec::new();
    shard.tick(Timestamp(NOW.0 + 100), &mut out);
    let again = run_of(&out);
    assert_eq!((again.attempt, again.envelope.key.as_str()), (2, "k1"));
}

#[test]
fn the_last_attempt_is_followed_by_quarantine_and_the_entity_goes_on() {
    let mut shard = shard();
    let mut now = NOW;
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let mut effects = activate(&mut shard, "c1");
    for sequence in 1..=10 {
        let work = run_of(&effects);
        assert_eq!(u64::from(work.attempt), sequence);
        let mut out = Vec::new();
        let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
        shard.ran(now, &address("c1"), work.run, retry, &mut out);
        let batch = batch_of(&out);
        let is_last = batch.open[0].state == OpenRecordState::Quarantined;
        assert_eq!(is_last, sequence == 10, "D4");
        effects = out;
        effects.extend(committed(&mut shard, batch.ticket, sequence));
        if !is_last {
            now = Timestamp(now.0 + 60_000);
            effects.clear();
            shard.tick(now, &mut effects);
        }
    }
    assert!(answers(&effects).iter().any(|(waiter, result)| *waiter == 1
        && matches!(result, Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined)));
    assert_eq!(run_of(&effects).envelope.key.as_str(), "k2");
}

#[test]
fn a_declared_failure_is_an_outcome() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let failure = Failure { code: "no".to_string(), message: "never".to_string() };
    let mut out = Vec::new();
    shard.ran(NOW, &address("c1"), work.run, Ran::Failed(failure.clone()), &mut out);
    let batch = batch_of(&out);
    assert_eq!(batch.finishes[0].outcome, Outcome::Failure(failure));
    assert!(batch.states.is_empty());
}

#[test]
fn a_read_waits_for_the_commit_of_the_state_that_it_saw() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let mut out = Vec::new();
    shard.admit(NOW, Arc::new(message("c1", "r")), Delivery::VolatileCurrent, 2, &mut out);
    let read = run_of(&out);
    assert_eq!(read.kind, RunKind::Read);
    assert!(answers(&done(&mut shard, "c1", read.run)).is_empty());
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Answer { waiter: 2, check: Check::Fence, result: Ok(_) }
    )));
}

#[test]
fn a_commit_lost_to_another_owner_refuses_what_had_no_row() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let mut out = Vec::new();
    shard.commit_failed(NOW, batch.ticket, CommitFailure::ShardLost, &mut out);
    assert!(matches!(answers(&out)[..],
        [(1, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::NotOwner(Epoch(7))));
    assert_eq!(out.last(), Some(&Effect::Lost));
}

#[test]
fn a_commit_of_unknown_fate_is_told_as_unknown() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let mut out = Vec::new();
    shard.commit_failed(NOW, batch.ticket, CommitFailure::Undecided, &mut out);
    assert!(matches!(answers(&out)[..], [(1, Err(CallError::Unknown(_)))]));
}

#[test]
fn a_rejected_commit_is_split_until_the_culprit_fails_alone() {
    let mut shard = shard();
    for (id, key, waiter) in [("c1", "k1", 1), ("c2", "k2", 2), ("c3", "k3", 3)] {
        admit(&mut shard, message(id, key), waiter);
    }
    let first = run_of(&activate(&mut shard, "c1"));
    let flying = batch_of(&done(&mut shard, "c1", first.run));
    for id in ["c2", "c3"] {
        let work = run_of(&activate(&mut shard, id));
        assert!(done(&mut shard, id, work.run).is_empty(), "one commit at a time");
    }
    let both = batch_of(&committed(&mut shard, flying.ticket, 1));
    assert_eq!(both.finishes.len(), 2);
    let mut out = Vec::new();
    shard.commit_failed(NOW, both.ticket, CommitFailure::Rejected("bad".to_string()), &mut out);
    assert!(answers(&out).is_empty());
    let mut outcomes = Vec::new();
    for id in ["c2", "c3"] {
        let work = run_of(&activate(&mut shard, id));
        outcomes.extend(done(&mut shard, id, work.run));
    }
    let alone = batch_of(&outcomes);
    assert_eq!(alone.finishes.len(), 1);
    let mut out = Vec::new();
    shard.commit_failed(NOW, alone.ticket, CommitFailure::Rejected("bad".to_string()), &mut out);
    assert!(matches!(answers(&out)[..], [(2, Err(CallError::Refused(_)))]));
}

pub(super) fn recovered(key: &str, attempts: u32, ordinal: u32) -> Recovered {
    Recovered {
        envelope: Arc::new(message("c1", key)),
        original: None,
        accepted_at: NOW,
        position: (Sequence(3), ordinal),
        attempts,
        lost: 0,
        due: Timestamp(0),
        is_delayed: false,
        errors: vec![],
        chunks: 0,
    }
}

#[test]
fn what_is_open_at_a_takeover_runs_after_its_attempt_is_committed() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k1", 10, 0), recovered("k2", 1, 1)], &mut out);
    let batch = batch_of(&out);
    let states: Vec<_> = batch.open.iter().map(|open| (open.state, open.attempts)).collect();
    assert_eq!(states, [(OpenRecordState::Quarantined, 10), (OpenRecordState::Waiting, 2)]);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..))));
    committed(&mut shard, batch.ticket, 4);
    assert_eq!(run_of(&activate(&mut shard, "c1")).attempt, 2);
}

#[test]
fn closing_finishes_what_runs_and_sends_the_rest_on() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    shard.close(&mut out);
    assert!(matches!(answers(&out)[..],
        [(2, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::Draining));
    let effects = admit(&mut shard, message("c1", "k3"), 3);
    assert!(matches!(answers(&effects)[..], [(3, Err(CallError::Refused(_)))]));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert!(matches!(answers(&effects)[..], [(1, Ok(_))]));
    assert_eq!(effects.last(), Some(&Effect::Closed));
}

#[test]
fn a_full_mailbox_refuses_one_more() {
    let mut limits = Limits::default();
    limits.default_type.mailbox = 2;
    let mut shard = shard_of(limits);
    for (key, waiter) in [("k1", 1), ("k2", 2)] {
        assert!(answers(&admit(&mut shard, message("c1", key), waiter)).is_empty());
    }
    let effects = admit(&mut shard, message("c1", "k3"), 3);
    assert!(matches!(answers(&effects)[..],
        [(3, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::Overloaded));
    assert!(answers(&admit(&mut shard, message("c2", "k4"), 4)).is_empty(), "others go on (G8)");
}

#[test]
fn a_slow_handler_gets_its_row_meanwhile() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let later = Timestamp(NOW.0 + 5);
    assert_eq!(shard.next_wake(), Some(later));
    let mut out = Vec::new();
    shard.tick(later, &mut out);
    assert_eq!(batch_of(&out).accepts.len(), 1);
    assert!(done(&mut shard, "c1", work.run).is_empty());
    let outcome = batch_of(&committed(&mut shard, 1, 1));
    assert_eq!((outcome.accepts.len(), outcome.finishes.len()), (0, 1));
}

#[test]
fn an_idle_entity_is_passivated() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let ticket = batch_of(&done(&mut shard, "c1", work.run)).ticket;
    committed(&mut shard, ticket, 1);
    assert_eq!(shard.passivate_idle(Timestamp(NOW.0 + 59_999)), []);
    assert_eq!(shard.passivate_idle(Timestamp(NOW.0 + 60_000)), [address("c1")]);
    assert_eq!(shard.resident_entities(), 0);
}

#[test]
fn an_actor_of_an_activation_that_was_given_up_is_not_used() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let flying = batch_of(&admit(&mut shard, one_way, 1));
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".to_string());
    assert!(shard.awaits_activation(&address("c1"), 1));
    shard.commit_failed(NOW, flying.ticket, away, &mut out);
    assert!(!shard.awaits_activation(&address("c1"), 1), "another is under way, or none");
}

#[test]
fn waiting_behind_others_at_takeovers_is_no_attempt() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k1", 9, 0), recovered("k2", 9, 1)], &mut out);
    let recorded: Vec<_> =
        batch_of(&out).open.iter().map(|open| open.envelope.key.to_string()).collect();
    assert_eq!(recorded, ["k1"]);
}

#[test]
fn a_message_whose_quarantine_cannot_be_stored_is_not_run_again() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k1", 10, 0)], &mut out);
    let ticket = batch_of(&out).ticket;
    let rejected = CommitFailure::Rejected("bad".to_string());
    shard.commit_failed(NOW, ticket, rejected, &mut Vec::new());
    let mut out = Vec::new();
    shard.tick(shard.next_wake().unwrap(), &mut out);
    let open = &batch_of(&out).open[0];
    assert_eq!((open.state, open.attempts), (OpenRecordState::Quarantined, 10));
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..))));
}

#[test]
fn a_crowd_that_comes_during_a_commit_gets_its_rows_together_in_order() {
    let mut shard = shard();
    let one_way = |key: &str| Envelope { reply: ReplyMode::Accepted, ..message("c1", key) };
    let first = batch_of(&admit(&mut shard, one_way("k0"), 0));
    let keys: Vec<_> = (1..=100).map(|number| alloc::format!("k{number}")).collect();
    for (key, waiter) in keys.iter().zip(1..) {
        admit(&mut shard, one_way(key), waiter);
    }
    let second = batch_of(&committed(&mut shard, first.ticket, 1));
    let accepted: Vec<_> =
        second.accepts.iter().map(|accept| accept.envelope.key.to_string()).collect();
    assert_eq!(accepted, keys);
}
