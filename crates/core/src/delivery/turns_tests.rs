//! Queries side by side, and never beside a command.

use alloc::{sync::Arc, vec, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;
use quarry_types::{
    Answer, Delivery, Envelope, KeyOrigin, MessageId, Outcome, ReplyMode, Timestamp,
};

use super::{
    tests::{
        NOW, activate, address, admit, answers, batch_of, committed, done, message, run_of, shard,
        shard_of,
    },
    turns::{Front, Next, next},
    *,
};

fn ask(shard: &mut Shard<u32>, key: &str, waiter: u32) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let envelope = Arc::new(message("c1", key));
    shard.admit(NOW, envelope, Delivery::VolatileLocal, waiter, &mut out);
    out
}

fn runs(effects: &[Effect<u32>]) -> Vec<Work> {
    let work = effects.iter().filter_map(|effect| match effect {
        Effect::Run(_, work) => Some(work.clone()),
        _ => None,
    });
    work.collect()
}

fn kinds(effects: &[Effect<u32>]) -> Vec<RunKind> {
    runs(effects).iter().map(|work| work.kind).collect()
}

fn answered(shard: &mut Shard<u32>, run: RunId, result: Ran) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    shard.ran(NOW, &address("c1"), run, result, &mut out);
    out
}

fn read(shard: &mut Shard<u32>, run: RunId) -> Vec<Effect<u32>> {
    let (reply, state) = (Bytes::from_static(b"1"), None);
    answered(shard, run, Ran::Done { reply, state, sends: vec![], statements: vec![] })
}

#[test]
fn turns_are_taken_in_the_order_in_which_commands_and_queries_came() {
    let id = message("c1", "k").message_id;
    let (absent, near, ready) = (Front::Absent, Front::Near(5), Front::Ready(5, id));
    let table: &[(Front, usize, &[u64], Next)] = &[
        (absent, 0, &[], Next::Nobody),
        (absent, 0, &[1, 9], Next::Reads(2)),
        (absent, 2, &[1, 9], Next::Reads(1)),
        (absent, 3, &[1, 9], Next::Nobody),
        (near, 0, &[], Next::Nobody),
        (near, 0, &[6], Next::Nobody),
        (near, 1, &[4, 6], Next::Reads(1)),
        (ready, 0, &[], Next::Command(id)),
        (ready, 0, &[6, 7], Next::Command(id)),
        (ready, 0, &[3, 4, 6], Next::Reads(2)),
        (ready, 1, &[3, 4, 6], Next::Reads(2)),
        (ready, 3, &[3], Next::Nobody),
        (ready, 1, &[6], Next::Nobody),
        (ready, 1, &[], Next::Nobody),
    ];
    for (front, running, waiting, expected) in table {
        let turn = next(*front, *running, waiting.iter().copied(), 3);
        assert_eq!(turn, *expected, "{front:?}, {running} run, {waiting:?} wait");
    }
    assert_eq!(next(absent, 0, [1], 0), Next::Reads(1), "no bound keeps all from running");
}

#[test]
fn queries_run_side_by_side_up_to_their_bound_and_a_command_alone() {
    let default_type = TypeLimits { concurrency: 2, ..TypeLimits::default() };
    let mut shard = shard_of(Limits { default_type, ..Limits::default() });
    for (key, waiter) in [("q1", 1), ("q2", 2), ("q3", 3)] {
        ask(&mut shard, key, waiter);
    }
    let begun = runs(&activate(&mut shard, "c1"));
    assert_eq!(begun.len(), 2, "no more than its type allows");
    assert!(admit(&mut shard, message("c1", "k1"), 4).is_empty(), "not beside queries");
    assert!(ask(&mut shard, "q4", 5).is_empty(), "not before a command that came first");
    let effects = read(&mut shard, begun[1].run);
    assert_eq!(answers(&effects)[0].0, 2);
    let third = runs(&effects);
    assert_eq!(third.iter().map(|work| work.kind).collect::<Vec<_>>(), [RunKind::Read]);
    assert_eq!(kinds(&read(&mut shard, begun[0].run)), [], "one query still runs");
    let command = runs(&read(&mut shard, third[0].run));
    assert_eq!(command[0].kind, RunKind::Command);
    assert_eq!(kinds(&done(&mut shard, "c1", command[0].run)), [RunKind::Read], "behind its write");
}

#[test]
fn a_query_waits_for_the_look_up_of_the_command_before_it_and_not_for_a_back_off() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k0"), 1);
    let first = run_of(&activate(&mut shard, "c1"));
    let resent = Envelope { key_origin: KeyOrigin::Client, ..message("c1", "k1") };
    admit(&mut shard, resent.clone(), 2);
    ask(&mut shard, "q1", 3);
    assert_eq!(kinds(&done(&mut shard, "c1", first.run)), [], "the command may be new");
    let mut out = Vec::new();
    shard.looked_up(NOW, resent.message_id, Ok(None), &mut out);
    let second = run_of(&out);
    assert_eq!(second.kind, RunKind::Command);
    let failed = Ran::Retry { error: "not yet".into(), is_broken: false };
    assert_eq!(kinds(&answered(&mut shard, second.run, failed)), [RunKind::Read]);
}

#[test]
fn a_query_that_panics_takes_no_other_along_and_nothing_begins_on_what_it_may_have_broken() {
    let mut shard = shard();
    ask(&mut shard, "q1", 1);
    ask(&mut shard, "q2", 2);
    let begun = runs(&activate(&mut shard, "c1"));
    let panicked = Ran::Retry { error: "as asked".into(), is_broken: true };
    let effects = answered(&mut shard, begun[0].run, panicked);
    assert!(!effects.contains(&Effect::Passivate(address("c1"))), "{effects:?}");
    assert!(ask(&mut shard, "q3", 3).is_empty());
    let effects = read(&mut shard, begun[1].run);
    assert!(matches!(answers(&effects)[..], [(2, Ok(Answer::Handled { .. }))]));
    assert!(effects.contains(&Effect::Passivate(address("c1"))));
    assert!(effects.contains(&Effect::Activate(address("c1"), 2)));
}

#[test]
fn queries_that_run_when_a_commit_fails_run_again_in_their_order() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let command = run_of(&activate(&mut shard, "c1"));
    ask(&mut shard, "q1", 2);
    ask(&mut shard, "q2", 3);
    let effects = done(&mut shard, "c1", command.run);
    let (batch, begun) = (batch_of(&effects), runs(&effects));
    assert!(answers(&read(&mut shard, begun[0].run)).is_empty(), "held");
    let mut out = Vec::new();
    shard.commit_failed(NOW, batch.ticket, CommitFailure::Rejected("no".into()), &mut out);
    assert!(matches!(answers(&out)[..], [(1, Err(_))]), "{out:?}");
    assert!(read(&mut shard, begun[1].run).is_empty(), "that run was given up");
    let again = runs(&activate(&mut shard, "c1"));
    let ids = |begun: &[Work]| -> Vec<MessageId> {
        begun.iter().map(|work| work.envelope.message_id).collect()
    };
    assert_eq!(ids(&again), ids(&begun));
}

/// What a client does with the entity, or what becomes of it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Ask,
    /// The run of this place among those under way ends.
    End(usize),
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Write),
        2 => Just(Step::Ask),
        3 => (0..8_usize).prop_map(Step::End),
        1 => Just(Step::Commit),
    ];
    proptest::collection::vec(step, 1..120)
}

/// One client's commands and queries, in the order in which it sent them.
#[derive(Default)]
struct Played {
    sent: Vec<MessageId>,
    begun: Vec<MessageId>,
    under_way: Vec<Work>,
    commit: Option<u64>,
    commits: u64,
    answered: Vec<MessageId>,
}

impl Played {
    fn take(&mut self, most: usize, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Run(_, work) => {
                    self.begun.push(work.envelope.message_id);
                    self.under_way.push(work);
                }
                Effect::Commit(batch) => self.commit = Some(batch.ticket),
                Effect::Answer {
                    result: Ok(Answer::Handled { message_id, outcome, .. }), ..
                } => {
                    assert!(matches!(outcome, Outcome::Success(_)));
                    self.answered.push(message_id);
                }
                _ => {}
            }
            let commands = self.under_way.iter().filter(|work| work.kind == RunKind::Command);
            assert!(
                commands.count() == 0 || self.under_way.len() == 1,
                "a command is alone: {:?}",
                self.under_way
            );
            assert!(self.under_way.len() <= most);
        }
    }
}

fn play(steps: &[Step], most: usize) {
    let default_type = TypeLimits { concurrency: most, ..TypeLimits::default() };
    let mut shard = shard_of(Limits { default_type, ..Limits::default() });
    let mut played = Played::default();
    let step = |shard: &mut Shard<u32>, played: &mut Played, step: Step| {
        let key = alloc::format!("k{}", played.sent.len());
        let effects = match step {
            Step::Write => {
                played.sent.push(message("c1", &key).message_id);
                admit(shard, Envelope { reply: ReplyMode::Outcome, ..message("c1", &key) }, 1)
            }
            Step::Ask => {
                played.sent.push(message("c1", &key).message_id);
                ask(shard, &key, 1)
            }
            Step::End(_) if played.under_way.is_empty() => Vec::new(),
            Step::End(at) => {
                let work = played.under_way.remove(at % played.under_way.len());
                match work.kind {
                    RunKind::Command => done(shard, "c1", work.run),
                    RunKind::Read => read(shard, work.run),
                }
            }
            Step::Commit => match played.commit.take() {
                Some(ticket) => {
                    played.commits += 1;
                    committed(shard, ticket, played.commits)
                }
                None => Vec::new(),
            },
        };
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Activate(_, number) => Some(*number),
            _ => None,
        });
        played.take(most, effects);
        if let Some(number) = asked {
            let mut out = Vec::new();
            shard.activated(NOW, &address("c1"), number, Ok(()), &mut out);
            played.take(most, out);
        }
    };
    for next in steps {
        step(&mut shard, &mut played, *next);
    }
    while played.commit.is_some() || !played.under_way.is_empty() {
        step(&mut shard, &mut played, Step::End(0));
        step(&mut shard, &mut played, Step::Commit);
    }
    assert_eq!(played.begun, played.sent, "nothing overtakes, and nothing is left");
    played.answered.sort_unstable();
    let mut sent = played.sent;
    sent.sort_unstable();
    assert_eq!(played.answered, sent, "each is answered once");
}

proptest! {
    #[test]
    fn whatever_comes_begins_in_its_order_and_a_command_is_alone(
        steps in steps(),
        most in 1..5_usize,
    ) {
        play(&steps, most);
    }
}

#[test]
fn an_entity_with_queries_under_way_is_not_idle() {
    let mut shard = shard();
    ask(&mut shard, "q1", 1);
    let begun = runs(&activate(&mut shard, "c1"));
    let late = Timestamp(NOW.0 + 3_600_000);
    assert_eq!(shard.passivate_idle(late), []);
    read(&mut shard, begun[0].run);
    assert_eq!(shard.passivate_idle(late), [address("c1")]);
}

#[test]
fn an_entity_makes_room_only_where_it_has_nothing_to_do_and_is_told_when_it_rests() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let command = run_of(&activate(&mut shard, "c1"));
    assert!(!shard.evict(&address("c1")), "it runs");
    let batch = batch_of(&done(&mut shard, "c1", command.run));
    assert!(!shard.evict(&address("c1")), "what it did is not committed");
    assert_eq!(shard.take_rested(), []);
    committed(&mut shard, batch.ticket, 1);
    assert_eq!(shard.take_rested(), [address("c1")]);
    ask(&mut shard, "q1", 2);
    assert!(!shard.evict(&address("c1")), "it is asked something");
    let run = RunId(2);
    read(&mut shard, run);
    assert_eq!(shard.take_rested(), [address("c1")]);
    assert_eq!(shard.take_rested(), [], "it is told once");
    assert!(shard.evict(&address("c1")));
    assert_eq!(shard.resident_entities(), 0);
    assert_eq!(ask(&mut shard, "q2", 3), [Effect::Activate(address("c1"), 2)]);
}
