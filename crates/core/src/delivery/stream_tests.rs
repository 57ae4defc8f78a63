//! Given, when, then effects: chunks, and what waits for them.

use alloc::{string::ToString, sync::Arc, vec, vec::Vec};

use bytes::Bytes;
use quarry_types::{Sequence, Timestamp};

use super::{horizon_tests::recover, tests::*, *};

fn made(text: &'static str) -> Chunk {
    Chunk::Made(Bytes::from_static(text.as_bytes()))
}

fn emit(shard: &mut Shard<u32>, run: RunId, texts: &[&'static str]) -> Vec<Effect<u32>> {
    let mut out = Vec::new();
    let made = texts.iter().map(|text| emission(made(text))).collect();
    shard.emitted(NOW, &address("c1"), run, made, &mut out);
    out
}

fn emission(chunk: Chunk) -> Emission<u32> {
    Emission { chunk, waiter: None }
}

/// A message of which so many chunks stand, and which runs again.
pub(super) fn runs_again(shard: &mut Shard<u32>, chunks: u64) -> Work {
    let recovered = Recovered {
        envelope: Arc::new(message("c1", "k1")),
        original: None,
        accepted_at: NOW,
        position: (Sequence(3), 0),
        attempts: 1,
        lost: 0,
        due: Timestamp(0),
        is_delayed: false,
        errors: vec![],
        chunks,
    };
    let mut out = Vec::new();
    recover(shard, vec![recovered], &mut out);
    let ticket = batch_of(&out).ticket;
    committed(shard, ticket, 4);
    run_of(&activate(shard, "c1"))
}

/// The page of `stored` that is asked for comes.
pub(super) fn page_comes(
    shard: &mut Shard<u32>,
    effects: &[Effect<u32>],
    stored: &[Chunk],
) -> Vec<Effect<u32>> {
    let read = effects.iter().find_map(|effect| match effect {
        Effect::ReadChunks(read) => Some(*read),
        _ => None,
    });
    let read = read.unwrap_or_else(|| panic!("nothing is read: {effects:?}"));
    let from = usize::try_from(read.from).unwrap();
    let limit = usize::try_from(read.limit).unwrap();
    let page: Vec<Chunk> = stored.iter().skip(from).take(limit).cloned().collect();
    let mut out = Vec::new();
    shard.chunks_read(read.message_id, read.number, &page, &mut out);
    out
}

#[test]
fn chunks_are_readable_once_they_are_durable() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let id = work.envelope.message_id;
    let mut out = Vec::new();
    assert!(shard.await_chunks(id, 0, 9, &mut out).is_ok() && out.is_empty());
    let batch = batch_of(&emit(&mut shard, work.run, &["a", "b"]));
    assert_eq!(
        (batch.accepts.len(), batch.chunks[0].first, batch.chunks[0].chunks.len()),
        (1, 0, 2)
    );
    assert_eq!(committed(&mut shard, batch.ticket, 1), [Effect::Readable(9)]);
    assert!(shard.await_chunks(id, 2, 9, &mut out).is_ok() && out.is_empty());
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let effects = committed(&mut shard, batch.ticket, 2);
    assert!(effects.contains(&Effect::Readable(9)), "the end is told too");
    assert_eq!(shard.await_chunks(id, 2, 9, &mut out), Err(9));
}

#[test]
fn a_handler_that_runs_again_repeats_no_chunk_and_resets_where_it_differs() {
    let mut shard = shard();
    let work = runs_again(&mut shard, 3);
    let effects = emit(&mut shard, work.run, &["a", "b"]);
    let stored = [made("a"), made("b"), made("c")];
    assert!(page_comes(&mut shard, &effects, &stored).is_empty());
    let batch = batch_of(&emit(&mut shard, work.run, &["x", "y"]));
    assert_eq!(batch.chunks[0].first, 3);
    assert_eq!(
        batch.chunks[0].chunks,
        [Chunk::Reset { attempt: 2, from: 2, is_entry: false }, made("x"), made("y")]
    );
}

#[test]
fn a_retry_compares_with_chunks_that_are_still_on_their_way() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let first = batch_of(&emit(&mut shard, work.run, &["a"]));
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), work.run, retry, &mut out);
    shard.tick(Timestamp(NOW.0 + 100), &mut out);
    let again = run_of(&out);
    assert!(emit(&mut shard, again.run, &["b"]).is_empty(), "behind the commit in flight");
    let second = batch_of(&committed(&mut shard, first.ticket, 1));
    let numbers: Vec<u64> = second.chunks.iter().map(|chunks| chunks.first).collect();
    assert_eq!(numbers, [1]);
    let reset = Chunk::Reset { attempt: 2, from: 0, is_entry: false };
    assert_eq!(second.chunks[0].chunks, [reset, made("b")]);
}

#[test]
fn what_a_shorter_attempt_does_not_make_again_counts_no_more() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    let first = batch_of(&emit(&mut shard, work.run, &["a", "b", "c"]));
    committed(&mut shard, first.ticket, 1);
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), work.run, retry, &mut out);
    let ticket = batch_of(&out).ticket;
    committed(&mut shard, ticket, 2);
    out.clear();
    shard.tick(Timestamp(NOW.0 + 100), &mut out);
    let again = run_of(&out);
    assert!(emit(&mut shard, again.run, &["a"]).is_empty());
    let batch = batch_of(&done(&mut shard, "c1", again.run));
    assert_eq!(batch.chunks[0].chunks, [Chunk::Reset { attempt: 2, from: 1, is_entry: false }]);
    assert_eq!(batch.finishes.len(), 1, "in one commit with the outcome");
}

#[test]
fn an_outside_effect_waits_for_the_row_and_for_the_states_before() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    admit(&mut shard, message("c1", "k2"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    let effects = done(&mut shard, "c1", work.run);
    let (first, ahead) = (batch_of(&effects), run_of(&effects));
    let mut out = Vec::new();
    assert!(shard.settle(&address("c1"), ahead.run, 9, &mut out).is_ok() && out.is_empty());
    let effects = committed(&mut shard, first.ticket, 1);
    assert!(!effects.contains(&Effect::Settled(9)), "its own row is not there yet");
    let row = batch_of(&effects);
    assert_eq!(row.accepts.len(), 1);
    assert!(committed(&mut shard, row.ticket, 2).contains(&Effect::Settled(9)));
}

#[test]
fn an_outside_effect_is_never_made_where_what_it_waits_for_is_not_stored() {
    for failure in [CommitFailure::Unavailable("away".to_string()), CommitFailure::ShardLost] {
        let mut shard = shard();
        admit(&mut shard, message("c1", "k1"), 1);
        admit(&mut shard, message("c1", "k2"), 2);
        let work = run_of(&activate(&mut shard, "c1"));
        let effects = done(&mut shard, "c1", work.run);
        let (first, ahead) = (batch_of(&effects), run_of(&effects));
        let mut out = Vec::new();
        assert!(shard.settle(&address("c1"), ahead.run, 9, &mut out).is_ok() && out.is_empty());
        shard.commit_failed(NOW, first.ticket, failure, &mut out);
        assert!(!out.contains(&Effect::Settled(9)), "{out:?}");
        assert_eq!(shard.settle(&address("c1"), ahead.run, 9, &mut out), Err(9), "it is over");
    }
}

#[test]
fn an_entry_is_recorded_once_and_its_reset_is_an_entry_too() {
    let mut shard = shard();
    let entry = |text: &'static str, clears| Chunk::Entry {
        entry: Bytes::from_static(text.as_bytes()),
        clears,
    };
    let stored = [made("a"), entry("b", false), made("c"), entry("d", false), made("e")];
    let work = runs_again(&mut shard, 5);
    let chunks = vec![made("a"), entry("b", false), made("c"), entry("x", true)];
    let mut out = Vec::new();
    let chunks = chunks.into_iter().map(emission).collect();
    shard.emitted(NOW, &address("c1"), work.run, chunks, &mut out);
    let batch = batch_of(&page_comes(&mut shard, &out, &stored));
    let reset = Chunk::Reset { attempt: 2, from: 3, is_entry: true };
    assert_eq!(batch.chunks[0].chunks, [reset, entry("x", true)]);
}
