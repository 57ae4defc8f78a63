//! The chunks of one message against a naive model that remembers all of them, whatever fails between
//! its attempts and whoever takes it over.

use alloc::{format, vec, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    Chunk, Emission,
    stream::{Stream, Unread},
};

/// So few that nearly everything is read from the store.
const KEEP: usize = 2;
const PAGE: usize = 3;

/// What a naive owner knows: all that stands.
#[derive(Default)]
struct Naive {
    log: Vec<Chunk>,
    repeated: Option<usize>,
}

impl Naive {
    /// What counts, by number.
    fn counting(&self) -> Vec<(u64, &Chunk)> {
        let mut held: Vec<(u64, &Chunk)> = Vec::new();
        for (number, chunk) in (0..).zip(&self.log) {
            match chunk {
                Chunk::Reset { from, .. } => held.retain(|(number, _)| number < from),
                Chunk::Made(_) | Chunk::Entry { .. } => held.push((number, chunk)),
            }
        }
        held
    }

    fn part(&mut self, attempt: u32) -> Option<Chunk> {
        let repeated = self.repeated.take()?;
        let counting = self.counting();
        let unrepeated = counting.get(repeated..)?;
        let from = unrepeated.first()?.0;
        let is_entry = unrepeated.iter().any(|(_, chunk)| matches!(chunk, Chunk::Entry { .. }));
        let reset = Chunk::Reset { attempt, from, is_entry };
        self.log.push(reset.clone());
        Some(reset)
    }

    fn make(&mut self, attempt: u32, chunk: &Chunk) -> Vec<Chunk> {
        let mut new = Vec::new();
        if let Some(repeated) = self.repeated {
            if self.counting().get(repeated).is_some_and(|(_, known)| *known == chunk) {
                self.repeated = Some(repeated + 1);
                return new;
            }
            new.extend(self.part(attempt));
        }
        self.log.push(chunk.clone());
        new.push(chunk.clone());
        new
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fails,
    /// The commit of what is not durable failed.
    Undone,
    /// Another owner goes on, with what is durable.
    TakenOver,
    Done,
}

#[derive(Clone, Debug)]
struct Attempt {
    /// So much of what all attempts make it makes, and then something else.
    common: usize,
    own: Vec<u8>,
    /// After which of its chunks commits arrive.
    commits: Vec<bool>,
    end: End,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let end = prop_oneof![
        2 => Just(End::Fails),
        2 => Just(End::Undone),
        2 => Just(End::TakenOver),
        1 => Just(End::Done),
    ];
    let own = prop::collection::vec(0..3_u8, 0..6);
    (0..20_usize, own, prop::collection::vec(any::<bool>(), 26), end)
        .prop_map(|(common, own, commits, end)| Attempt { common, own, commits, end })
}

fn chunk(text: u8) -> Chunk {
    let bytes = Bytes::from(format!("{text}"));
    match text {
        2 => Chunk::Entry { entry: bytes, clears: false },
        _ => Chunk::Made(bytes),
    }
}

fn without_journal(chunks: &[Chunk]) -> Vec<Chunk> {
    let chunks = chunks.iter().cloned().map(|chunk| match chunk {
        Chunk::Reset { attempt, from, .. } => Chunk::Reset { attempt, from, is_entry: false },
        other => other,
    });
    chunks.collect()
}

struct Pair {
    naive: Naive,
    stream: Stream<u32>,
    durable: usize,
    attempts: u32,
    told: Vec<u32>,
}

impl Pair {
    /// Reads pages until all was compared; what is new.
    fn read_on(&mut self) -> Vec<Chunk> {
        let mut new = self.stream.advance(self.attempts, Unread::Waits, &mut self.told);
        while let Some(from) = self.stream.wants() {
            self.stream.begin_reading(from);
            let from = usize::try_from(from).unwrap();
            let stored = &self.naive.log[..self.durable];
            let page: Vec<Chunk> = stored[from..].iter().take(PAGE).cloned().collect();
            assert!(self.stream.ends_reading(u64::try_from(from).unwrap()));
            let unread = self.stream.take_page(&page, KEEP);
            assert_eq!(unread, Unread::Waits, "the page has what was asked for");
            new.extend(self.stream.advance(self.attempts, unread, &mut self.told));
            let unstored = self.naive.log.len() - self.durable;
            assert!(self.stream.in_memory() <= 2 * (KEEP + PAGE) + 3 * unstored + 12, "bounded");
        }
        new
    }

    fn compare(mine: &[Chunk], naive: &[Chunk]) {
        assert_eq!(without_journal(mine), without_journal(naive));
        for (mine, naive) in mine.iter().zip(naive) {
            if let (Chunk::Reset { is_entry: told, .. }, Chunk::Reset { is_entry, .. }) =
                (mine, naive)
            {
                assert!(*told || !is_entry, "the journal is told of every entry that goes");
            }
        }
    }

    fn commit(&mut self) {
        self.durable = self.naive.log.len();
        let (windows, _) = self.stream.settle(u64::try_from(self.durable).unwrap(), KEEP);
        self.told.extend(windows);
    }

    fn run(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        assert_eq!(self.stream.begin(), !self.naive.log.is_empty());
        self.naive.repeated = Some(0);
        let common = (0..attempt.common).map(|at| u8::try_from(at * at % 3).unwrap());
        let made: Vec<u8> = common.chain(attempt.own.iter().copied()).collect();
        for (number, text) in (0..).zip(&made) {
            self.stream.hold(vec![Emission { chunk: chunk(*text), waiter: Some(number) }]);
            let mine = self.read_on();
            let naive = self.naive.make(self.attempts, &chunk(*text));
            Self::compare(&mine, &naive);
            if attempt.commits[usize::try_from(number).unwrap()] {
                self.commit();
                let told = core::mem::take(&mut self.told);
                assert!(told.contains(&number), "its window is free: {told:?}");
            }
        }
        self.ends(attempt.end, &made);
    }

    fn ends(&mut self, end: End, made: &[u8]) {
        if end == End::Done {
            self.stream.await_compared(0);
            assert!(self.read_on().is_empty());
            assert_eq!(self.stream.compared(), [0]);
            let mine = self.stream.end(self.attempts, &mut self.told);
            let naive: Vec<Chunk> = self.naive.part(self.attempts).into_iter().collect();
            Self::compare(&mine, &naive);
            let counting: Vec<Chunk> =
                self.naive.counting().into_iter().map(|(_, it)| it.clone()).collect();
            assert_eq!(counting, made.iter().copied().map(chunk).collect::<Vec<_>>());
        }
        self.stream.stop();
        self.told.clear();
        match end {
            End::Fails => {}
            End::Done => self.commit(),
            End::Undone | End::TakenOver => {
                self.naive.log.truncate(self.durable);
                let durable = u64::try_from(self.durable).unwrap();
                self.stream.undo(durable);
                if end == End::TakenOver {
                    self.stream = Stream::recovered(durable);
                }
            }
        }
        assert_eq!(self.stream.next(), u64::try_from(self.naive.log.len()).unwrap());
    }
}

proptest! {
    #[test]
    fn what_an_attempt_repeats_is_stored_once_wherever_it_stands(
        attempts in prop::collection::vec(attempt(), 1..10),
    ) {
        let (naive, stream, told) = (Naive::default(), Stream::default(), Vec::new());
        let mut pair = Pair { naive, stream, durable: 0, attempts: 0, told };
        for attempt in &attempts {
            pair.run(attempt);
        }
    }
}
