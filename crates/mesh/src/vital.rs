//! Whether what is sent to a peer is still taken by its gateway. A value: no I/O, no clock.
//!
//! A stream on which bytes arrive may have a peer behind it that takes nothing: the other direction
//! may be lost, or what is between stream and gateway may hang. So each side asks now and then over the
//! same way that all else goes, and the other's gateway answers with the number.

/// The idle time is measured in so many ticks.
pub(crate) const IDLE_TICKS: u32 = 5;

/// The questions of one side of a link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Vital {
    /// How many were asked; each has its number.
    asked: u64,
    answered: u64,
    /// Ticks since something was heard that answers.
    silent_ticks: u32,
}

impl Vital {
    /// A tick is over. The number to ask with; nothing where the peer was silent for the idle time.
    pub(crate) fn tick(&mut self) -> Option<u64> {
        if self.asked > self.answered {
            self.silent_ticks += 1;
            if self.silent_ticks > IDLE_TICKS {
                return None;
            }
        }
        self.asked += 1;
        Some(self.asked)
    }

    /// The peer answered the question with this number; false where it was never asked.
    pub(crate) fn answered(&mut self, number: u64) -> bool {
        if number > self.asked {
            return false;
        }
        self.answered = self.answered.max(number);
        self.heard();
        true
    }

    /// The peer answered something else of ours: where much is under way, a question waits its turn.
    pub(crate) fn heard(&mut self) {
        self.silent_ticks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_answers_is_asked_for_ever() {
        let mut vital = Vital::default();
        for number in 1..100 {
            assert_eq!(vital.tick(), Some(number));
            assert!(vital.answered(number));
        }
    }

    #[test]
    fn a_peer_that_answers_nothing_is_given_up_after_the_idle_time() {
        let mut vital = Vital::default();
        for number in 1..=u64::from(IDLE_TICKS) + 1 {
            assert_eq!(vital.tick(), Some(number));
        }
        assert_eq!(vital.tick(), None);
    }

    #[test]
    fn an_answer_to_anything_postpones_it() {
        let mut vital = Vital::default();
        for late in 0..20 {
            assert!(vital.tick().is_some());
            assert!(vital.tick().is_some());
            if late % 2 == 0 {
                vital.heard();
            } else {
                assert!(vital.answered(late));
            }
        }
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_told_apart() {
        let mut vital = Vital::default();
        assert!(!vital.answered(1));
        vital.tick();
        assert!(vital.answered(1) && vital.answered(1) && !vital.answered(2));
    }
}
