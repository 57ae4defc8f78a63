//! How the attempts at a message are counted, here and in its row.
//!
//! Where a message may have been run before, its row counts the next attempt before it begins. What the
//! row says more than what happened is kept here, until the row says so too: an attempt that did not
//! begin, or that ended by itself and whose end was not written, must not seem to have ended its process.

use super::message::Message;

/// What the message's row counts of an attempt whose end it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Nothing: the attempt that is next, or under way, is not counted.
    None,
    /// The next one: it did not begin, or is to be made again because its end was not written.
    Next,
    /// One that was taken back, which is still to be written: before that, none is recorded.
    TakenBack,
    /// The one of this number began, with so many in a row of which no end is known, itself included.
    Begun {
        /// Its number, from 1.
        attempt: u32,
        /// How many.
        lost: u32,
    },
}

impl<W> Message<W> {
    /// The number of its next attempt is recorded.
    pub(super) const fn begin_recorded(&mut self) {
        self.attempts += 1;
        self.lost += 1;
        self.recorded = Recorded::Next;
    }

    /// The attempt that was to be recorded as the next is not made.
    pub(super) const fn unrecord(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
        self.lost = self.lost.saturating_sub(1);
        self.recorded = Recorded::None;
        self.needs_recording = true;
    }

    /// The attempt that is recorded as the next is not made, once that is written.
    pub(super) const fn take_back(&mut self) {
        self.unrecord();
        self.recorded = Recorded::TakenBack;
    }

    /// Its row says that the attempt which was taken back was not made.
    pub(super) fn is_taken_back(&mut self) {
        if self.recorded == Recorded::TakenBack {
            self.recorded = Recorded::None;
        }
    }

    /// An attempt begins, or counts as one.
    pub(super) fn begin_attempt(&mut self) {
        if self.recorded == Recorded::Next {
            self.recorded = Recorded::Begun { attempt: self.attempts, lost: self.lost };
        } else {
            self.attempts += 1;
        }
    }

    /// The last attempt is to be made again: what came of it was not written.
    pub(super) fn undo_attempt(&mut self) {
        if !self.is_recorded_again() {
            self.attempts = self.attempts.saturating_sub(1);
        }
    }

    /// Where its row counts the last attempt as begun, that is the next one again; whether it is.
    pub(super) fn is_recorded_again(&mut self) -> bool {
        match self.recorded {
            // It is more where the last attempt was spared.
            Recorded::Begun { attempt, lost } if attempt >= self.attempts => {
                self.attempts = attempt;
                self.lost = lost;
                self.recorded = Recorded::Next;
                true
            }
            _ => false,
        }
    }

    /// The attempt was stopped by its process: where it was the last of `most`, it does not count, since
    /// the message had no part in that.
    pub(super) fn spare(&mut self, most: u32) {
        self.attempts = self.attempts.min(most.saturating_sub(1));
    }

    /// Its handler ended by itself, or was stopped: the process did not end with it. It is cleared
    /// when that is durable: where it is not written, it runs again as it did.
    pub(super) const fn survived(&mut self) {
        self.lost = 0;
    }

    /// Its row says that the attempt ended by itself.
    pub(super) const fn end_is_recorded(&mut self) {
        if matches!(self.recorded, Recorded::Begun { .. }) {
            self.recorded = Recorded::None;
        }
    }
}
