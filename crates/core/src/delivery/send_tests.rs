//! Given, when, then effects: what handlers send to other entities.

use alloc::{string::ToString, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{Answer, Due, Envelope, Failure, MessageId, Method, ReplyMode, Timestamp};

use super::{
    tests::{
        NOW, activate, address, admit, batch_of, committed, done, message, run_of, shard, shard_of,
    },
    *,
};
use crate::outbox::{Ending, OutboxLimits, Outgoing, Passing};

fn outgoing(to: &str, random: u64) -> Outgoing {
    let address = address(to);
    Outgoing {
        message_id: MessageId::new(NOW, address.slot(), random),
        address,
        method: Method::new("add").unwrap(),
        payload: Bytes::from_static(b"1"),
        due: Due::Now,
    }
}

/// The handler ends, having sent one message to each of these.
fn sends(shard: &mut Shard<u32>, id: &str, run: RunId, to: &[&str]) -> Vec<Effect<u32>> {
    let sends = (1..).zip(to).map(|(random, to)| outgoing(to, random)).collect();
    let mut out = Vec::new();
    let statements = Vec::new();
    let result = Ran::Done { reply: Bytes::new(), state: None, sends, statements };
    shard.ran(NOW, &address(id), run, result, &mut out);
    out
}

fn passed_on(effects: &[Effect<u32>]) -> Vec<&Passing> {
    let passing = effects.iter().filter_map(|effect| match effect {
        Effect::PassOn(passing) => Some(passing),
        _ => None,
    });
    passing.collect()
}

fn accepted(shard: &mut Shard<u32>, passing: &Passing) -> Vec<Effect<u32>> {
    let message_id = passing.entry.outgoing.message_id;
    let mut out = Vec::new();
    let answer = Ok(Answer::Accepted { message_id, replayed: false });
    shard.passed_on(NOW, passing.place, &answer, &mut out);
    out
}

#[test]
fn a_send_is_of_the_commit_of_its_handler_and_passed_on_behind_it() {
    let mut shard = shard();
    let sender = message("c1", "k1");
    let id = sender.message_id;
    admit(&mut shard, sender, 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let effects = sends(&mut shard, "c1", work.run, &["c2", "c3"]);
    assert!(passed_on(&effects).is_empty(), "nothing leaves before the commit (O1)");
    let batch = batch_of(&effects);
    let made: Vec<_> =
        batch.sends.iter().map(|entry| (entry.id.message_id, entry.id.index)).collect();
    assert_eq!((batch.finishes.len(), made), (1, vec![(id, 0), (id, 1)]), "G2");
    assert_eq!(passed_on(&committed(&mut shard, batch.ticket, 1)).len(), 2);
}

#[test]
fn a_handler_that_fails_sends_nothing() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let mut out = Vec::new();
    let failure = Failure { code: "no".to_string(), message: "no".to_string() };
    shard.ran(NOW, &address("c1"), work.run, Ran::Failed(failure), &mut out);
    assert!(batch_of(&out).sends.is_empty());
}

#[test]
fn an_accepted_send_is_closed_with_the_next_commit_of_the_shard() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&sends(&mut shard, "c1", work.run, &["c2"]));
    let effects = committed(&mut shard, batch.ticket, 1);
    let passing = passed_on(&effects)[0].clone();
    assert!(accepted(&mut shard, &passing).is_empty(), "it waits for a commit");
    admit(&mut shard, message("c1", "k2"), 2);
    let mut out = Vec::new();
    shard.tick(NOW, &mut out);
    let work = RunId(2);
    let batch = batch_of(&done(&mut shard, "c1", work));
    assert_eq!((batch.finishes.len(), batch.closed.len()), (1, 1));
    assert_eq!(
        (batch.closed[0].id, &batch.closed[0].ending),
        (passing.entry.id, &Ending::Accepted)
    );
}

#[test]
fn an_idle_shard_closes_by_itself_after_a_while() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&sends(&mut shard, "c1", work.run, &["c2"]));
    let effects = committed(&mut shard, batch.ticket, 1);
    accepted(&mut shard, passed_on(&effects)[0]);
    let at = shard.next_wake().unwrap();
    let mut out = Vec::new();
    shard.tick(at, &mut out);
    let batch = batch_of(&out);
    assert_eq!((batch.finishes.len(), batch.closed.len()), (0, 1));
    assert!(committed(&mut shard, batch.ticket, 2).is_empty());
    assert_eq!(shard.next_wake(), None);
}

#[test]
fn sends_of_a_commit_that_failed_are_made_anew_by_the_next_run() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let ticket = batch_of(&admit(&mut shard, one_way, 1)).ticket;
    let work = run_of(&activate(&mut shard, "c1"));
    committed(&mut shard, ticket, 1);
    let first = batch_of(&sends(&mut shard, "c1", work.run, &["c2"]));
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".to_string());
    shard.commit_failed(NOW, first.ticket, away, &mut out);
    shard.tick(Timestamp(NOW.0 + 100), &mut out);
    assert!(passed_on(&out).is_empty(), "what is not there is not passed on");
    let work = run_of(&activate(&mut shard, "c1"));
    let second = batch_of(&sends(&mut shard, "c1", work.run, &["c2"]));
    assert_eq!(second.sends[0].id, first.sends[0].id, "under the same key");
    assert_eq!(passed_on(&committed(&mut shard, second.ticket, 2)).len(), 1);
}

#[test]
fn an_entity_with_too_many_open_sends_gets_its_next_message_when_one_is_accepted() {
    let outbox = OutboxLimits { of_sender: 2, ..OutboxLimits::default() };
    let mut shard = shard_of(Limits { outbox, ..Limits::default() });
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&sends(&mut shard, "c1", work.run, &["c2", "c3"]));
    let effects = committed(&mut shard, batch.ticket, 1);
    let passing = passed_on(&effects)[0].clone();
    assert!(admit(&mut shard, message("c1", "k2"), 2).is_empty(), "it waits in the mailbox");
    admit(&mut shard, message("c4", "k4"), 3);
    assert_eq!(run_of(&activate(&mut shard, "c4")).envelope.key.as_str(), "k4");
    assert_eq!(run_of(&accepted(&mut shard, &passing)).envelope.key.as_str(), "k2");
}

#[test]
fn a_closing_shard_closes_what_is_accepted_and_passes_nothing_on() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let batch = batch_of(&sends(&mut shard, "c1", work.run, &["c2", "c2"]));
    let effects = committed(&mut shard, batch.ticket, 1);
    let passing = passed_on(&effects)[0].clone();
    let next = accepted(&mut shard, &passing);
    let mut out = Vec::new();
    shard.close(&mut out);
    let batch = batch_of(&out);
    assert_eq!(batch.closed.len(), 1);
    let effects = committed(&mut shard, batch.ticket, 2);
    assert_eq!(effects, [Effect::Closed]);
    assert_eq!(passed_on(&next).len(), 1);
    assert!(accepted(&mut shard, passed_on(&next)[0]).is_empty());
}
