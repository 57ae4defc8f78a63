//! Given, when, then effects: suspects, and what is stopped at the end of a shard's time.

use alloc::{sync::Arc, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{Delivery, Envelope, Timestamp};

use super::{
    ActivationFailure, CommitFailure, Effect, OpenRecordState, Ran, Recovered, RunKind, Shard,
    Work,
    horizon_tests::recover,
    tests::{
        NOW, activate, address, admit, batch_of, committed, done, message, recovered, run_of, shard,
    },
};

/// An open message of which attempts in a row ended with their process.
fn lost(id: &str, ordinal: u32, lost: u32) -> Recovered {
    Recovered { envelope: Arc::new(message(id, id)), lost, ..recovered("k", lost, ordinal) }
}

fn asks(effects: &[Effect<u32>]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::AskTurn).count()
}

fn ends(effects: &[Effect<u32>]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::EndTurn).count()
}

fn given(shard: &mut Shard<u32>) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.turn_given(NOW, &mut out);
    out
}

fn fail(shard: &mut Shard<u32>, work: &Work) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let result = Ran::Retry { error: "no".into(), is_broken: false };
    shard.ran(NOW, &work.envelope.address, work.run, result, &mut out);
    out
}

#[test]
fn suspects_run_one_after_the_other_while_others_go_on() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2), lost("c2", 1, 2), lost("c3", 2, 1)], &mut out);
    assert_eq!(asks(&out), 1);
    let begun = batch_of(&out);
    let recorded: Vec<_> = begun.open.iter().map(|open| (&open.envelope.key, open.lost)).collect();
    assert_eq!(recorded.len(), 1, "only who is no suspect begins: {recorded:?}");
    assert_eq!((begun.open[0].attempts, begun.open[0].lost), (2, 2));
    committed(&mut shard, begun.ticket, 4);
    let innocent = run_of(&activate(&mut shard, "c3"));

    let alone = batch_of(&given(&mut shard));
    assert_eq!((alone.open.len(), alone.open[0].lost), (1, 3), "its attempt is recorded first");
    committed(&mut shard, alone.ticket, 5);
    let first = run_of(&activate(&mut shard, "c1"));
    let flying = batch_of(&done(&mut shard, "c3", innocent.run));
    let effects = done(&mut shard, "c1", first.run);
    assert_eq!((ends(&effects), asks(&effects)), (0, 0), "its end is not durable yet");
    let effects = committed(&mut shard, flying.ticket, 6);
    let ticket = batch_of(&effects).ticket;
    let effects = committed(&mut shard, ticket, 7);
    assert_eq!((ends(&effects), asks(&effects)), (1, 1), "the turn goes round");
    let second = batch_of(&given(&mut shard));
    committed(&mut shard, second.ticket, 8);
    let second = run_of(&activate(&mut shard, "c2"));
    let effects = fail(&mut shard, &second);
    assert_eq!((ends(&effects), asks(&effects)), (0, 0), "nor is this one's");
    let failed = batch_of(&effects);
    let retried = (failed.open[0].attempts, failed.open[0].lost);
    assert_eq!(retried, (3, 0), "who ends by itself is cleared");
    let effects = committed(&mut shard, failed.ticket, 9);
    assert_eq!((ends(&effects), asks(&effects)), (1, 0), "nobody else waits");
}

#[test]
fn who_ends_its_process_alone_twice_is_set_aside() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 4)], &mut out);
    let batch = batch_of(&out);
    assert_eq!(batch.open[0].state, OpenRecordState::Quarantined);
    let error = "4 attempts in a row ended with their process, the last two alone";
    assert_eq!(batch.open[0].errors, [error]);
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".into());
    shard.commit_failed(NOW, batch.ticket, away, &mut out);
    shard.tick(Timestamp(NOW.0 + 1_000), &mut out);
    assert_eq!(batch_of(&out).open[0].state, OpenRecordState::Quarantined, "it does not run");
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..))));
}

#[test]
fn an_entity_stays_in_memory_until_what_became_of_its_message_is_durable() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 9, 0)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    let last = run_of(&activate(&mut shard, "c1"));
    let aside = batch_of(&fail(&mut shard, &last));
    assert_eq!(aside.open[0].state, OpenRecordState::Quarantined);
    let late = Timestamp(NOW.0 + 3_600_000);
    assert!(!shard.evict(&address("c1")) && shard.passivate_idle(late).is_empty());
    committed(&mut shard, aside.ticket, 5);
    assert!(shard.evict(&address("c1")));
}

#[test]
fn a_turn_that_nobody_needs_any_more_is_given_back() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2)], &mut out);
    assert_eq!(asks(&out), 1);
    let mut out = Vec::new();
    shard.close(&mut out);
    assert_eq!(out.last(), Some(&Effect::Closed));
    assert_eq!(given(&mut shard), [Effect::EndTurn]);
}

#[test]
fn what_is_stopped_when_the_shard_has_to_go_has_failed_and_ended_no_process() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 1)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    run_of(&activate(&mut shard, "c1"));
    admit(&mut shard, message("c2", "new"), 1);
    run_of(&activate(&mut shard, "c2"));
    let mut out = Vec::new();
    shard.cut_off(NOW, "its time was over", &mut out);
    let stopped = |id| out.iter().position(|effect| *effect == Effect::Passivate(address(id)));
    let written = out.iter().position(|effect| matches!(effect, Effect::Commit(_)));
    assert!(stopped("c1").max(stopped("c2")) < written, "stopped before it is told: {out:?}");
    let batch = batch_of(&out);
    let told: Vec<_> = batch.open.iter().map(|open| (open.attempts, open.lost)).collect();
    assert_eq!((batch.accepts.len(), told), (1, vec![(2, 0), (1, 0)]));
    assert!(batch.open.iter().all(|open| open.errors == ["its time was over"]));
    let effects = committed(&mut shard, batch.ticket, 5);
    assert_eq!(effects.last(), Some(&Effect::Closed));
}

#[test]
fn an_attempt_that_was_recorded_and_not_begun_is_taken_back_when_the_shard_closes() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 1), lost("c2", 1, 1)], &mut out);
    let recorded = batch_of(&out);
    assert!(recorded.open.iter().all(|open| open.lost == 2));
    let mut out = Vec::new();
    shard.close(&mut out);
    assert!(out.is_empty(), "the commit is under way: {out:?}");
    let back = batch_of(&committed(&mut shard, recorded.ticket, 4));
    let told: Vec<_> = back.open.iter().map(|open| (open.attempts, open.lost)).collect();
    assert_eq!(told, [(1, 1), (1, 1)]);
    assert_eq!(committed(&mut shard, back.ticket, 5).last(), Some(&Effect::Closed));
}

#[test]
fn a_message_sent_again_is_recorded_before_it_runs_also_while_its_row_is_on_its_way() {
    let mut shard = shard();
    let one_way =
        |id, key| Envelope { reply: quarry_types::ReplyMode::Accepted, ..message(id, key) };
    let flying = batch_of(&admit(&mut shard, one_way("c1", "k1"), 1)).ticket;
    let first = run_of(&activate(&mut shard, "c1")).run;
    let resent = Envelope { send_count: 1, ..one_way("c1", "k2") };
    let behind = resent.message_id;
    admit(&mut shard, resent, 2);
    shard.looked_up(NOW, behind, Ok(None), &mut Vec::new());
    let both = batch_of(&committed(&mut shard, flying, 1));
    assert_eq!((both.accepts.len(), both.open.len()), (1, 0), "it waits behind the first one");
    assert!(done(&mut shard, "c1", first).is_empty(), "its row is on its way: it does not begin");
    let recorded = batch_of(&committed(&mut shard, both.ticket, 2));
    assert_eq!(recorded.open[0].attempts, 1);
    let effects = committed(&mut shard, recorded.ticket, 3);
    assert_eq!(run_of(&effects).attempt, 1);
}

#[test]
fn a_suspect_is_cleared_only_when_its_end_is_durable() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2)], &mut out);
    let recorded = batch_of(&given(&mut shard));
    committed(&mut shard, recorded.ticket, 4);
    let work = run_of(&activate(&mut shard, "c1"));
    let finished = batch_of(&done(&mut shard, "c1", work.run));
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".into());
    shard.commit_failed(NOW, finished.ticket, away, &mut out);
    shard.tick(Timestamp(NOW.0 + 1_000), &mut out);
    assert_eq!(ends(&out), 0, "the store knows of three attempts without an end: {out:?}");
    let mut out = Vec::new();
    shard.activated(NOW, &address("c1"), 2, Ok(()), &mut out);
    let work = run_of(&out);
    let failed = batch_of(&fail(&mut shard, &work));
    committed(&mut shard, failed.ticket, 5);
    let mut out = Vec::new();
    shard.tick(Timestamp(NOW.0 + 10_000), &mut out);
    assert_eq!((asks(&out), run_of(&out).attempt), (0, 4), "cleared");
}

#[test]
fn what_is_put_back_while_the_shard_closes_does_not_overtake_what_was_turned_away() {
    let mut shard = shard();
    let one_way = |key| Envelope { reply: quarry_types::ReplyMode::Accepted, ..message("c1", key) };
    let first = batch_of(&admit(&mut shard, one_way("k1"), 1)).ticket;
    let effects = admit(&mut shard, one_way("k2"), 2);
    assert!(effects.is_empty(), "one commit at a time");
    let second = batch_of(&committed(&mut shard, first, 1)).ticket;
    let mut out = Vec::new();
    shard.close(&mut out);
    let rejected = CommitFailure::Rejected("no".into());
    shard.commit_failed(NOW, second, rejected, &mut out);
    let begins = |effect: &Effect<u32>| matches!(effect, Effect::Run(..) | Effect::Activate(..));
    assert!(!out.iter().any(begins), "the first one is the next owner's (D3): {out:?}");
    assert_eq!(out.last(), Some(&Effect::Closed));
}

fn ask(shard: &mut Shard<u32>, id: &str, key: &str) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.admit(NOW, Arc::new(message(id, key)), Delivery::VolatileLocal, 9, &mut out);
    out
}

/// A query that nothing ends but [`answer`].
fn asked(shard: &mut Shard<u32>, id: &str) -> Work {
    ask(shard, id, "endless");
    let query = run_of(&activate(shard, id));
    assert_eq!(query.kind, RunKind::Read);
    query
}

fn answer(shard: &mut Shard<u32>, query: &Work) -> Vec<Effect<u32>> {
    let (mut out, reply) = (Vec::new(), Bytes::from_static(b"1"));
    let result = Ran::Done { reply, state: None, sends: vec![], statements: vec![] };
    shard.ran(NOW, &query.envelope.address, query.run, result, &mut out);
    out
}

fn commits(effects: &[Effect<u32>]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Commit(_)))
}

#[test]
fn a_suspect_beside_an_endless_query_lets_the_others_have_the_turn() {
    let mut shard = shard();
    let query = asked(&mut shard, "c1");
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2), lost("c2", 1, 2)], &mut out);
    assert_eq!(asks(&out), 1);
    let recorded = batch_of(&given(&mut shard));
    let keys: Vec<_> = recorded.open.iter().map(|open| open.envelope.key.as_str()).collect();
    assert_eq!(keys, ["c2"], "waiting for a query is no attempt");
    committed(&mut shard, recorded.ticket, 4);
    let other = run_of(&activate(&mut shard, "c2"));
    let finished = batch_of(&done(&mut shard, "c2", other.run));
    let effects = committed(&mut shard, finished.ticket, 5);
    assert_eq!((ends(&effects), asks(&effects)), (1, 0), "it could not begin");
    shard.audit(NOW, false, &mut Vec::new());
    assert_eq!(shard.take_stalls(), 0, "the end of the query wakes it");

    assert!(ask(&mut shard, "c1", "later").is_empty(), "a later query waits for it");
    assert_eq!(asks(&answer(&mut shard, &query)), 1);
    let recorded = batch_of(&given(&mut shard));
    assert_eq!(recorded.open[0].lost, 3);
    let effects = committed(&mut shard, recorded.ticket, 6);
    assert_eq!(run_of(&effects).kind, RunKind::Command);
}

#[test]
fn a_turn_that_a_query_keeps_from_being_used_goes_back_at_once() {
    let mut shard = shard();
    let query = asked(&mut shard, "c1");
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2)], &mut out);
    assert_eq!(given(&mut shard), [Effect::EndTurn]);
    assert_eq!(asks(&answer(&mut shard, &query)), 1, "it asks again when it can begin");
}

#[test]
fn queries_go_on_while_a_suspect_waits_for_the_turn() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2)], &mut out);
    assert_eq!(asks(&out), 1);
    let query = asked(&mut shard, "c1");
    answer(&mut shard, &query);
    assert_eq!(run_of(&ask(&mut shard, "c1", "another")).kind, RunKind::Read);
}

#[test]
fn an_attempt_is_recorded_when_no_query_is_before_it() {
    let mut shard = shard();
    let query = asked(&mut shard, "c1");
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 1)], &mut out);
    assert!(!commits(&out), "waiting is no attempt: {out:?}");
    assert!(ask(&mut shard, "c1", "later").is_empty(), "a later query waits for it");
    let recorded = batch_of(&answer(&mut shard, &query));
    assert_eq!((recorded.open[0].attempts, recorded.open[0].lost), (2, 2));
    assert_eq!(run_of(&committed(&mut shard, recorded.ticket, 4)).kind, RunKind::Command);
}

#[test]
fn one_end_of_its_process_alone_is_no_proof() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 3)], &mut out);
    assert_eq!(asks(&out), 1);
    let recorded = batch_of(&given(&mut shard));
    assert_eq!(recorded.open[0].lost, 4);
    committed(&mut shard, recorded.ticket, 4);
    run_of(&activate(&mut shard, "c1"));
}

#[test]
fn a_suspect_whose_state_cannot_be_read_is_taken_back_before_it_gives_the_turn_on() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2), lost("c2", 1, 2)], &mut out);
    let recorded = batch_of(&given(&mut shard));
    committed(&mut shard, recorded.ticket, 4);
    let mut out = Vec::new();
    let gone = Err(ActivationFailure::Unavailable("away".into()));
    shard.activated(NOW, &address("c1"), 1, gone, &mut out);
    let back = batch_of(&out);
    assert_eq!((back.open[0].attempts, back.open[0].lost, ends(&out)), (2, 2, 0));
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".into());
    shard.commit_failed(NOW, back.ticket, away, &mut out);
    assert_eq!(ends(&out), 0, "the end of another's process would be laid on it: {out:?}");
    let mut out = Vec::new();
    shard.close(&mut out);
    let back = batch_of(&out);
    assert_eq!((back.open[0].attempts, back.open[0].lost, ends(&out)), (2, 2, 0));
    let effects = committed(&mut shard, back.ticket, 5);
    assert_eq!(ends(&effects), 1);
    assert_eq!(effects.last(), Some(&Effect::Closed));
}

/// A suspect that ran with the turn; the commit of what came of it failed.
fn unwritten(shard: &mut Shard<u32>) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    recover(shard, vec![lost("c1", 0, 3), lost("c2", 1, 2)], &mut out);
    let recorded = batch_of(&given(shard));
    committed(shard, recorded.ticket, 4);
    let alone = run_of(&activate(shard, "c1"));
    let finished = batch_of(&done(shard, "c1", alone.run));
    assert_eq!(finished.finishes[0].attempts, 4);
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".into());
    shard.commit_failed(NOW, finished.ticket, away, &mut out);
    out
}

#[test]
fn a_suspect_whose_end_is_not_written_keeps_the_turn_and_runs_again_as_the_same_attempt() {
    let mut shard = shard();
    let mut out = unwritten(&mut shard);
    shard.tick(Timestamp(NOW.0 + 1_000), &mut out);
    assert_eq!(ends(&out), 0, "its row says that it began: {out:?}");
    assert!(!commits(&out), "which is not to be said again");
    let mut out = Vec::new();
    shard.activated(NOW, &address("c1"), 2, Ok(()), &mut out);
    let again = run_of(&out);
    assert_eq!(again.attempt, 4);
    let failed = batch_of(&fail(&mut shard, &again));
    assert_eq!((failed.open[0].attempts, failed.open[0].lost), (4, 0));
    assert_eq!(ends(&committed(&mut shard, failed.ticket, 5)), 1);
}

#[test]
fn an_attempt_whose_end_is_not_written_is_taken_back_when_the_shard_closes() {
    let mut shard = shard();
    unwritten(&mut shard);
    let mut out = Vec::new();
    shard.close(&mut out);
    let back = batch_of(&out);
    assert_eq!((back.open[0].attempts, back.open[0].lost), (3, 3), "no process ended with it");
}

#[test]
fn what_was_stopped_and_could_not_be_written_is_taken_back_until_it_is() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 1)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    shard.cut_off(NOW, "its time was over", &mut out);
    for after in 1..=3 {
        let mut tried = Vec::new();
        let away = CommitFailure::Unavailable("away".into());
        shard.commit_failed(NOW, batch_of(&out).ticket, away, &mut tried);
        assert!(!tried.contains(&Effect::Closed), "{tried:?}");
        out.clear();
        shard.tick(Timestamp(NOW.0 + after), &mut out);
    }
    let back = batch_of(&out);
    assert_eq!((back.open[0].attempts, back.open[0].lost), (1, 1));
    assert_eq!(committed(&mut shard, back.ticket, 5).last(), Some(&Effect::Closed));
}

#[test]
fn a_last_attempt_that_was_stopped_does_not_count_whatever_is_written_of_it() {
    for tries in [0, 3] {
        let mut shard = shard();
        let mut out = Vec::new();
        recover(&mut shard, vec![Recovered { attempts: 9, ..lost("c1", 0, 1) }], &mut out);
        let begun = batch_of(&out);
        assert_eq!(begun.open[0].attempts, 10, "the last one");
        committed(&mut shard, begun.ticket, 4);
        run_of(&activate(&mut shard, "c1"));
        let mut out = Vec::new();
        shard.cut_off(NOW, "its time was over", &mut out);
        for after in 1..=tries {
            let away = CommitFailure::Unavailable("away".into());
            shard.commit_failed(NOW, batch_of(&out).ticket, away, &mut Vec::new());
            out.clear();
            shard.tick(Timestamp(NOW.0 + after), &mut out);
        }
        let written = batch_of(&out);
        assert_eq!(written.open[0].attempts, 9, "after {tries} commits that failed");
        assert_ne!(written.open[0].state, OpenRecordState::Quarantined);
    }
}

#[test]
fn a_paused_shard_records_nothing_and_keeps_no_turn() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 2)], &mut out);
    assert_eq!(asks(&out), 1);
    shard.pause();
    assert_eq!(given(&mut shard), [Effect::EndTurn], "it can begin nothing now");
    let mut out = Vec::new();
    shard.go_on(NOW, &mut out);
    assert_eq!(asks(&out), 1);
    let recorded = batch_of(&given(&mut shard));
    assert_eq!((recorded.open.len(), recorded.open[0].lost), (1, 3));
}

#[test]
fn what_is_recorded_begins_in_a_paused_shard_and_nothing_else_does() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![lost("c1", 0, 1), lost("c2", 1, 2)], &mut out);
    let recorded = batch_of(&out);
    assert_eq!(recorded.open.len(), 1, "the other one is a suspect");
    shard.pause();
    committed(&mut shard, recorded.ticket, 4);
    let first = run_of(&activate(&mut shard, "c1"));
    let effects = done(&mut shard, "c1", first.run);
    let ended = committed(&mut shard, batch_of(&effects).ticket, 5);
    assert_eq!(shard.longest_run_since(), None);
    assert_eq!(given(&mut shard), [Effect::EndTurn]);
    assert!(!ended.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..))));
}
