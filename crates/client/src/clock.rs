//! How the clock of a server stands to the one here.

use std::time::UNIX_EPOCH;

use crate::{Client, ClientError};

/// By how many milliseconds the clock of a server is ahead of the one here: it lies between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// At least so many.
    pub least: i64,
    /// At most so many.
    pub most: i64,
}

impl ClockOffset {
    /// What follows from a server that said `date`, in whole seconds, between two looks at the clock
    /// here.
    const fn of(before: i64, date: i64, after: i64) -> Self {
        Self { least: date - after, most: date + 1_000 - before }
    }

    /// By how much the clocks of two servers surely differ.
    #[must_use]
    pub fn differs_from(self, other: Self) -> i64 {
        (self.least - other.most).max(other.least - self.most).max(0)
    }
}

impl Client {
    /// How the clock of the first base that answers stands to the one here, as far as its answer tells.
    pub async fn clock_offset(&self) -> Result<ClockOffset, ClientError> {
        let before = self.host().clock.wall().0;
        let reply = self.first_answer("livez", &[]).await?;
        let after = self.host().clock.wall().0;
        let date = reply.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        let date = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        let missing = || ClientError::Unavailable { reason: "the answer has no date".to_owned() };
        Ok(ClockOffset::of(before, date.ok_or_else(missing)?, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_as_well_as_its_second_and_the_way_there_allow() {
        let equal = ClockOffset::of(10_400, 10_000, 10_500);
        assert_eq!(equal, ClockOffset { least: -500, most: 600 });
        let ahead = ClockOffset::of(10_400, 70_000, 10_500);
        assert_eq!(ahead, ClockOffset { least: 59_500, most: 60_600 });
        assert_eq!(equal.differs_from(ahead), 58_900);
        assert_eq!(ahead.differs_from(equal), 58_900);
        let slow = ClockOffset::of(10_400, 10_000, 19_000);
        assert_eq!(equal.differs_from(slow), 0);
    }
}
