//! Given, when, then effects: a quarantined message holds up the later ones.

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};

use quarry_types::{Envelope, Intervention, MessageId, ReplyMode, Sequence};

use super::{
    operate_tests::{REDRIVE, act, found},
    tests::{
        NOW, activate, address, admit, batch_of, committed, done, message, recovered, run_of,
        shard_of,
    },
    *,
};

/// A shard of entities that wait, and give up at once.
fn waiting() -> Shard<u32> {
    let mut limits = Limits::default();
    limits.default_type.after_quarantine = AfterQuarantine::Wait;
    limits.default_type.attempts = 1;
    shard_of(limits)
}

fn asked(effects: &[Effect<u32>]) -> Vec<u64> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::AskAside(_, number) => Some(*number),
        _ => None,
    });
    asked.collect()
}

fn begins(effects: &[Effect<u32>]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Run(..) | Effect::Activate(..)))
}

/// The store says what is quarantined.
fn aside(shard: &mut Shard<u32>, number: u64, first: Option<MessageId>) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.aside_read(NOW, &address("c1"), number, Ok(first), &mut out);
    out
}

fn one_way(key: &str) -> Envelope {
    Envelope { reply: ReplyMode::Accepted, ..message("c1", key) }
}

/// A shard of which the message `k1` is in quarantine and `k2` waits; and what stands of the first.
fn held_up() -> (Shard<u32>, Recovered) {
    let mut shard = waiting();
    let effects = admit(&mut shard, one_way("k1"), 1);
    let (flying, number) = (batch_of(&effects).ticket, asked(&effects));
    assert!(!begins(&effects), "not before it is known that nothing is quarantined");
    aside(&mut shard, number[0], None);
    committed(&mut shard, flying, 1);
    let first = run_of(&activate(&mut shard, "c1"));
    let flying = batch_of(&admit(&mut shard, one_way("k2"), 2)).ticket;
    let mut out = Vec::new();
    let failed = Ran::Retry { error: "no".into(), is_broken: false };
    shard.ran(NOW, &address("c1"), first.run, failed, &mut out);
    out.extend(committed(&mut shard, flying, 2));
    let batch = batch_of(&out);
    assert_eq!(batch.open[0].state, OpenRecordState::Quarantined);
    out.extend(committed(&mut shard, batch.ticket, 3));
    assert!(!begins(&out) && asked(&out).is_empty(), "it waits: {out:?}");
    let row = Recovered { envelope: first.envelope, ..recovered("k1", 1, 0) };
    (shard, Recovered { position: (Sequence(1), 0), ..row })
}

#[test]
fn what_waits_behind_a_quarantined_message_goes_on_behind_it_when_it_is_redriven() {
    let (mut shard, row) = held_up();
    let later = admit(&mut shard, one_way("k3"), 3);
    let flying = batch_of(&later).ticket;
    act(&mut shard, row.envelope.message_id, REDRIVE);
    found(&mut shard, row);
    let redriven = batch_of(&committed(&mut shard, flying, 4));
    let effects = committed(&mut shard, redriven.ticket, 5);
    assert!(!begins(&effects));
    let effects = aside(&mut shard, asked(&effects)[0], None);
    let mut order = Vec::new();
    let mut work = run_of(&effects);
    loop {
        order.push(work.envelope.key.to_string());
        let effects = done(&mut shard, "c1", work.run);
        if !begins(&effects) {
            break;
        }
        work = run_of(&effects);
    }
    assert_eq!(order, ["k1", "k2", "k3"], "in admitted order (D3)");
}

#[test]
fn what_waits_behind_a_quarantined_message_goes_on_when_it_is_dropped() {
    let (mut shard, row) = held_up();
    act(&mut shard, row.envelope.message_id, Intervention::Drop);
    let dropped = batch_of(&found(&mut shard, row));
    let effects = committed(&mut shard, dropped.ticket, 4);
    assert!(!begins(&effects));
    let effects = aside(&mut shard, asked(&effects)[0], None);
    assert_eq!(run_of(&effects).envelope.key.as_str(), "k2");
}

#[test]
fn a_new_owner_asks_what_is_quarantined_before_an_attempt_is_recorded() {
    let mut shard = waiting();
    let mut out = Vec::new();
    let row = Recovered { attempts: 0, ..recovered("k2", 0, 1) };
    horizon_tests::recover(&mut shard, vec![row], &mut out);
    let number = asked(&out);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Commit(_))), "{out:?}");
    let held = message("c1", "k1").message_id;
    let effects = aside(&mut shard, number[0], Some(held));
    assert!(effects.is_empty(), "waiting is no attempt: {effects:?}");
    shard.audit(NOW, false, &mut Vec::new());
    assert_eq!(shard.take_stalls(), 0, "an operator wakes it");
}

#[test]
fn an_answer_that_was_read_before_something_changed_is_not_believed() {
    let (mut shard, row) = held_up();
    act(&mut shard, row.envelope.message_id, REDRIVE);
    let redriven = batch_of(&found(&mut shard, row.clone()));
    let first = asked(&committed(&mut shard, redriven.ticket, 4))[0];
    let stale = aside(&mut shard, first - 1, None);
    assert!(stale.is_empty(), "of a question before");
    let effects = aside(&mut shard, first, Some(row.envelope.message_id));
    assert!(!begins(&effects), "another one may be quarantined too");
}

#[test]
fn a_call_that_waits_behind_a_quarantined_message_gets_its_row() {
    let (mut shard, _) = held_up();
    let call = message("c1", "k3");
    let batch = batch_of(&admit(&mut shard, call.clone(), 3));
    assert_eq!(batch.accepts.len(), 1);
    assert_eq!(batch.accepts[0].envelope, Arc::new(call), "its caller may go");
}

#[test]
fn where_progress_outranks_order_nothing_is_asked() {
    let mut shard = shard_of(Limits::default());
    let effects = admit(&mut shard, one_way("k1"), 1);
    assert!(asked(&effects).is_empty());
    run_of(&activate(&mut shard, "c1"));
}
