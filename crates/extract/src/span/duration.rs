//! Lengths of time in words and figures: `117 minutes`, `two and a half hours`, `90-minute`.

use super::Value;
use super::literal::plain_number;
use crate::pack::Datatype;
use crate::text::{Token, number_word};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Years,
    Months,
    Days,
    Hours,
    Minutes,
    Seconds,
}

fn unit(word: &str) -> Option<(Unit, u32)> {
    Some(match word {
        "year" | "years" => (Unit::Years, 1),
        "month" | "months" => (Unit::Months, 1),
        "week" | "weeks" => (Unit::Days, 7),
        "day" | "days" => (Unit::Days, 1),
        "hour" | "hours" | "hr" | "hrs" => (Unit::Hours, 1),
        "minute" | "minutes" | "min" | "mins" => (Unit::Minutes, 1),
        "second" | "seconds" | "sec" | "secs" => (Unit::Seconds, 1),
        _ => return None,
    })
}

/// One part: tokens used, the unit, how many, and minutes or months of a half.
struct Part {
    used: usize,
    unit: Unit,
    count: u32,
    half: bool,
}

/// A duration at the start of the tokens.
pub(super) fn duration(tokens: &[Token]) -> Option<(usize, Vec<Value>)> {
    let first = part(tokens)?;
    let mut used = first.used;
    let mut parts = vec![first];
    loop {
        let mut at = used;
        while tokens.get(at).is_some_and(|t| t.is_mark(",") || t.lower == "and") {
            at += 1;
        }
        let rest = tokens.get(at..).unwrap_or_default();
        let last = parts.last().map(|p| p.unit);
        if let Some(next) = part(rest).filter(|p| last.is_some_and(|unit| p.unit > unit)) {
            used = at + next.used;
            parts.push(next);
            continue;
        }
        // `an hour and a half`
        let half = at > used
            && rest.first().is_some_and(|t| t.lower == "a")
            && rest.get(1).is_some_and(|t| t.lower == "half");
        if half && let Some(last) = parts.last_mut() {
            last.half = true;
            used = at + 2;
        }
        break;
    }
    Some((used, vec![Value::of(Datatype::Duration, lexical(&parts)?)]))
}

fn part(tokens: &[Token]) -> Option<Part> {
    let first = tokens.first()?;
    let word = |at: usize| tokens.get(at).map(|t| t.lower.as_str());
    // `ninety-minute`
    if let Some((count, name)) = first.lower.rsplit_once('-')
        && let (Some(count), Some((unit, times))) = (number_word(count), unit(name))
    {
        return Some(Part { used: 1, unit, count: count * times, half: false });
    }
    if first.lower == "half" && matches!(word(1), Some("an" | "a")) {
        let (unit, _) = unit(word(2)?)?;
        return Some(Part { used: 3, unit, count: 0, half: true });
    }
    let count = match first.lower.as_str() {
        "a" | "an" => 1,
        _ => plain_number(first)?.parse::<u32>().ok().filter(|count| *count < 100_000)?,
    };
    let hyphen = usize::from(tokens.get(1).is_some_and(|t| t.is_mark("-") && t.attached));
    if let Some((unit, times)) = unit(word(1 + hyphen)?) {
        let vague = matches!(first.lower.as_str(), "a" | "an") && unit < Unit::Hours;
        let count = count.checked_mul(times)?;
        return (!vague).then_some(Part { used: 2 + hyphen, unit, count, half: false });
    }
    // `two and a half hours`
    let halved = (word(1), word(2), word(3)) == (Some("and"), Some("a"), Some("half"));
    let (unit, times) = unit(word(4).filter(|_| halved)?)?;
    (times == 1).then_some(Part { used: 5, unit, count, half: true })
}

fn lexical(parts: &[Part]) -> Option<String> {
    let mut date = String::new();
    let mut time = String::new();
    for part in parts {
        let (text, letter, half) = match part.unit {
            Unit::Years => (&mut date, 'Y', "6M"),
            Unit::Months => (&mut date, 'M', "15D"),
            Unit::Days => (&mut date, 'D', "T12H"),
            Unit::Hours => (&mut time, 'H', "30M"),
            Unit::Minutes => (&mut time, 'M', "30S"),
            Unit::Seconds => (&mut time, 'S', ""),
        };
        if part.count > 0 || !part.half {
            text.push_str(&part.count.to_string());
            text.push(letter);
        }
        if part.half {
            text.push_str(half);
        }
    }
    if date.is_empty() && time.is_empty() {
        return None;
    }
    Some(if time.is_empty() { format!("P{date}") } else { format!("P{date}T{time}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Source, tokenize};

    #[test]
    fn durations_are_read_from_words_and_figures() {
        for (text, expected) in [
            ("two hours", Some((2, "PT2H"))),
            ("two hours and seventeen minutes.", Some((5, "PT2H17M"))),
            ("one hour, 47 minutes", Some((5, "PT1H47M"))),
            ("an hour and a half", Some((5, "PT1H30M"))),
            ("two and a half hours", Some((5, "PT2H30M"))),
            ("half an hour", Some((3, "PT30M"))),
            ("ninety-minute cut", Some((1, "PT90M"))),
            ("117-minute cut", Some((3, "PT117M"))),
            ("three weeks", Some((2, "P21D"))),
            ("a year later", None),
            ("two hives", None),
            ("99999999999 days", None),
        ] {
            let tokens = tokenize(&Source::new(text));
            let found = duration(&tokens).map(|(used, values)| (used, values[0].lexical.clone()));
            assert_eq!(found, expected.map(|(used, value)| (used, value.to_owned())), "{text}");
        }
    }
}
