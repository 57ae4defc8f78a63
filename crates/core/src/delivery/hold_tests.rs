//! Given, when, then effects: a quarantined message holds up the later ones.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};

use quarry_types::{
    Delivery, Envelope, Epoch, Intervention, KeyOrigin, MessageId, ReplyMode, Sequence, Timestamp,
};

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
    let copy = batch_of(&effects);
    assert_eq!((copy.open[0].attempts, copy.open[0].lost), (0, 0), "waiting is no attempt");
    assert!(copy.open[0].state == OpenRecordState::Waiting && !begins(&effects));
    assert!(committed(&mut shard, copy.ticket, 4).is_empty());
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
fn a_query_waits_for_the_command_before_it_while_the_store_is_asked_and_not_while_it_is_held_up() {
    let mut shard = waiting();
    let number = asked(&admit(&mut shard, message("c1", "k1"), 1))[0];
    let query = |key| Arc::new(message("c1", key));
    let mut out = Vec::new();
    shard.admit(NOW, query("q1"), Delivery::VolatileLocal, 2, &mut out);
    assert!(out.is_empty(), "it sees what was sent before (G4): {out:?}");
    aside(&mut shard, number, None);
    let first = run_of(&activate(&mut shard, "c1"));
    assert_eq!(first.kind, RunKind::Command);

    let (mut held, _) = held_up();
    let mut out = Vec::new();
    held.admit(NOW, query("q2"), Delivery::VolatileLocal, 2, &mut out);
    assert_eq!(run_of(&out).kind, RunKind::Read);
}

#[test]
fn where_progress_outranks_order_nothing_is_asked() {
    let mut shard = shard_of(Limits::default());
    let effects = admit(&mut shard, one_way("k1"), 1);
    assert!(asked(&effects).is_empty());
    run_of(&activate(&mut shard, "c1"));
}

/// What a commit copies among the open messages, in order.
fn copied(batch: &Batch) -> Vec<String> {
    let waits = batch.open.iter().filter(|open| open.state == OpenRecordState::Waiting);
    waits.map(|open| open.envelope.key.to_string()).collect()
}

#[test]
fn what_waits_behind_a_quarantined_message_holds_no_mark_back() {
    let (mut shard, _) = held_up();
    let held = batch_of(&admit(&mut shard, one_way("k3"), 3));
    assert_eq!(held.low_water, Sequence(3), "k2 has a copy, as has the one in quarantine");
    assert_eq!(copied(&held), ["k3"], "together with its row");
    committed(&mut shard, held.ticket, 4);
    let other = Envelope { reply: ReplyMode::Accepted, ..message("c2", "k1") };
    let batch = batch_of(&admit(&mut shard, other, 4));
    assert_eq!((batch.low_water, copied(&batch).len()), (Sequence(4), 0));
}

#[test]
fn a_copy_that_was_not_written_is_written_later() {
    let (mut shard, _) = held_up();
    let held = batch_of(&admit(&mut shard, one_way("k3"), 3));
    let mut out = Vec::new();
    let away = CommitFailure::Unavailable("away".into());
    shard.commit_failed(NOW, held.ticket, away, &mut out);
    assert!(matches!(super::tests::answers(&out)[..], [(3, Err(_))]), "it has no row: {out:?}");
    let held = batch_of(&admit(&mut shard, one_way("k3"), 3));
    assert_eq!(copied(&held), ["k3"]);
}

#[test]
fn an_entity_of_which_all_is_held_up_gives_up_its_actor() {
    let (mut shard, row) = held_up();
    assert!(shard.take_rested().contains(&address("c1")), "it may make room");
    let held = batch_of(&admit(&mut shard, one_way("k3"), 3));
    assert!(!shard.evict(&address("c1")), "something of it is under way");
    committed(&mut shard, held.ticket, 4);
    assert!(shard.take_rested().contains(&address("c1")), "it rests again");
    assert!(shard.evict(&address("c1")) && !shard.evict(&address("c1")));
    let memory = shard.look(&address("c1"));
    assert_eq!((memory.is_resident, memory.waiting), (false, 2));
    let late = Timestamp(NOW.0 + 3_600_000);
    assert_eq!(shard.passivate_idle(late), [], "it has no actor");
    let mut out = Vec::new();
    let query = Arc::new(message("c1", "q"));
    shard.admit(NOW, query, Delivery::VolatileLocal, 5, &mut out);
    let query = run_of(&activate(&mut shard, "c1"));
    assert_eq!(shard.passivate_idle(late), [], "it runs a query");
    done(&mut shard, "c1", query.run);
    assert_eq!(shard.passivate_idle(late), [address("c1")]);

    act(&mut shard, row.envelope.message_id, Intervention::Drop);
    let dropped = batch_of(&found(&mut shard, row));
    let number = asked(&committed(&mut shard, dropped.ticket, 5))[0];
    assert!(begins(&aside(&mut shard, number, None)));
    assert_eq!(run_of(&activate(&mut shard, "c1")).envelope.key.as_str(), "k2");
}

/// Rows of one entity in the store, in order, and what became of them.
#[derive(Default)]
struct Rows {
    open: Vec<Recovered>,
    /// The first one in quarantine.
    aside: Option<MessageId>,
    committed: u64,
    copied: Vec<String>,
    begun: Vec<String>,
    most_in_memory: usize,
}

impl Rows {
    fn page(&self, read: &OpenRead) -> OpenPage {
        let is_behind = |row: &&Recovered| row.position > read.after.1;
        let limit = usize::try_from(read.limit).unwrap();
        let mut messages: Vec<_> = self.open.iter().filter(is_behind).cloned().collect();
        let is_whole = messages.len() <= limit || read.which == Which::Delayed;
        messages.truncate(if read.which == Which::Delayed { 0 } else { limit });
        let next = messages.last().map(|row| (Timestamp(0), row.position));
        OpenPage { messages, next: next.filter(|_| !is_whole) }
    }

    /// Does all that the shard asks for; the last mark.
    fn settle(&mut self, shard: &mut Shard<u32>, effects: Vec<Effect<u32>>) -> Sequence {
        let mut mark = Sequence(0);
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            let mut out = Vec::new();
            match effect {
                Effect::ReadOpen(read) => {
                    shard.open_read(NOW, read.number, Some(self.page(&read)), &mut out);
                }
                Effect::ReadSends { .. } => {
                    shard.sends_read(NOW, Some(SendPage::default()), &mut out);
                }
                Effect::AskAside(address, number) => {
                    shard.aside_read(NOW, &address, number, Ok(self.aside), &mut out);
                }
                Effect::Commit(batch) => {
                    mark = batch.low_water;
                    self.committed += 1;
                    self.copied.extend(copied(&batch));
                    let is_over = |id| batch.finishes.iter().any(|finish| finish.message_id == id);
                    self.open.retain(|row| !is_over(row.envelope.message_id));
                    out = committed(shard, batch.ticket, self.committed);
                }
                Effect::Activate(address, number) => {
                    shard.activated(NOW, &address, number, Ok(()), &mut out);
                }
                Effect::Run(address, work) => {
                    self.begun.push(work.envelope.key.to_string());
                    out = done(shard, address.id.as_str(), work.run);
                }
                _ => {}
            }
            todo.extend(out);
            self.most_in_memory = self.most_in_memory.max(shard.pending_messages());
        }
        mark
    }
}

/// A new owner of twelve messages of an entity that wait behind one in quarantine. Memory has room for
/// a few.
fn taken_over() -> (Shard<u32>, Rows) {
    let mut limits = Limits::default();
    limits.default_type.after_quarantine = AfterQuarantine::Wait;
    limits.backlog = BacklogLimits { page: 2, window: 4, of_entity: 2, ..limits.backlog };
    let row = |number: u32| Recovered {
        position: (Sequence(u64::from(number)), 0),
        ..recovered(&alloc::format!("k{number:02}"), 0, 0)
    };
    let aside = Some(message("c1", "k00").message_id);
    let rows = Rows { open: (1..=12).map(row).collect(), aside, committed: 20, ..Rows::default() };
    let marks = (Sequence(20), Sequence(0));
    (Shard::new(limits, Epoch(7), marks, NOW), rows)
}

#[test]
fn what_is_held_up_and_not_in_memory_is_copied_page_by_page_and_left_in_its_order() {
    let (mut shard, mut rows) = taken_over();
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    rows.settle(&mut shard, out);
    let keys: Vec<String> = rows.open.iter().map(|row| row.envelope.key.to_string()).collect();
    assert_eq!((rows.begun.len(), &rows.copied), (0, &keys), "each once");
    assert!(rows.most_in_memory <= 4, "{} in memory", rows.most_in_memory);
    let others = [("c2", "a"), ("c2", "b")].map(|(id, key)| {
        let other = Envelope { reply: ReplyMode::Accepted, ..message(id, key) };
        admit(&mut shard, other, 3)
    });
    rows.aside = None;
    let before = rows.committed;
    let mark = rows.settle(&mut shard, others.into_iter().flatten().collect());
    assert!(mark >= Sequence(before), "nothing holds the mark back: {mark:?}");
    assert_eq!(core::mem::take(&mut rows.begun), ["a", "b"]);

    let first = Recovered { position: (Sequence(0), 1), ..recovered("k00", 1, 0) };
    act(&mut shard, first.envelope.message_id, Intervention::Drop);
    let effects = found(&mut shard, first);
    rows.settle(&mut shard, effects);
    assert_eq!(rows.begun, keys, "in the order of the rows (D3)");
    assert_eq!(shard.pending_messages(), 0);
}

#[test]
fn a_caller_of_what_is_copied_keeps_nothing_else_from_being_copied() {
    let (mut shard, mut rows) = taken_over();
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    let again = Envelope { key_origin: KeyOrigin::Client, ..message("c1", "k07") };
    out.extend(admit(&mut shard, again, 5));
    rows.settle(&mut shard, out);
    let mut all = rows.copied.clone();
    all.sort_unstable();
    let keys: Vec<String> = rows.open.iter().map(|row| row.envelope.key.to_string()).collect();
    assert_eq!(all, keys);
    assert!(shard.await_outcome(message("c1", "k07").message_id, 6).is_ok(), "it stays");
    assert!(shard.await_outcome(message("c1", "k12").message_id, 6).is_err(), "no other does");
}

#[test]
fn the_next_owner_copies_only_what_its_mark_has_not_passed() {
    let (_, mut rows) = taken_over();
    let mut limits = Limits::default();
    limits.default_type.after_quarantine = AfterQuarantine::Wait;
    let mut shard = Shard::new(limits, Epoch(8), (Sequence(20), Sequence(9)), NOW);
    let mut out = Vec::new();
    shard.start(NOW, &mut out);
    rows.settle(&mut shard, out);
    assert_eq!(rows.copied, ["k10", "k11", "k12"]);
}
