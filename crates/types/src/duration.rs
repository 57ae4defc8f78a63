//! Durations in words: `3s`, `500ms`, `1h 30m`, `2 minutes`.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};
use core::time::Duration;

/// Nanoseconds of one of each unit, with the names it is known by.
const UNITS: &[(u64, &[&str])] = &[
    (1, &["ns"]),
    (1_000, &["us", "µs"]),
    (1_000_000, &["ms", "milli", "millis", "millisecond", "milliseconds"]),
    (1_000_000_000, &["s", "sec", "second", "seconds"]),
    (60_000_000_000, &["m", "min", "minute", "minutes"]),
    (3_600_000_000_000, &["h", "hour", "hours"]),
    (86_400_000_000_000, &["d", "day", "days"]),
];

/// Parses a duration in words; the parts are summed.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("is empty; write it in words, as in \"3s\"".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number
            .parse()
            .map_err(|_| format!("{text:?} is no duration; write it in words, as in \"3s\""))?;
        let size = unit_size(unit).ok_or_else(|| match unit {
            "" => format!("{text:?} has no unit; write \"{number}s\" or \"{number}ms\""),
            _ => format!("{unit:?} is no unit of time; there are ms, s, m, h, d"),
        })?;
        total = number
            .checked_mul(size)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("{text:?} is too long a time"))?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_nanos(total))
}

/// A duration in words that [`parse_duration`] reads: in the largest of `h`, `m`, `s`, `ms` and `ns`
/// that it is a whole number of.
pub fn duration_in_words(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let whole = |unit: &(u64, &str)| nanos >= unit.0 && nanos.is_multiple_of(unit.0);
    let units = [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s")];
    let units = units.into_iter().chain([(1_000_000, "ms"), (1, "ns")]);
    match units.into_iter().find(whole) {
        Some((size, name)) => format!("{}{name}", nanos / size),
        None => "0s".to_string(),
    }
}

fn unit_size(name: &str) -> Option<u64> {
    UNITS.iter().find(|(_, names)| names.contains(&name)).map(|(size, _)| *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_words() {
        for (text, millis) in [
            ("3s", 3_000),
            ("500ms", 500),
            ("1h 30m", 5_400_000),
            ("2 minutes", 120_000),
            ("1m30s", 90_000),
            (" 0 ", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_duration_is_read_as_it_is_written() {
        for (millis, text) in
            [(0, "0s"), (7_200_000, "2h"), (90_000, "90s"), (300_000, "5m"), (1_500, "1500ms")]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(duration_in_words(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
        assert_eq!(duration_in_words(Duration::from_nanos(6_001)), "6001ns");
    }

    #[test]
    fn a_wrong_duration_says_what_is_wrong() {
        for (text, part) in [
            ("3", "has no unit"),
            ("3 parsecs", "no unit of time"),
            ("soon", "is no duration"),
            ("", "is empty"),
            ("-3s", "is no duration"),
            ("99999999999999d", "too long"),
        ] {
            let message = parse_duration(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
