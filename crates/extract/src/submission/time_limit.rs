//! A time as submissions give it.

use core::fmt;
use std::time::Duration;

use quarry::types::{duration_in_words, parse_duration};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A duration: a number is minutes, a text is in words, such as `90s`. Written in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration_in_words(self.0))
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = TimeLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of minutes, or a text such as \"90s\"")
    }

    fn visit_f64<E: de::Error>(self, minutes: f64) -> Result<TimeLimit, E> {
        let duration = Duration::try_from_secs_f64(minutes * 60.0);
        duration.map(TimeLimit).map_err(|_| E::invalid_value(de::Unexpected::Float(minutes), &self))
    }

    fn visit_u64<E: de::Error>(self, minutes: u64) -> Result<TimeLimit, E> {
        let duration = minutes.checked_mul(60).map(Duration::from_secs);
        duration
            .map(TimeLimit)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(minutes), &self))
    }

    fn visit_i64<E: de::Error>(self, minutes: i64) -> Result<TimeLimit, E> {
        let positive = u64::try_from(minutes);
        let positive =
            positive.map_err(|_| E::invalid_value(de::Unexpected::Signed(minutes), &self))?;
        self.visit_u64(positive)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeLimit, E> {
        parse_duration(text).map(TimeLimit).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_minutes_and_a_text_says_its_unit() {
        for (json, millis) in [
            ("2", 120_000),
            ("0.5", 30_000),
            ("\"90s\"", 90_000),
            ("\"5 minutes\"", 300_000),
            ("\"1m 30s\"", 90_000),
        ] {
            let read: TimeLimit = serde_json::from_str(json).unwrap();
            assert_eq!(read.0, Duration::from_millis(millis), "{json}");
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<TimeLimit>(&written).unwrap(), read);
        }
        for bad in ["-1", "-0.5", "1e300", "18446744073709551615", "\"5\"", "\"\"", "true", "null"]
        {
            assert!(serde_json::from_str::<TimeLimit>(bad).is_err(), "{bad}");
        }
    }
}
