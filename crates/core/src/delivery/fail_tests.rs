//! Given, when, then effects: commits that failed.

use alloc::{vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{Envelope, ReplyMode, Statement, Timestamp};

use super::{
    horizon_tests::recover,
    tests::{
        NOW, activate, address, admit, batch_of, committed, done, message, recovered, run_of, shard,
    },
    *,
};

#[test]
fn the_attempt_of_a_message_is_not_recorded_once_it_stands_behind_others_again() {
    let mut shard = shard();
    let one_way = |id, key| Envelope { reply: ReplyMode::Accepted, ..message(id, key) };
    let ticket = batch_of(&admit(&mut shard, one_way("c1", "k1"), 1)).ticket;
    let first = run_of(&activate(&mut shard, "c1")).run;
    admit(&mut shard, one_way("c2", "k2"), 2);
    let resent = Envelope { send_count: 1, ..one_way("c1", "k3") };
    let behind = resent.message_id;
    admit(&mut shard, resent, 3);
    done(&mut shard, "c1", first);
    let ticket = batch_of(&committed(&mut shard, ticket, 1)).ticket;
    let mut out = Vec::new();
    shard.looked_up(NOW, behind, Ok(None), &mut out);
    assert!(out.is_empty(), "the first of its queue waits for the commit that is in flight");
    let rejected = CommitFailure::Rejected("no".into());
    shard.commit_failed(NOW, ticket, rejected, &mut out);
    let recorded: Vec<_> = batch_of(&out).open;
    assert!(recorded.is_empty(), "the first one's outcome was not written: {recorded:?}");
}

#[test]
fn the_statements_of_a_handler_are_committed_alone_and_fail_its_attempt_alone() {
    let mut shard = shard();
    for id in ["c1", "c2", "c3"] {
        admit(&mut shard, message(id, id), 1);
    }
    let runs = ["c1", "c2", "c3"].map(|id| run_of(&activate(&mut shard, id)).run);
    let first = batch_of(&done(&mut shard, "c1", runs[0])).ticket;
    let statements = vec![Statement::new("delete from orders", vec![]).unwrap()];
    let result = Ran::Done { reply: Bytes::new(), state: None, sends: vec![], statements };
    let mut out = Vec::new();
    shard.ran(NOW, &address("c2"), runs[1], result, &mut out);
    done(&mut shard, "c3", runs[2]);
    let alone = batch_of(&committed(&mut shard, first, 1));
    assert_eq!((alone.finishes.len(), alone.statements.len()), (1, 1), "in a commit of its own");
    let mut out = Vec::new();
    let rejected = CommitFailure::Rejected("statement 1 of the transaction: no".into());
    shard.commit_failed(NOW, alone.ticket, rejected, &mut out);
    let next = batch_of(&out);
    assert!(next.statements.is_empty());
    assert!(next.open.iter().any(|open| open.errors == ["statement 1 of the transaction: no"]));
}

fn away() -> CommitFailure {
    CommitFailure::Unavailable("away".into())
}

fn rejected() -> CommitFailure {
    CommitFailure::Rejected("no".into())
}

fn fails(shard: &mut Shard<u32>, ticket: u64, failure: CommitFailure) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.commit_failed(NOW, ticket, failure, &mut out);
    out
}

fn begins(effects: &[Effect<u32>]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..)))
}

/// What a commit says of its open messages: the state, and the attempts.
fn told(effects: &[Effect<u32>]) -> Vec<(OpenRecordState, u32)> {
    batch_of(effects).open.iter().map(|open| (open.state, open.attempts)).collect()
}

#[test]
fn a_message_out_of_attempts_gets_no_further_one_when_its_quarantine_is_not_written() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 10, 0)], &mut out);
    let aside = [(OpenRecordState::Quarantined, 10)];
    assert_eq!(told(&out), aside);
    let mut later = NOW;
    for _ in 0..3 {
        let ticket = batch_of(&out).ticket;
        out = fails(&mut shard, ticket, away());
        later = Timestamp(later.0 + 1_000);
        shard.tick(later, &mut out);
        assert_eq!(told(&out), aside);
        assert!(!begins(&out), "{out:?}");
    }
    let error = "the last attempt ended with its process";
    assert_eq!(batch_of(&out).open[0].errors, [error], "it is told why");
}

#[test]
fn a_message_out_of_attempts_gets_no_further_one_when_another_spoils_the_commit() {
    let mut shard = shard();
    let mut out = Vec::new();
    let rows = vec![recovered("k1", 10, 0), recovered("k2", 10, 1)];
    recover(&mut shard, rows, &mut out);
    assert_eq!(told(&out).len(), 2);
    let ticket = batch_of(&out).ticket;
    let effects = fails(&mut shard, ticket, rejected());
    assert_eq!(told(&effects), [(OpenRecordState::Quarantined, 10)], "one by one");
    assert!(!begins(&effects), "{effects:?}");
    let effects = committed(&mut shard, batch_of(&effects).ticket, 4);
    assert_eq!(told(&effects), [(OpenRecordState::Quarantined, 10)]);
}

#[test]
fn an_attempt_that_failed_is_made_again_when_its_quarantine_is_not_written() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 9, 0)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    let last = run_of(&activate(&mut shard, "c1"));
    assert_eq!(last.attempt, 10);
    let mut out = Vec::new();
    let failed = Ran::Retry { error: "no".into(), is_broken: false };
    shard.ran(NOW, &address("c1"), last.run, failed, &mut out);
    assert_eq!(told(&out), [(OpenRecordState::Quarantined, 10)]);
    let ticket = batch_of(&out).ticket;
    let mut out = fails(&mut shard, ticket, away());
    shard.tick(Timestamp(NOW.0 + 1_000), &mut out);
    assert_eq!(run_of(&activate(&mut shard, "c1")).attempt, 10, "it is not counted");
}

#[test]
fn the_last_attempt_is_made_also_where_the_store_was_away_when_it_was_recorded() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 9, 0)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    let mut out = Vec::new();
    let gone = Err(ActivationFailure::Unavailable("away".into()));
    shard.activated(NOW, &address("c1"), 1, gone, &mut out);
    shard.tick(Timestamp(NOW.0 + 1_000), &mut out);
    assert!(begins(&out), "only recorded: {out:?}");
    let mut out = Vec::new();
    shard.activated(NOW, &address("c1"), 2, Ok(()), &mut out);
    assert_eq!(run_of(&out).attempt, 10);
}

#[test]
fn no_attempt_is_made_beyond_the_last_where_its_failure_cannot_be_stored() {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 9, 0)], &mut out);
    committed(&mut shard, batch_of(&out).ticket, 4);
    let last = run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    let result = Ran::Retry { error: "no".into(), is_broken: false };
    shard.ran(NOW, &last.envelope.address, last.run, result, &mut out);
    for round in 1..=3 {
        let aside = batch_of(&out);
        assert_eq!(
            (aside.open[0].state, aside.open[0].attempts),
            (OpenRecordState::Quarantined, 10)
        );
        out = fails(&mut shard, aside.ticket, CommitFailure::Rejected("no".into()));
        shard.tick(Timestamp(NOW.0 + round * 60_000), &mut out);
        assert!(!out.iter().any(|effect| matches!(effect, Effect::Run(..))), "{out:?}");
    }
}

/// A shard that closes, and what it commits: that an attempt which was recorded is not made.
fn taking_back() -> (Shard<u32>, Batch) {
    let mut shard = shard();
    let mut out = Vec::new();
    recover(&mut shard, vec![recovered("k", 1, 0)], &mut out);
    let recorded = batch_of(&out);
    assert_eq!((recorded.open[0].attempts, recorded.open[0].lost), (2, 1));
    shard.close(&mut Vec::new());
    let back = batch_of(&committed(&mut shard, recorded.ticket, 4));
    (shard, back)
}

#[test]
fn what_is_taken_back_when_a_shard_closes_is_so_until_it_is_written() {
    let (mut shard, mut back) = taking_back();
    for round in 1..=3 {
        assert_eq!((back.open[0].attempts, back.open[0].lost), (1, 0));
        let effects = fails(&mut shard, back.ticket, away());
        assert!(!effects.contains(&Effect::Closed), "the store says that it began: {effects:?}");
        let mut out = Vec::new();
        shard.tick(Timestamp(NOW.0 + round), &mut out);
        back = batch_of(&out);
    }
    assert_eq!(committed(&mut shard, back.ticket, 5).last(), Some(&Effect::Closed));
}

#[test]
fn what_is_taken_back_and_breaks_a_rule_of_the_store_holds_up_no_close() {
    let (mut shard, back) = taking_back();
    let effects = fails(&mut shard, back.ticket, rejected());
    assert_eq!(effects.last(), Some(&Effect::Closed));
}
