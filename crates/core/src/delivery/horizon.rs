//! Up to where memory holds what is delayed.

use quarry_types::{Sequence, Timestamp};

use super::{backlog::behind, message::Cursor};

/// Where the delayed messages of a shard begin.
pub(super) const FIRST: Cursor = (Timestamp(i64::MIN), (Sequence(0), u32::MAX));

/// Behind all of them.
const END: Cursor = (Timestamp(i64::MAX), (Sequence(u64::MAX), u32::MAX));

/// Up to where memory holds what is delayed: up to the horizon all of it, and behind it none, unless
/// something fell out of memory. Then the horizon is before that, and memory holds more up to its reach.
/// Until it was read so far again, nothing that is due behind the horizon may run (D3), so it is read also
/// where memory has no room.
pub(super) struct Horizon {
    /// None where memory holds everything.
    at: Option<Cursor>,
    /// Only where it is behind the horizon.
    reach: Option<Cursor>,
}

impl Horizon {
    pub(super) const fn new(at: Option<Cursor>) -> Self {
        Self { at, reach: None }
    }

    /// Behind which place the next page is to be read; none where all was.
    pub(super) const fn at(&self) -> Option<Cursor> {
        self.at
    }

    /// Whether something fell out of memory and was not read again.
    pub(super) const fn lacks(&self) -> bool {
        self.reach.is_some()
    }

    /// Whether a message at this place will be read, unless it is in memory.
    pub(super) fn is_beyond(&self, place: Cursor) -> bool {
        self.at.is_some_and(|at| place > at)
    }

    /// Whether a message that is delayed from now on is left to the store at this place.
    pub(super) fn is_out_of_reach(&self, place: Cursor) -> bool {
        self.is_beyond(place) && self.reach.is_none_or(|reach| place > reach)
    }

    /// A page was read up to here; none where all was.
    pub(super) fn read_up_to(&mut self, at: Option<Cursor>) {
        self.at = at.map(|at| self.reach.map_or(at, |reach| at.min(reach)));
        self.reach_at_most(END);
    }

    /// The message at this place is in memory no more, and others that are due later may be.
    pub(super) fn fell_out(&mut self, place: Cursor) {
        if !self.is_out_of_reach(place) {
            self.reach = self.reach.max(Some(self.at.unwrap_or(END)));
        }
        self.at = self.at.into_iter().chain([behind(place)]).min();
    }

    /// The message at this place is left to the store, and memory holds none that is due later.
    pub(super) fn left(&mut self, place: Cursor) {
        self.at = self.at.into_iter().chain([behind(place)]).min();
        self.reach_at_most(behind(place));
    }

    fn reach_at_most(&mut self, most: Cursor) {
        self.reach = self.reach.map(|reach| reach.min(most)).filter(|reach| self.is_beyond(*reach));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(time: i64) -> Cursor {
        (Timestamp(time), (Sequence(3), 1))
    }

    /// Up to 50, without what was at 20.
    fn fallen() -> Horizon {
        let mut horizon = Horizon::new(Some(at(50)));
        horizon.fell_out(at(20));
        horizon
    }

    #[test]
    fn what_fell_out_is_read_again_up_to_where_memory_reaches() {
        let mut horizon = fallen();
        assert!(horizon.lacks() && horizon.is_beyond(at(20)) && !horizon.is_beyond(at(19)));
        assert!(!horizon.is_out_of_reach(at(50)) && horizon.is_out_of_reach(at(51)));
        horizon.read_up_to(Some(at(30)));
        assert!(horizon.lacks(), "what is due from 31 to 50 is not known again");
        horizon.read_up_to(Some(at(90)));
        assert_eq!((horizon.at(), horizon.lacks()), (Some(at(50)), false), "no more than before");
    }

    #[test]
    fn a_second_fall_and_a_page_that_lacks_it_make_no_gap() {
        let mut horizon = fallen();
        horizon.fell_out(at(40));
        horizon.read_up_to(Some(behind(at(40))));
        assert!(horizon.lacks() && horizon.is_beyond(at(40)));
        horizon.fell_out(at(45));
        horizon.read_up_to(Some(at(44)));
        assert!(horizon.lacks());
        horizon.read_up_to(None);
        assert_eq!((horizon.at(), horizon.lacks()), (None, false));
    }

    #[test]
    fn the_last_that_leaves_takes_the_reach_along() {
        let mut horizon = fallen();
        horizon.left(at(45));
        assert!(horizon.is_out_of_reach(at(45)) && !horizon.is_out_of_reach(at(44)));
        horizon.left(at(20));
        assert!(!horizon.lacks(), "nothing is behind it");
        horizon.fell_out(at(99));
        assert!(!horizon.lacks(), "it was never in memory");
    }
}
