//! What nothing would wake is found, counted, and goes on (G9).

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};

use quarry_types::{Due, Envelope, ReplyMode, Sequence, Timestamp};

use super::{
    message::Phase,
    tests::{NOW, activate, address, admit, batch_of, committed, done, message, run_of, shard},
    *,
};

fn audit(shard: &mut Shard<u32>) -> (usize, Vec<Effect<u32>>) {
    let mut out = Vec::new();
    shard.audit(NOW, true, &mut out);
    (shard.take_stalls(), out)
}

fn read_of(effects: &[Effect<u32>]) -> OpenRead {
    let read = effects.iter().find_map(|effect| match effect {
        Effect::ReadOpen(read) => Some(read.clone()),
        _ => None,
    });
    read.unwrap_or_else(|| panic!("nothing is read: {effects:?}"))
}

fn row(id: &str, key: &str) -> Recovered {
    Recovered {
        envelope: Arc::new(message(id, key)),
        original: None,
        accepted_at: NOW,
        position: (Sequence(1), 0),
        attempts: 0,
        lost: 0,
        due: Timestamp(0),
        is_delayed: false,
        errors: vec![],
        chunks: 0,
    }
}

#[test]
fn nothing_is_found_where_all_will_be_woken() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let due = Due::At(Timestamp(NOW.0 + 1_000));
    admit(&mut shard, Envelope { due, ..message("c2", "k3") }, 3);
    assert_eq!(audit(&mut shard).0, 0, "one loads, one waits, one is delayed");
    let run = run_of(&activate(&mut shard, "c1")).run;
    assert_eq!(audit(&mut shard).0, 0, "one runs");
    done(&mut shard, "c1", run);
    assert_eq!(audit(&mut shard).0, 0, "one waits for its commit");
}

#[test]
fn a_back_off_without_a_timer_gets_one() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let run = run_of(&activate(&mut shard, "c1")).run;
    let mut out = Vec::new();
    let failed = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), run, failed, &mut out);
    committed(&mut shard, batch_of(&out).ticket, 1);
    shard.due.clear();
    assert_eq!(shard.next_wake(), None, "nothing would wake it");
    assert_eq!(audit(&mut shard).0, 1);
    assert!(shard.next_wake().is_some());
    assert_eq!(audit(&mut shard).0, 0, "it is found once");
}

#[test]
fn a_message_whose_turn_was_lost_runs() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    run_of(&activate(&mut shard, "c1"));
    shard.entities.get_mut(&address("c1")).unwrap().running = None;
    let (found, out) = audit(&mut shard);
    assert!(found > 0);
    assert_eq!(run_of(&out).envelope.key.as_str(), "k1");
}

#[test]
fn a_message_that_waits_for_a_commit_that_is_not_there_runs_again() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let ticket = batch_of(&admit(&mut shard, one_way, 1)).ticket;
    activate(&mut shard, "c1");
    committed(&mut shard, ticket, 1);
    let id = message("c1", "k1").message_id;
    shard.entities.get_mut(&address("c1")).unwrap().running = None;
    shard.entities.get_mut(&address("c1")).unwrap().queue.clear();
    shard.messages.get_mut(&id).unwrap().phase = Phase::Settling;
    let (found, out) = audit(&mut shard);
    assert!(found > 0);
    assert_eq!(run_of(&out).envelope.message_id, id);
}

#[test]
fn a_row_that_is_in_no_memory_is_handled() {
    let mut shard = shard();
    let read = read_of(&audit(&mut shard).1);
    assert_eq!(read.which, Which::Waiting);
    let mut out = Vec::new();
    let page = OpenPage { messages: vec![row("c1", "lost")], next: None };
    shard.open_read(NOW, read.number, Some(page), &mut out);
    assert_eq!(shard.take_stalls(), 1);
    let recorded = batch_of(&out);
    assert_eq!(recorded.open[0].attempts, 1, "its attempt is recorded first");
    assert_eq!(read_of(&out).which, Which::Delayed, "what is delayed is looked through too");
    committed(&mut shard, recorded.ticket, 2);
    assert_eq!(run_of(&activate(&mut shard, "c1")).envelope.key.as_str(), "lost");
}

#[test]
fn what_ended_while_the_store_was_looked_through_was_not_lost() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let ticket = batch_of(&admit(&mut shard, one_way, 1)).ticket;
    committed(&mut shard, ticket, 1);
    let read = read_of(&audit(&mut shard).1);
    let run = run_of(&activate(&mut shard, "c1")).run;
    let ticket = batch_of(&done(&mut shard, "c1", run)).ticket;
    committed(&mut shard, ticket, 2);
    let page = OpenPage { messages: vec![row("c1", "k1")], next: None };
    shard.open_read(NOW, read.number, Some(page), &mut Vec::new());
    assert_eq!((shard.take_stalls(), shard.pending_messages()), (0, 0));
}

/// Handles three messages, each in a commit of its own. The last commit says that those before it
/// are done with.
fn handles_three() -> Shard<u32> {
    let mut shard = shard();
    for (sequence, key) in [(1, "k1"), (2, "k2"), (3, "k3")] {
        let mut out = admit(&mut shard, message("c1", key), 1);
        if sequence == 1 {
            out = activate(&mut shard, "c1");
        }
        let run = run_of(&out).run;
        let ticket = batch_of(&done(&mut shard, "c1", run)).ticket;
        committed(&mut shard, ticket, sequence);
    }
    shard
}

/// A whole look through the store, which shows these rows.
fn look_through(shard: &mut Shard<u32>, messages: Vec<Recovered>) -> (usize, Vec<Effect<u32>>) {
    let waiting = read_of(&audit(shard).1);
    let mut out = Vec::new();
    let page = OpenPage { messages, next: None };
    shard.open_read(NOW, waiting.number, Some(page), &mut out);
    let delayed = read_of(&out);
    shard.open_read(NOW, delayed.number, Some(OpenPage::default()), &mut out);
    (shard.take_stalls(), out)
}

#[test]
fn what_was_looked_through_is_not_read_again() {
    let mut shard = handles_three();
    assert_eq!(shard.sound_up_to(), Sequence(0));
    assert_eq!(look_through(&mut shard, vec![]).0, 0);
    assert_eq!(shard.sound_up_to(), Sequence(2));
}

#[test]
fn a_look_that_could_not_be_ended_confirms_nothing() {
    let mut shard = handles_three();
    let read = read_of(&audit(&mut shard).1);
    shard.open_read(NOW, read.number, None, &mut Vec::new());
    assert_eq!(shard.sound_up_to(), Sequence(0));
}

#[test]
fn looks_never_begin_behind_what_was_found_once() {
    let mut shard = handles_three();
    let (found, out) = look_through(&mut shard, vec![row("c2", "lost")]);
    assert_eq!((found, shard.sound_up_to()), (1, Sequence(0)));
    committed(&mut shard, batch_of(&out).ticket, 4);
    let run = run_of(&activate(&mut shard, "c2")).run;
    let ticket = batch_of(&done(&mut shard, "c2", run)).ticket;
    committed(&mut shard, ticket, 5);
    assert_eq!(look_through(&mut shard, vec![]).0, 0);
    assert_eq!(shard.sound_up_to(), Sequence(0), "it is held, but in no commit's account");
}
