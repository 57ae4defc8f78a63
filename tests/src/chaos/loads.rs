//! Who loaded which shard under which epoch, and what was committed before, as the store shows it while
//! the nodes run.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// One row of `shard_fence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRow {
    /// Id of the shard.
    pub shard: i64,
    /// The epoch under which it was loaded last.
    pub epoch: i64,
    /// The process that loaded it.
    pub boot: i64,
    /// The last commit under an older epoch; 0 where none is kept.
    pub before: i64,
}

/// Every load that was ever seen.
#[derive(Debug, Clone, Default)]
pub struct Loads {
    /// The process of each epoch of each shard, and the last commit under an older one.
    seen: BTreeMap<(i64, i64), (i64, i64)>,
    /// The highest epoch of each shard.
    highest: BTreeMap<i64, i64>,
}

impl Loads {
    /// Takes a later look at the fences. An error is a shard whose epoch went back (L1), an epoch that two
    /// processes loaded (L5), or a commit under an epoch that was not the newest any more (G3).
    pub fn look(&mut self, rows: &[LoadRow]) -> Result<()> {
        for LoadRow { shard, epoch, boot, before } in rows.iter().copied() {
            let last = self.see((shard, epoch, boot), before)?;
            // Old commits may be retired: then the last that is kept is an earlier one.
            ensure!(
                before <= last,
                "G3: shard {shard} was loaded under epoch {epoch} behind commit {last}, and took commit \
                 {before} under an older epoch then"
            );
        }
        Ok(())
    }

    /// Takes every load that there was, those of a shard in their order: also those which no look caught,
    /// and of which it is not known what was committed before.
    pub fn note(&mut self, noted: &[(i64, i64, i64)]) -> Result<()> {
        self.highest.clear();
        noted.iter().try_for_each(|load| self.see(*load, i64::MAX).map(drop))
    }

    /// One load; the last commit under an older epoch as it was first seen.
    fn see(&mut self, (shard, epoch, boot): (i64, i64, i64), before: i64) -> Result<i64> {
        let highest = self.highest.entry(shard).or_insert(epoch);
        ensure!(epoch >= *highest, "L1: shard {shard} went from epoch {highest} to {epoch}");
        *highest = epoch;
        let (first, last) = *self.seen.entry((shard, epoch)).or_insert((boot, before));
        ensure!(
            first == boot,
            "L5: epoch {epoch} of shard {shard} was loaded by processes {first} and {boot}"
        );
        Ok(last)
    }

    /// How many loads were seen.
    pub fn count(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(shard: i64, epoch: i64, boot: i64) -> LoadRow {
        LoadRow { shard, epoch, boot, before: 0 }
    }

    #[test]
    fn an_epoch_belongs_to_the_process_that_loaded_it() -> Result<()> {
        let mut loads = Loads::default();
        loads.look(&[row(1, 5, 70), row(2, 5, 71)])?;
        loads.look(&[row(1, 5, 70), row(2, 6, 72)])?;
        assert_eq!(loads.count(), 3);
        let shared = loads.look(&[row(1, 5, 99)]).unwrap_err().to_string();
        assert_eq!(shared, "L5: epoch 5 of shard 1 was loaded by processes 70 and 99");
        Ok(())
    }

    #[test]
    fn a_load_that_no_look_caught_counts_as_well() -> Result<()> {
        let mut loads = Loads::default();
        loads.look(&[row(1, 5, 70)])?;
        loads.look(&[row(1, 7, 71)])?;
        loads.note(&[(1, 5, 70), (1, 6, 72), (1, 7, 71)])?;
        assert_eq!(loads.count(), 3);
        assert!(loads.note(&[(1, 6, 73)]).is_err());
        assert!(loads.note(&[(1, 5, 70), (1, 4, 70)]).is_err());
        assert!(loads.note(&[(1, 7, 70)]).is_err());
        Ok(())
    }

    #[test]
    fn an_epoch_that_goes_back_is_found() -> Result<()> {
        let mut loads = Loads::default();
        loads.look(&[row(1, 5, 70)])?;
        assert!(loads.look(&[row(1, 4, 70)]).is_err());
        Ok(())
    }

    #[test]
    fn a_commit_under_an_epoch_of_the_past_is_found() -> Result<()> {
        let mut loads = Loads::default();
        let row = |epoch, before| [LoadRow { before, ..row(1, epoch, 70) }];
        loads.look(&row(5, 7))?;
        loads.look(&row(5, 0))?;
        loads.look(&row(6, 9))?;
        let late = loads.look(&row(6, 12)).unwrap_err().to_string();
        assert!(late.starts_with("G3: shard 1 was loaded under epoch 6 behind commit 9"), "{late}");
        Ok(())
    }
}
