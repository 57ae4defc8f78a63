//! Given, when, then effects: long streams, of which memory holds the end.

use alloc::{string::ToString, vec, vec::Vec};

use bytes::Bytes;

use super::{
    stream_tests::{page_comes, runs_again},
    tests::*,
    *,
};

/// Chunks of a long stream.
const LONG: u64 = 100_000;

fn chunk(number: u64) -> Chunk {
    Chunk::Made(Bytes::from(number.to_string()))
}

fn emit(
    shard: &mut Shard<u32>,
    run: RunId,
    numbers: impl Iterator<Item = u64>,
) -> Vec<Effect<u32>> {
    let emission = |number| {
        let waiter = Some(u32::try_from(number).unwrap());
        Emission { chunk: chunk(number), waiter }
    };
    let mut out = Vec::new();
    shard.emitted(NOW, &address("c1"), run, numbers.map(emission).collect(), &mut out);
    out
}

/// What is in memory of the only message's chunks.
fn in_memory(shard: &Shard<u32>) -> usize {
    shard.messages.values().map(|message| message.stream.in_memory()).sum()
}

fn is_read(effects: &[Effect<u32>]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::ReadChunks(_)))
}

fn windows(effects: &[Effect<u32>]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Settled(_))).count()
}

#[test]
fn memory_holds_the_end_of_a_long_stream_and_its_retry_reads_the_rest() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let mut run = run_of(&activate(&mut shard, "c1")).run;
    for first in (0..LONG).step_by(100) {
        let effects = emit(&mut shard, run, first..first + 100);
        let batch = batch_of(&effects);
        assert_eq!(batch.chunks[0].first, first);
        assert_eq!(windows(&effects), 0, "a window is free when its chunk is durable");
        assert!(in_memory(&shard) <= 256 + 200);
        assert_eq!(windows(&committed(&mut shard, batch.ticket, first / 100 + 1)), 100);
        assert!(in_memory(&shard) <= 256);
    }
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), run, retry, &mut out);
    let ticket = batch_of(&out).ticket;
    committed(&mut shard, ticket, LONG);
    out.clear();
    shard.tick(quarry_types::Timestamp(NOW.0 + 100), &mut out);
    let work = run_of(&out);
    assert!(work.repeats);
    run = work.run;
    let stored: Vec<Chunk> = (0..LONG).map(chunk).collect();
    let mut reads = 0_u64;
    for first in (0..LONG).step_by(100) {
        let mut effects = emit(&mut shard, run, first..first + 100);
        while is_read(&effects) {
            reads += 1;
            effects = page_comes(&mut shard, &effects, &stored);
            assert!(in_memory(&shard) <= 3 * 256 + 100);
        }
    }
    assert_eq!(reads, (LONG - 256).div_ceil(256), "each is read once, and the end not at all");
    let batch = batch_of(&done(&mut shard, "c1", run));
    assert!(batch.chunks.is_empty(), "nothing is stored again");
}

#[test]
fn a_takeover_reads_no_chunks_before_a_handler_repeats_them() {
    let mut shard = shard();
    let work = runs_again(&mut shard, LONG);
    assert!(work.repeats);
    assert_eq!(in_memory(&shard), 0);
    let stored: Vec<Chunk> = (0..LONG).map(chunk).collect();
    let mut effects = Vec::new();
    for first in (0..LONG - 50).step_by(100) {
        effects = emit(&mut shard, work.run, first..(first + 100).min(LONG - 50));
        while is_read(&effects) {
            effects = page_comes(&mut shard, &effects, &stored);
            assert!(in_memory(&shard) <= 3 * 256 + 100);
        }
    }
    assert!(windows(&effects) > 0, "what stood already takes no window");
    let batch = batch_of(&emit(&mut shard, work.run, LONG..=LONG));
    let reset = Chunk::Reset { attempt: 2, from: LONG - 50, is_entry: false };
    assert_eq!(batch.chunks[0].first, LONG);
    assert_eq!(batch.chunks[0].chunks, [reset, chunk(LONG)]);
}

#[test]
fn a_run_that_ends_is_told_when_its_chunks_were_compared() {
    let mut shard = shard();
    let work = runs_again(&mut shard, 300);
    let stored: Vec<Chunk> = (0..300).map(chunk).collect();
    let mut effects = emit(&mut shard, work.run, 0..1);
    assert!(shard.catch_up(&address("c1"), work.run, 999, &mut effects).is_ok());
    assert!(!effects.contains(&Effect::Settled(999)));
    while is_read(&effects) {
        effects = page_comes(&mut shard, &effects, &stored);
    }
    assert!(effects.contains(&Effect::Settled(999)));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    assert_eq!(batch.chunks[0].chunks, [Chunk::Reset { attempt: 2, from: 1, is_entry: false }]);
    assert_eq!(shard.catch_up(&address("c1"), work.run, 9, &mut Vec::new()), Err(9), "it is over");
}

#[test]
fn a_run_that_ends_before_its_chunks_were_compared_stores_them_again() {
    let mut shard = shard();
    let work = runs_again(&mut shard, 300);
    assert!(is_read(&emit(&mut shard, work.run, 0..2)));
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let reset = Chunk::Reset { attempt: 2, from: 0, is_entry: true };
    assert_eq!(
        (batch.chunks[0].first, &batch.chunks[0].chunks[..]),
        (300, &[reset, chunk(0), chunk(1)][..])
    );
    assert_eq!(batch.finishes.len(), 1);
}

#[test]
fn chunks_that_the_store_does_not_have_are_not_waited_for() {
    let mut shard = shard();
    let work = runs_again(&mut shard, 300);
    let effects = emit(&mut shard, work.run, 0..2);
    let batch = batch_of(&page_comes(&mut shard, &effects, &[]));
    let reset = Chunk::Reset { attempt: 2, from: 0, is_entry: true };
    assert_eq!(batch.chunks[0].chunks, [reset, chunk(0), chunk(1)]);
}

#[test]
fn a_page_for_a_run_that_was_given_up_is_passed_over() {
    let mut shard = shard();
    let work = runs_again(&mut shard, 3);
    let stored: Vec<Chunk> = (0..3).map(chunk).collect();
    let asked = emit(&mut shard, work.run, 0..1);
    let mut out = Vec::new();
    let retry = Ran::Retry { error: "no".to_string(), is_broken: false };
    shard.ran(NOW, &address("c1"), work.run, retry, &mut out);
    assert!(page_comes(&mut shard, &asked, &stored).is_empty());
    assert_eq!(in_memory(&shard), 0);
}

#[test]
fn chunks_made_during_a_commit_go_together_and_hold_back_others_by_their_bytes() {
    let mut shard = shard();
    admit(&mut shard, message("c1", "k1"), 1);
    let run = run_of(&activate(&mut shard, "c1")).run;
    let first = batch_of(&emit(&mut shard, run, 0..1));
    for number in 1..=130 {
        assert!(emit(&mut shard, run, number..=number).is_empty());
    }
    assert_eq!(shard.backlog(), 3, "64, 64 and 2 in a row");
    let batch = batch_of(&committed(&mut shard, first.ticket, 1));
    let rows: Vec<(u64, usize)> =
        batch.chunks.iter().map(|row| (row.first, row.chunks.len())).collect();
    assert_eq!(rows, [(1, 64), (65, 64), (129, 2)]);
    assert_eq!(shard.backlog(), 0);
    let large = Chunk::Made(Bytes::from(vec![b'1'; 200_000]));
    let mut out = Vec::new();
    let made = vec![Emission { chunk: large, waiter: None }];
    shard.emitted(NOW, &address("c1"), run, made, &mut out);
    assert_eq!(shard.backlog(), 1 + 200_000 / 4_096);
    let failure = CommitFailure::Unavailable("away".to_string());
    shard.commit_failed(NOW, batch.ticket, failure, &mut out);
    assert_eq!(shard.backlog(), 0, "what ran is given up");
}

#[test]
fn what_was_skipped_is_read_again_where_its_reset_was_not_written() {
    let made = || Chunk::Made(Bytes::from_static(b"a"));
    let emission = || Emission { chunk: made(), waiter: Some(1) };
    let back = Chunk::Reset { attempt: 2, from: 0, is_entry: false };
    let stored = [made(), back, made()];
    let (mut stream, mut told) = (stream::Stream::recovered(3), Vec::new());
    stream.begin();
    stream.hold(vec![emission()]);
    assert!(stream.advance(3, stream::Unread::Waits, &mut told).is_empty());
    assert_eq!(stream.wants(), Some(0));
    let unread = stream.take_page(&[], 256);
    let new = stream.advance(3, unread, &mut told);
    let reset = Chunk::Reset { attempt: 3, from: 0, is_entry: true };
    assert_eq!(new, [reset, made()], "what cannot be read counts no more");
    // Neither was written.
    stream.undo(3);
    stream.undo(4);
    assert_eq!(stream.next(), 3);
    stream.begin();
    stream.hold(vec![emission()]);
    assert!(stream.advance(4, stream::Unread::Waits, &mut told).is_empty());
    assert_eq!(stream.wants(), Some(0));
    let unread = stream.take_page(&stored, 256);
    assert!(stream.advance(4, unread, &mut told).is_empty());
    assert_eq!(told, [1], "it stands under number 2");
    assert!(stream.end(4, &mut told).is_empty(), "and nothing behind it");
}
