//! Halves of shards, and what a shard is a half of.
//!
//! The slots are divided into equal shards at first, numbered from 0 in their order. The halves of a
//! shard have ids that follow from its own id and range alone: the first are the shards of the first
//! division, then come those of half the width, in order, then those of a quarter. So an id never
//! stands for two ranges, whoever divides what when, and no counter has to be kept. Each space counts
//! for itself.

use crate::{SLOT_COUNT, ShardId, Slot, SlotRange};

/// A shard's id and slots: one place in the division of all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Division {
    /// The shard.
    pub id: ShardId,
    /// Its slots.
    pub range: SlotRange,
}

impl Division {
    /// The two halves, lower slots first; none of a shard of one slot, or of a range that is no part
    /// of an equal division into a power of two.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let (parts, place) = self.place()?;
        let half = SLOT_COUNT / parts / 2;
        if half == 0 {
            return None;
        }
        let first = u32::from(self.range.first.0);
        let lower = self.id.place().checked_add(parts)?.checked_add(place)?;
        let id = |number| ShardId::at(self.id.space(), number);
        Some([
            Self { id: id(lower)?, range: range(first, half)? },
            Self { id: id(lower.checked_add(1)?)?, range: range(first + half, half)? },
        ])
    }

    /// The shard that this is a half of; none where it is of the first division.
    #[must_use]
    pub fn whole(self) -> Option<Self> {
        let (parts, place) = self.place()?;
        // How many shards there were at first.
        let founded = parts.checked_add(place)?.checked_sub(self.id.place())?;
        if founded >= parts {
            return None;
        }
        let number = (parts / 2 + place / 2).checked_sub(founded)?;
        let id = ShardId::at(self.id.space(), number)?;
        let width = SLOT_COUNT / parts * 2;
        Some(Self { id, range: range(place / 2 * width, width)? })
    }

    /// The shard of the first division that this came of, or is.
    #[must_use]
    pub fn founded(self) -> Self {
        core::iter::successors(Some(self), |part| part.whole()).last().unwrap_or(self)
    }

    /// Into how many equal parts all slots are divided where this is one, and which it is, from 0.
    fn place(self) -> Option<(u32, u32)> {
        let (first, last) = (u32::from(self.range.first.0), u32::from(self.range.last.0));
        let width = last.checked_sub(first)? + 1;
        let is_part = width.is_power_of_two() && first % width == 0;
        is_part.then(|| (SLOT_COUNT / width, first / width))
    }
}

fn range(first: u32, width: u32) -> Option<SlotRange> {
    let slot = |number: u32| u16::try_from(number).ok().map(Slot);
    Some(SlotRange { first: slot(first)?, last: slot(first + (width - 1))? })
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec::Vec};

    use super::*;
    use crate::Space;

    fn founded(count: u32) -> Vec<Division> {
        let width = SLOT_COUNT / count;
        let part =
            |number| Division { id: ShardId(number), range: range(number * width, width).unwrap() };
        (0..count).map(part).collect()
    }

    #[test]
    fn halves_are_numbered_for_ever() {
        let table = [
            (1, 0_u8, [1, 2]),
            (16, 0, [16, 17]),
            (16, 15, [46, 47]),
            (256, 3, [262, 263]),
            (256, 255, [766, 767]),
        ];
        for (count, shard, halves) in table {
            let of = founded(count)[usize::from(shard)].halves().unwrap();
            assert_eq!(of.map(|half| half.id.0), halves, "{shard} of {count}");
        }
        let [_, second] = founded(256)[3].halves().unwrap();
        assert_eq!(second.halves().unwrap().map(|half| half.id.0), [782, 783]);
        assert_eq!((second.range.first, second.range.last), (Slot(896), Slot(1023)));
    }

    #[test]
    fn no_id_stands_for_two_ranges_however_often_all_is_divided() {
        for count in [1, 4, 256, 16_384] {
            let mut known = BTreeMap::new();
            let mut level = founded(count);
            while !level.is_empty() {
                let mut next = Vec::new();
                for part in level {
                    assert_eq!(known.insert(part.id, part.range), None, "{part:?}");
                    for half in part.halves().into_iter().flatten() {
                        assert_eq!(half.whole(), Some(part));
                        assert_eq!(half.founded(), part.founded());
                        assert!(half.id > part.id);
                        next.push(half);
                    }
                }
                level = next;
            }
            assert_eq!(u32::try_from(known.len()), Ok(2 * SLOT_COUNT - count));
        }
    }

    #[test]
    fn each_space_counts_for_itself() {
        let (first, third) = (founded(16)[3], Space(2));
        let there =
            |of: Division| Division { id: ShardId::at(third, of.id.place()).unwrap(), ..of };
        let halves = first.halves().unwrap();
        assert_eq!(there(first).halves(), Some(halves.map(there)));
        assert_eq!(there(halves[1]).whole(), Some(there(first)));
        assert_eq!(there(first).whole(), None);
        assert_eq!((halves[0].id.space(), there(first).id.space()), (Space::DEFAULT, third));
        assert_eq!(ShardId::at(Space(0x8000), 0), None);
        assert_eq!(ShardId::at(ShardId::LAST_SPACE, 0x1_ffff), Some(ShardId(u32::MAX)));
    }

    #[test]
    fn one_slot_and_odd_ranges_have_no_halves() {
        let one = founded(65_536)[7];
        assert_eq!((one.halves(), one.whole()), (None, None));
        let odd = SlotRange { first: Slot(1), last: Slot(4) };
        assert_eq!(Division { id: ShardId(0), range: odd }.halves(), None);
        assert!(founded(16).into_iter().all(|part| part.whole().is_none()));
    }
}
