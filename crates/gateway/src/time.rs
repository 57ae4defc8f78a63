//! Times and durations as people write them.

use std::time::Duration;

use quarry_types::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// `2026-11-21T02:34:06.123Z` (RFC 3339, UTC).
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let (days, rest) = (time.0.div_euclid(DAY_MS), time.0.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (rest / 1_000, rest % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{millis:03}Z",
        seconds % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
/// Counts in eras of 400 years (146,097 days) that begin on a 1st of March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of a date, counted from 1970-01-01; counts as [`civil`] does.
fn day(year: i64, month: i64, day_of_month: i64) -> i64 {
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + day_of_month - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// Parses a time as RFC 3339 writes it, to whole milliseconds.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't'])?;
    let (year, month, day_of_month) = three(date, '-')?;
    let days = day(year, month, day_of_month);
    if date.len() != 10 || civil(days) != (year, month, day_of_month) {
        return None;
    }
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let (hours, minutes, seconds) = three(clock, ':')?;
    if clock.len() != 8 || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let padded = format!("{fraction}000");
    let millis = digits(fraction).and_then(|_| digits(padded.get(..3)?))?;
    let minutes = hours * 60 + minutes - offset(zone)?;
    Some(Timestamp(days * DAY_MS + minutes * 60_000 + seconds * 1_000 + millis))
}

/// The minutes by which a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let (hours, minutes) = clock.split_once(':').filter(|_| clock.len() == 5)?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let ahead = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some(if sign == "-" { -ahead } else { ahead })
}

fn three(text: &str, between: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(between).map(digits);
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}

fn digits(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.get(..text.len().min(9))?.parse().ok()).flatten()
}

/// Parses a whole number with its unit: `250ms`, `5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(time)), text);
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for time in [0, 951_782_400_000, 1_709_251_199_999, 4_107_542_400_000, -1] {
            assert_eq!(timestamp(&rfc3339(Timestamp(time))), Some(Timestamp(time)));
        }
        for (text, time) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T02:00:00.5+02:00", 500),
            ("1969-12-31t19:00:00.1239-05:00", 123),
        ] {
            assert_eq!(timestamp(text), Some(Timestamp(time)), "{text}");
        }
        for bad in [
            "",
            "now",
            "5",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21",
            "2026-11-21T24:00:00Z",
            "2026-11-21T02:34:06",
            "2026-11-21T02:34Z",
            "2026-11-21T2:34:06Z",
            "2026-11-21T02:34:06.Z",
            "2026-11-21T02:34:06+1:00",
            "2026-11-21T02:34:06+24:00",
            "2026-11-21T02:34:06Zz",
            "99999-11-21T02:34:06Z",
            "-026-11-21T02:34:06Z",
        ] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        for bad in
            ["", "5", "s", "-5s", "5 s", "1.5s", "99999999999999999999s", "9999999999999999h"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
