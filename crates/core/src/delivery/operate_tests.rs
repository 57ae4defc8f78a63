//! Operators act on messages: given, when, then effects.

use alloc::{string::ToString, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{
    Answer, CallError, Due, Envelope, Intervention, MessageId, Outcome, RefusalCode, ReplyMode,
    Sequence, Tenant, Timestamp, UnknownCode,
};

use super::{
    tests::{
        NOW, activate, address, admit, answers, batch_of, committed, done, message, run_of, shard,
        shard_of,
    },
    *,
};

const OPERATOR: u32 = 99;
pub(super) const REDRIVE: Intervention = Intervention::Redrive { payload: None };

pub(super) fn act(
    shard: &mut Shard<u32>,
    message_id: MessageId,
    intervention: Intervention,
) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let tenant = Tenant::default_tenant();
    shard.intervene(NOW, message_id, tenant, intervention, OPERATOR, &mut out);
    out
}

fn edited(payload: &'static [u8]) -> Intervention {
    Intervention::Redrive { payload: Some(Bytes::from_static(payload)) }
}

/// The codes of the failures with which callers were told that a message ended.
fn ends(effects: &[Effect<u32>]) -> Vec<(u32, &str)> {
    let ends = answers(effects).into_iter().filter_map(|(waiter, result)| match result {
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => {
            Some((waiter, failure.code.as_str()))
        }
        _ => None,
    });
    ends.collect()
}

fn refusal(effects: &[Effect<u32>]) -> RefusalCode {
    match answers(effects)[..] {
        [(OPERATOR, Err(CallError::Refused(refusal)))] => refusal.code,
        ref other => panic!("not refused: {other:?}"),
    }
}

fn runs(effects: &[Effect<u32>]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Run(..))).count()
}

fn aside(key: &str) -> Recovered {
    Recovered {
        envelope: message("c1", key).into(),
        original: None,
        accepted_at: NOW,
        position: (Sequence(3), 0),
        attempts: 10,
        lost: 0,
        due: NOW,
        is_delayed: false,
        errors: vec!["why".to_string()],
        chunks: 0,
    }
}

/// The store says that the message is set aside.
pub(super) fn found(shard: &mut Shard<u32>, aside: Recovered) -> Vec<Effect<u32>> {
    let (mut out, id) = (Vec::new(), aside.envelope.message_id);
    let tenant = Tenant::default_tenant();
    let fetched = Fetched { tenant, state: FetchedState::Quarantined(aside) };
    shard.fetched(NOW, id, &Ok(Some(fetched)), &mut out);
    out
}

#[test]
fn a_queued_message_ends_with_its_row_in_one_commit_and_the_next_one_goes_on() {
    let mut shard = shard();
    let second = message("c1", "k2");
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, second.clone(), 2);
    admit(&mut shard, message("c1", "k3"), 3);
    let batch = batch_of(&act(&mut shard, second.message_id, Intervention::Cancel));
    assert_eq!((batch.accepts.len(), batch.finishes.len(), batch.states.len()), (1, 1, 0));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert_eq!(ends(&effects), [(2, "cancelled"), (OPERATOR, "cancelled")]);
    let first = run_of(&activate(&mut shard, "c1"));
    assert_eq!(run_of(&done(&mut shard, "c1", first.run)).envelope.key.as_str(), "k3");
}

#[test]
fn the_actor_of_a_cancelled_run_goes_and_its_result_is_passed_over() {
    let mut shard = shard();
    let running = message("c1", "k1");
    admit(&mut shard, running.clone(), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    let effects = act(&mut shard, running.message_id, Intervention::Cancel);
    assert!(effects.contains(&Effect::Passivate(address("c1"))));
    assert!(effects.contains(&Effect::Activate(address("c1"), 2)), "the next one needs an actor");
    let batch = batch_of(&effects);
    assert!(batch.states.is_empty());
    assert_eq!(batch.finishes[0].attempts, 1);
    assert!(done(&mut shard, "c1", work.run).is_empty());
    assert_eq!(ends(&committed(&mut shard, batch.ticket, 1)).len(), 2);
}

#[test]
fn an_outcome_that_is_on_its_way_comes_before_a_cancel() {
    let mut shard = shard();
    let first = message("c1", "k1");
    admit(&mut shard, first.clone(), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    assert!(act(&mut shard, first.message_id, Intervention::Cancel).is_empty());
    let effects = committed(&mut shard, batch.ticket, 1);
    let told = answers(&effects);
    let is_success = |result: &Result<Answer, CallError>| {
        matches!(result, Ok(Answer::Handled { outcome: Outcome::Success(_), .. }))
    };
    assert!(told.len() == 2 && told.iter().all(|(_, result)| is_success(result)), "{told:?}");
}

#[test]
fn a_cancel_outlives_the_commit_of_an_outcome_that_failed() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let id = one_way.message_id;
    let row = batch_of(&admit(&mut shard, one_way, 1));
    let work = run_of(&activate(&mut shard, "c1"));
    committed(&mut shard, row.ticket, 1);
    let outcome = batch_of(&done(&mut shard, "c1", work.run));
    act(&mut shard, id, Intervention::Cancel);
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".to_string());
    shard.commit_failed(NOW, outcome.ticket, away, &mut out);
    let mut later = Vec::new();
    shard.tick(shard.next_wake().unwrap_or(NOW), &mut later);
    out.extend(later);
    assert_eq!(runs(&out), 0);
    assert_eq!(ends(&committed(&mut shard, batch_of(&out).ticket, 2)), [(OPERATOR, "cancelled")]);
}

#[test]
fn a_delayed_message_ends_before_its_time() {
    let mut shard = shard();
    let delayed =
        Envelope { due: Due::After(500), reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let id = delayed.message_id;
    let row = batch_of(&admit(&mut shard, delayed, 1));
    // Before its row stands: both are in the next commits.
    assert!(act(&mut shard, id, Intervention::Cancel).is_empty());
    let batch = batch_of(&committed(&mut shard, row.ticket, 1));
    assert_eq!(ends(&committed(&mut shard, batch.ticket, 2)), [(OPERATOR, "cancelled")]);
    assert_eq!((shard.next_wake(), shard.pending_messages()), (None, 0));
}

#[test]
fn a_message_that_backs_off_ends_at_once() {
    let mut shard = shard();
    let failing = message("c1", "k1");
    admit(&mut shard, failing.clone(), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), work.run, retry, &mut out);
    let batch = batch_of(&out);
    assert_eq!((batch.retries, batch.quarantined), (1, 0));
    act(&mut shard, failing.message_id, Intervention::Cancel);
    let batch = batch_of(&committed(&mut shard, batch.ticket, 1));
    assert_eq!(ends(&committed(&mut shard, batch.ticket, 2)).len(), 2);
    assert_eq!(shard.next_wake(), None);
}

#[test]
fn a_message_that_is_not_in_memory_is_asked_for_once() {
    let mut shard = shard();
    let id = message("c1", "k1").message_id;
    assert_eq!(act(&mut shard, id, Intervention::Drop), [Effect::Fetch(id)]);
    assert!(act(&mut shard, id, Intervention::Drop).is_empty());
    let effects = found(&mut shard, aside("k1"));
    let batch = batch_of(&effects);
    assert_eq!((batch.finishes.len(), batch.finishes[0].attempts), (1, 10));
    let effects = committed(&mut shard, batch.ticket, 1);
    assert_eq!(ends(&effects), [(OPERATOR, "dropped"); 2]);
    assert_eq!(shard.pending_messages(), 0);
}

#[test]
fn a_shard_that_is_full_takes_what_operators_act_on() {
    for intervention in [Intervention::Drop, REDRIVE] {
        let mut shard = shard_of(Limits { pending: 1, ..Limits::default() });
        admit(&mut shard, message("c2", "k2"), 1);
        let refused = admit(&mut shard, message("c3", "k3"), 2);
        assert!(matches!(answers(&refused)[..], [(2, Err(CallError::Refused(_)))]));
        act(&mut shard, message("c1", "k1").message_id, intervention);
        let effects = found(&mut shard, aside("k1"));
        assert!(answers(&effects).is_empty(), "{effects:?}");
        batch_of(&effects);
    }
}

#[test]
fn a_redriven_message_has_its_attempts_before_it_and_its_errors_behind_it() {
    let mut shard = shard();
    let id = message("c1", "k1").message_id;
    act(&mut shard, id, edited(b"2"));
    let effects = found(&mut shard, aside("k1"));
    let batch = batch_of(&effects);
    let open = &batch.open[0];
    assert_eq!((open.attempts, open.state), (0, OpenRecordState::Waiting));
    assert_eq!(
        (&open.envelope.payload[..], &open.errors[..]),
        (&b"2"[..], &["why".to_string()][..])
    );
    assert!(answers(&effects).is_empty(), "no answer before the commit");
    let effects = committed(&mut shard, batch.ticket, 4);
    assert!(matches!(
        answers(&effects)[..],
        [(OPERATOR, Ok(Answer::Accepted { replayed: false, .. }))]
    ));
    let work = run_of(&activate(&mut shard, "c1"));
    assert_eq!((work.attempt, &work.envelope.payload[..]), (1, &b"2"[..]));
    // What the client sent is what its key stands for.
    assert!(admit(&mut shard, message("c1", "k1"), 1).is_empty());
    let other = Envelope { payload: Bytes::from_static(b"2"), ..message("c1", "k1") };
    let effects = admit(&mut shard, other, 2);
    assert!(matches!(answers(&effects)[..], [(2, Err(CallError::Refused(_)))]));
    assert!(matches!(
        answers(&act(&mut shard, id, edited(b"2")))[..],
        [(OPERATOR, Ok(Answer::Accepted { replayed: true, .. }))]
    ));
    assert_eq!(refusal(&act(&mut shard, id, edited(b"3"))), RefusalCode::NotQuarantined);
}

#[test]
fn what_cannot_be_stored_stays_set_aside() {
    for intervention in [Intervention::Drop, Intervention::Cancel, REDRIVE] {
        let mut shard = shard();
        let id = message("c1", "k1").message_id;
        act(&mut shard, id, intervention);
        let ticket = batch_of(&found(&mut shard, aside("k1"))).ticket;
        admit(&mut shard, message("c1", "k1"), 1);
        let mut out = Vec::new();
        let away = CommitFailure::Unavailable("away".to_string());
        shard.commit_failed(NOW, ticket, away, &mut out);
        let told = answers(&out);
        let [(OPERATOR, Err(CallError::Refused(refusal))), (1, Err(CallError::Unknown(unknown)))] =
            told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(refusal.code, RefusalCode::StoreUnavailable);
        assert_eq!(unknown.code, UnknownCode::Quarantined);
        assert_eq!((shard.pending_messages(), shard.next_wake()), (0, None));
    }
}

#[test]
fn what_is_over_unknown_or_of_another_tenant_is_told_so() {
    let finished = FetchedState::Finished(Outcome::Success(Bytes::new()));
    let (mine, other) = (Tenant::default_tenant(), Tenant::new("other").unwrap());
    for (found, is_refused) in [
        (None, true),
        (Some(Fetched { tenant: other, state: finished.clone() }), true),
        (Some(Fetched { tenant: mine, state: finished }), false),
    ] {
        let mut shard = shard();
        let id = message("c1", "k1").message_id;
        act(&mut shard, id, Intervention::Cancel);
        let mut out = Vec::new();
        shard.fetched(NOW, id, &Ok(found), &mut out);
        if is_refused {
            assert_eq!(refusal(&out), RefusalCode::NoSuchMessage);
            assert!(matches!(out[..], [Effect::Answer { check: Check::Fence, .. }]));
        } else {
            assert!(matches!(
                answers(&out)[..],
                [(OPERATOR, Ok(Answer::Handled { replayed: true, .. }))]
            ));
        }
    }
}

#[test]
fn only_what_is_set_aside_is_dropped() {
    let mut shard = shard();
    let queued = message("c1", "k1");
    admit(&mut shard, queued.clone(), 1);
    let effects = act(&mut shard, queued.message_id, Intervention::Drop);
    assert_eq!(refusal(&effects), RefusalCode::NotQuarantined);
}

#[test]
fn a_shard_that_is_lost_tells_operators_to_ask_elsewhere() {
    let mut shard = shard();
    act(&mut shard, message("c1", "k1").message_id, Intervention::Drop);
    let mut out = Vec::new();
    shard.give_up(&mut out);
    assert!(matches!(refusal(&out[..1]), RefusalCode::NotOwner(_)));
    let late: Timestamp = NOW;
    shard.fetched(late, message("c1", "k1").message_id, &Ok(None), &mut out);
    assert_eq!(answers(&out).len(), 1, "nobody is told twice");
}
