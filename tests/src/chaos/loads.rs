//! Who loaded which shard under which epoch, as the store shows it while the nodes run.

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
}

/// Every load that was ever seen.
#[derive(Debug, Clone, Default)]
pub struct Loads {
    /// The process of each epoch of each shard.
    seen: BTreeMap<(i64, i64), i64>,
    /// The highest epoch of each shard.
    highest: BTreeMap<i64, i64>,
}

impl Loads {
    /// Takes a later look at the fences. An error is a shard whose epoch went back (L1), or an epoch
    /// that two processes loaded (L5).
    pub fn look(&mut self, rows: &[LoadRow]) -> Result<()> {
        for LoadRow { shard, epoch, boot } in rows.iter().copied() {
            let highest = self.highest.entry(shard).or_insert(epoch);
            ensure!(epoch >= *highest, "L1: shard {shard} went from epoch {highest} to {epoch}");
            *highest = epoch;
            let first = *self.seen.entry((shard, epoch)).or_insert(boot);
            ensure!(
                first == boot,
                "L5: epoch {epoch} of shard {shard} was loaded by processes {first} and {boot}"
            );
        }
        Ok(())
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
        LoadRow { shard, epoch, boot }
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
    fn an_epoch_that_goes_back_is_found() -> Result<()> {
        let mut loads = Loads::default();
        loads.look(&[row(1, 5, 70)])?;
        assert!(loads.look(&[row(1, 4, 70)]).is_err());
        Ok(())
    }
}
