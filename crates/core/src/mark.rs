//! What a node remembers of its store beside it, so that a store that was set back to an older state
//! while no node ran is noticed (L3).

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write as _;

use quarry_types::{ClusterId, Epoch, Sequence, ShardId};

/// What the text of a mark begins with; the number is its format.
const FIRST: &str = "quarry store mark 1 of cluster ";
/// What it ends with, behind the number of its commits.
const LAST: &str = " shards";

/// The newest commit of each shard that this node saw acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    cluster: ClusterId,
    commits: BTreeMap<ShardId, (Epoch, Sequence)>,
}

/// What the store has of a shard where a commit was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The epoch of the commit that has the sequence of the acknowledged one, where it is kept.
    pub epoch: Option<Epoch>,
    /// The newest commit; nothing where the shard has none.
    pub newest: Option<Sequence>,
}

/// A commit that was acknowledged and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its shard.
    pub shard: ShardId,
    /// The epoch under which it was made.
    pub epoch: Epoch,
    /// Its sequence.
    pub sequence: Sequence,
    /// What the store has.
    pub found: Standing,
}

/// Why a text is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not as this program writes it")]
pub struct NoMark {
    /// Which line, from 1.
    pub line: usize,
}

impl Mark {
    /// A mark of a store of which nothing is known.
    #[must_use]
    pub const fn new(cluster: ClusterId) -> Self {
        Self { cluster, commits: BTreeMap::new() }
    }

    /// Whose the store is.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The commits, in the order of their shards.
    pub fn commits(&self) -> impl Iterator<Item = (ShardId, Epoch, Sequence)> {
        self.commits.iter().map(|(shard, (epoch, sequence))| (*shard, *epoch, *sequence))
    }

    /// A commit was acknowledged; with sequence 0, what was known of the shard is known to be gone.
    pub fn note(&mut self, shard: ShardId, epoch: Epoch, sequence: Sequence) {
        if sequence == Sequence(0) {
            self.commits.remove(&shard);
        } else {
            self.commits.insert(shard, (epoch, sequence));
        }
    }

    /// Compares the commits with what the store has of them, in the same order. What is gone is
    /// forgotten, so that it is told once.
    pub fn compare(&mut self, found: impl IntoIterator<Item = Standing>) -> Vec<Gone> {
        let compared = self.commits().zip(found);
        let gone = compared.filter(|((_, epoch, sequence), found)| match found.epoch {
            // Another commit has its place: others went on from the older state.
            Some(other) => other != *epoch,
            // What is old is retired, but never the newest commit.
            None => found.newest.is_none_or(|newest| newest < *sequence),
        });
        let gone: Vec<Gone> = gone
            .map(|((shard, epoch, sequence), found)| Gone { shard, epoch, sequence, found })
            .collect();
        for gone in &gone {
            self.commits.remove(&gone.shard);
        }
        gone
    }

    /// As a text of lines: whose the store is, shard, epoch and sequence of each commit, their number.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST}{:016x}\n", self.cluster.0);
        for (shard, epoch, sequence) in self.commits() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{shard} {epoch} {sequence}");
        }
        text + &self.commits.len().to_string() + LAST + "\n"
    }

    /// Reads what [`Mark::text`] wrote.
    ///
    /// # Errors
    /// [`NoMark`] names the first line that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, NoMark> {
        let mut lines = text.lines();
        let wrong = |line| NoMark { line };
        let cluster = lines.next().and_then(|line| line.strip_prefix(FIRST));
        let cluster = cluster.and_then(|cluster| u64::from_str_radix(cluster, 16).ok());
        let mut mark = Self::new(ClusterId(cluster.ok_or(wrong(1))?));
        let mut number = 1;
        while let Some(line) = lines.next() {
            number += 1;
            if let Some(count) = line.strip_suffix(LAST) {
                let is_whole = count == mark.commits.len().to_string() && lines.next().is_none();
                return if is_whole { Ok(mark) } else { Err(wrong(number)) };
            }
            let (shard, epoch, sequence) = commit(line).ok_or(wrong(number))?;
            mark.note(shard, epoch, sequence);
        }
        Err(wrong(number + 1))
    }
}

fn commit(line: &str) -> Option<(ShardId, Epoch, Sequence)> {
    let mut numbers = line.split(' ');
    let shard = ShardId(numbers.next()?.parse().ok()?);
    let epoch = Epoch(numbers.next()?.parse().ok()?);
    let sequence = Sequence(numbers.next()?.parse().ok()?);
    numbers.next().is_none().then_some((shard, epoch, sequence))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn mark(commits: &[(u32, u64, u64)]) -> Mark {
        let mut mark = Mark::new(ClusterId(0xbeef));
        for (shard, epoch, sequence) in commits {
            mark.note(ShardId(*shard), Epoch(*epoch), Sequence(*sequence));
        }
        mark
    }

    #[test]
    fn a_store_that_has_less_or_something_else_is_told_once() {
        // given the epoch at the acknowledged sequence 10 of epoch 7, the newest sequence, then gone?
        let table = [
            (Some(7), Some(10), false),
            (Some(7), Some(12), false),
            (None, Some(12), false),
            (None, Some(9), true),
            (None, None, true),
            (Some(8), Some(10), true),
            (Some(8), Some(12), true),
            (Some(6), Some(12), true),
        ];
        for (epoch, newest, is_gone) in table {
            let mut mark = mark(&[(3, 7, 10)]);
            let found = Standing { epoch: epoch.map(Epoch), newest: newest.map(Sequence) };
            let gone = Gone { shard: SHARD, epoch: Epoch(7), sequence: Sequence(10), found };
            let then = if is_gone { vec![gone] } else { vec![] };
            assert_eq!(mark.compare([found]), then, "{epoch:?} {newest:?}");
            assert_eq!(mark.compare([found]), vec![], "once");
            assert_eq!(mark.commits().count(), usize::from(!is_gone));
        }
    }

    #[test]
    fn the_newest_word_of_a_shard_counts() {
        let mut mark = mark(&[(1, 5, 9), (3, 7, 10), (1, 8, 4)]);
        let known = |shard, epoch, sequence| (ShardId(shard), Epoch(epoch), Sequence(sequence));
        assert_eq!(mark.commits().collect::<Vec<_>>(), [known(1, 8, 4), known(3, 7, 10)]);
        mark.note(ShardId(1), Epoch(8), Sequence(0));
        assert_eq!(mark.commits().collect::<Vec<_>>(), [known(3, 7, 10)]);
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for commits in [&[][..], &[(0, 1, 1)], &[(3, 7, 10), (65_535, u64::MAX, u64::MAX)]] {
            let mark = mark(commits);
            assert_eq!(Mark::parse(&mark.text()), Ok(mark));
        }
        let text = "quarry store mark 1 of cluster 000000000000beef\n3 7 10\n1 shards\n";
        assert_eq!(mark(&[(3, 7, 10)]).text(), text);
    }

    #[test]
    fn a_text_that_is_torn_or_strange_is_no_mark() {
        let text = mark(&[(1, 5, 9), (3, 7, 10)]).text();
        for end in 0..text.len() - 1 {
            assert!(Mark::parse(&text[..end]).is_err(), "{:?}", &text[..end]);
        }
        // given a change, then the line that is wrong
        let table = [
            ("mark 1", "mark 2", 1),
            ("1 5 9", "1 5 x", 2),
            ("3 7 10", "3 7", 3),
            ("3 7 10", "3 7 10 1", 3),
            ("2 shards", "3 shards", 4),
            ("2 shards\n", "2 shards\n1 1 1\n", 4),
        ];
        for (from, to, line) in table {
            let strange = text.replace(from, to);
            assert_eq!(Mark::parse(&strange), Err(NoMark { line }), "{strange}");
        }
        assert_eq!(Mark::parse(""), Err(NoMark { line: 1 }));
    }
}
