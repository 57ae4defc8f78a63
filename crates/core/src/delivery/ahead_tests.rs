//! An actor breaks, or a commit fails, while what was handled before waits for its commit.

use alloc::{string::ToString, vec::Vec};

use quarry_types::{Delivery, Envelope, ReplyMode};

use super::{
    tests::{NOW, activate, address, admit, batch_of, committed, done, message, run_of, shard},
    *,
};

fn breaks(shard: &mut Shard<u32>, run: RunId) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let broken = Ran::Retry { error: "panicked".to_string(), is_broken: true };
    shard.ran(NOW, &address("c1"), run, broken, &mut out);
    out
}

fn activations(effects: &[Effect<u32>]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Activate(..))).count()
}

/// A shard in which `k1` is handled and on its way into the store, and `k2` runs.
fn ahead() -> (Shard<u32>, Batch, Work) {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let first = run_of(&activate(&mut shard, "c1"));
    let effects = done(&mut shard, "c1", first.run);
    let (batch, second) = (batch_of(&effects), run_of(&effects));
    (shard, batch, second)
}

#[test]
fn the_state_is_loaded_again_only_after_the_commit_of_what_the_broken_actor_did() {
    let (mut shard, batch, second) = ahead();
    assert_eq!(activations(&breaks(&mut shard, second.run)), 0);
    let back_off_is_over = shard.next_wake().unwrap();
    let mut out = Vec::new();
    shard.tick(back_off_is_over, &mut out);
    assert_eq!(activations(&out), 0, "the stored state lacks k1");
    assert_eq!(activations(&committed(&mut shard, batch.ticket, 1)), 1);
}

#[test]
fn a_read_after_the_break_waits_for_that_commit_too() {
    let (mut shard, batch, second) = ahead();
    breaks(&mut shard, second.run);
    let mut out = Vec::new();
    let read = message("c1", "read").into();
    shard.admit(NOW, read, Delivery::VolatileLocal, 3, &mut out);
    assert_eq!(activations(&out), 0, "the stored state lacks k1");
    assert_eq!(activations(&committed(&mut shard, batch.ticket, 1)), 1);
}

#[test]
fn a_failed_commit_wakes_the_entity_of_a_broken_actor_too() {
    let (mut shard, batch, second) = ahead();
    breaks(&mut shard, second.run);
    let mut out = Vec::new();
    let failure = CommitFailure::Rejected("bad".to_string());
    shard.commit_failed(NOW, batch.ticket, failure, &mut out);
    assert_eq!(activations(&out), 1, "k1 was refused, k2 goes on");
}

#[test]
fn an_attempt_is_not_recorded_while_what_failed_to_be_stored_comes_first_again() {
    let mut shard = shard();
    let one_way = Envelope { reply: ReplyMode::Accepted, ..message("c1", "k1") };
    let row = batch_of(&admit(&mut shard, one_way, 1));
    let first = run_of(&activate(&mut shard, "c1"));
    committed(&mut shard, row.ticket, 1);
    let outcome = batch_of(&done(&mut shard, "c1", first.run));
    let resent = Envelope { send_count: 1, ..message("c1", "k2") };
    let message_id = resent.message_id;
    admit(&mut shard, resent, 2);
    // With k1 handled it is the first one, so that its attempt is to be recorded.
    shard.looked_up(NOW, message_id, Ok(None), &mut Vec::new());
    let mut out = Vec::new();
    let failure = CommitFailure::Rejected("bad".to_string());
    shard.commit_failed(NOW, outcome.ticket, failure, &mut out);
    let batch = batch_of(&out);
    let attempted: Vec<_> = batch.open.iter().map(|open| open.envelope.key.as_str()).collect();
    assert_eq!(attempted, ["k1"], "a new owner would run k2 before k1 (D3)");
    assert_eq!(batch.accepts.len(), 1, "its row is written all the same");
}
