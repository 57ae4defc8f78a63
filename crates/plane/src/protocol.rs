//! Which versions of the planes' protocol a program speaks.

use std::fmt;

/// The versions of the planes' protocol that a program speaks. Two programs understand one another
/// where their ranges meet, and then speak the newest version that both know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The newest.
    pub newest: u16,
    /// The oldest that it speaks too.
    pub oldest: u16,
}

impl Protocol {
    /// What this program speaks. A change that older programs do not understand raises `newest`;
    /// `oldest` follows a minor release later, so that neighbours run side by side.
    ///
    /// From version 2 on, links of the mesh without TLS are made of checked records, and their ends
    /// ask one another for signs of life. From version 3 on, the coordinator's log may say that a drain
    /// is of some runners only, and a leader refuses what not all nodes can apply. From
    /// version 4 on, entity types may be bound to groups. From version 5 on, a process that joins may
    /// say how long its leases live.
    pub const CURRENT: Self = Self { newest: 5, oldest: 1 };

    /// The newest version that both speak, where there is one.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// As it crosses between nodes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.newest.to_be_bytes(), self.oldest.to_be_bytes());
        [a, b, c, d]
    }

    /// What crossed; nothing where it is no range.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d] = <[u8; 4]>::try_from(bytes).ok()?;
        let (newest, oldest) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        (newest >= oldest).then_some(Self { newest, oldest })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, oldest } = self;
        if newest == oldest {
            write!(out, "version {newest}")
        } else {
            write!(out, "versions {oldest} to {newest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(oldest: u16, newest: u16) -> Protocol {
        Protocol { newest, oldest }
    }

    #[test]
    fn neighbours_speak_the_newest_that_both_know() {
        for (one, other, common) in [
            (range(1, 1), range(1, 1), Some(1)),
            (range(1, 1), range(1, 2), Some(1)),
            (range(1, 2), range(2, 3), Some(2)),
            (range(1, 9), range(2, 3), Some(3)),
            (range(1, 1), range(2, 3), None),
        ] {
            assert_eq!(one.common(other), common, "{one} and {other}");
            assert_eq!(other.common(one), common, "{other} and {one}");
        }
    }

    #[test]
    fn what_crosses_is_read_as_it_was_written_and_nothing_else() {
        assert_eq!(Protocol::of_bytes(&range(3, 515).to_bytes()), Some(range(3, 515)));
        assert_eq!(range(3, 515).to_bytes(), [2, 3, 0, 3], "the bytes never change");
        for wrong in [&[][..], &[0, 1, 0], &[0, 1, 0, 1, 0], &[0, 1, 0, 2]] {
            assert_eq!(Protocol::of_bytes(wrong), None, "{wrong:?}");
        }
    }
}
