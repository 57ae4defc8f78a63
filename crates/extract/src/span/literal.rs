//! Dates, years, amounts and numbers.

use super::duration;
use super::{Value, candidate};
use crate::pack::Datatype;
use crate::text::{Token, TokenKind, number_word};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const UNITS: [(&str, &str); 22] = [
    ("kg", "kg"),
    ("kilogram", "kg"),
    ("kilograms", "kg"),
    ("g", "g"),
    ("grams", "g"),
    ("km", "km"),
    ("kilometres", "km"),
    ("kilometers", "km"),
    ("miles", "mi"),
    ("m", "m"),
    ("metres", "m"),
    ("meters", "m"),
    ("feet", "ft"),
    ("cm", "cm"),
    ("litres", "l"),
    ("liters", "l"),
    ("hectares", "ha"),
    ("acres", "acre"),
    ("percent", "%"),
    ("%", "%"),
    ("tonnes", "t"),
    ("tons", "t"),
];

const CURRENCIES: [(&str, &str); 12] = [
    ("$", "USD"),
    ("€", "EUR"),
    ("£", "GBP"),
    ("¥", "JPY"),
    ("₹", "INR"),
    ("dollars", "USD"),
    ("dollar", "USD"),
    ("euros", "EUR"),
    ("euro", "EUR"),
    ("pounds", "GBP"),
    ("yen", "JPY"),
    ("rupees", "INR"),
];

/// Years that stand in running text as years.
pub(super) fn is_year(token: &Token) -> bool {
    token.kind == TokenKind::Number
        && token.lower.len() == 4
        && token.lower.parse::<u32>().is_ok_and(|year| (1000..=2100).contains(&year))
}

fn day(token: &Token) -> Option<u32> {
    let digits = token.lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let ending = token.lower.strip_prefix(digits)?;
    if !matches!(ending, "" | "st" | "nd" | "rd" | "th") || digits.len() > 2 {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn month(token: &Token) -> Option<usize> {
    let word = token.lower.as_str();
    let known = |month: &'static str| {
        let short = word.len() == 3 && month.starts_with(word);
        month == word || short || (word == "sept" && month == "september")
    };
    MONTHS.into_iter().position(known).filter(|_| token.capital).map(|at| at + 1)
}

/// A literal that needs several tokens, or one that no name can be: date, duration, amount.
pub(crate) fn literal_at(tokens: &[Token]) -> Option<(usize, Vec<Value>)> {
    date(tokens).or_else(|| duration::duration(tokens)).or_else(|| amount(tokens))
}

/// A year or number that stands alone.
pub(super) fn number_at(tokens: &[Token]) -> Option<(usize, Vec<Value>)> {
    let token = tokens.first()?;
    if is_year(token) {
        let year = Value::of(Datatype::Year, token.lower.clone());
        let integer = Value::of(Datatype::Integer, token.lower.clone());
        return Some((1, vec![year, integer]));
    }
    let (scale, used) = scale_at(tokens);
    let plain = scaled(&plain_number(token)?, scale);
    let mut values = vec![Value::of(Datatype::Decimal, plain.clone())];
    if !plain.contains('.') {
        values.push(Value::of(Datatype::Integer, plain));
    }
    Some((used, values))
}

/// The power of ten behind a number, with the length of both.
fn scale_at(tokens: &[Token]) -> (usize, usize) {
    match tokens.get(1).map(|token| token.lower.as_str()) {
        Some("thousand") => (3, 2),
        Some("million") => (6, 2),
        Some("billion") => (9, 2),
        _ => (0, 1),
    }
}

/// A number's digits without separators.
pub(super) fn plain_number(token: &Token) -> Option<String> {
    match token.kind {
        TokenKind::Number => {
            let digits: String = token.lower.chars().filter(|c| *c != ',').collect();
            digits.parse::<f64>().is_ok().then_some(digits)
        }
        TokenKind::Word => number_word(&token.lower).map(|value| value.to_string()),
        TokenKind::Possessive | TokenKind::Mark => None,
    }
}

fn date_value(year: &Token, month: usize, day: Option<u32>) -> Vec<Value> {
    let (value, xsd) = match day {
        Some(day) => (format!("{}-{month:02}-{day:02}", year.lower), Datatype::Date.name()),
        None => (format!("{}-{month:02}", year.lower), "xsd:gYearMonth"),
    };
    vec![
        candidate::Value { datatype: Datatype::Date, lexical: value, xsd, unit: None },
        Value::of(Datatype::Year, year.lower.clone()),
    ]
}

fn date(tokens: &[Token]) -> Option<(usize, Vec<Value>)> {
    let first = tokens.first()?;
    let token = |at: usize| tokens.get(at);
    let year_at = |at: usize| {
        let skip = usize::from(token(at).is_some_and(|t| t.is_mark(",")));
        token(at + skip).filter(|t| is_year(t)).map(|t| (at + skip + 1, t))
    };
    if is_year(first) {
        return iso_date(tokens, first);
    }
    if let Some(month) = month(first) {
        if let Some((used, year)) = day_then_year(tokens, &year_at) {
            return Some((used, date_value(year.1, month, Some(year.0))));
        }
        let (used, year) = year_at(1)?;
        return Some((used, date_value(year, month, None)));
    }
    let day = day(first)?;
    let skip = usize::from(token(1).is_some_and(|t| t.lower == "of"));
    let month = month(token(1 + skip)?)?;
    let (used, year) = year_at(2 + skip)?;
    Some((used, date_value(year, month, Some(day))))
}

/// The day and year of `May 25, 1979`, after the month.
fn day_then_year<'a>(
    tokens: &'a [Token],
    year_at: &impl Fn(usize) -> Option<(usize, &'a Token)>,
) -> Option<(usize, (u32, &'a Token))> {
    let day = day(tokens.get(1)?)?;
    let (used, year) = year_at(2)?;
    Some((used, (day, year)))
}

fn iso_date(tokens: &[Token], year: &Token) -> Option<(usize, Vec<Value>)> {
    let attached = |at: usize| tokens.get(at).filter(|t| t.attached);
    let hyphen = |at: usize| attached(at).filter(|t| t.is_mark("-"));
    let number = |at: usize, most: usize| {
        let token = attached(at).filter(|t| t.kind == TokenKind::Number && t.lower.len() == 2)?;
        token.lower.parse::<usize>().ok().filter(|n| (1..=most).contains(n))
    };
    hyphen(1)?;
    let month = number(2, 12)?;
    hyphen(3)?;
    let day = u32::try_from(number(4, 31)?).ok()?;
    Some((5, date_value(year, month, Some(day))))
}

/// Money, or a number with a unit.
fn amount(tokens: &[Token]) -> Option<(usize, Vec<Value>)> {
    let first = tokens.first()?;
    let currency = |token: &Token| {
        CURRENCIES.iter().find(|(sign, _)| *sign == token.lower).map(|(_, code)| *code)
    };
    let sign = currency(first).filter(|_| first.kind == TokenKind::Mark);
    let at = usize::from(sign.is_some());
    let number = tokens.get(at).filter(|t| t.kind == TokenKind::Number)?;
    let (scale, length) = scale_at(tokens.get(at..)?);
    let used = at + length;
    let value = scaled(&plain_number(number)?, scale);
    if let Some(code) = sign {
        return Some((used, quantity(&value, code)));
    }
    let unit = tokens.get(used)?;
    let code = currency(unit)
        .filter(|_| unit.kind == TokenKind::Word)
        .or_else(|| UNITS.iter().find(|(word, _)| *word == unit.lower).map(|(_, unit)| *unit))?;
    Some((used + 1, quantity(&value, code)))
}

fn quantity(value: &str, unit: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for datatype in [Datatype::Decimal, Datatype::Integer] {
        if datatype == Datatype::Decimal || !value.contains('.') {
            let unit = Some(unit.to_owned());
            values.push(Value { unit, ..Value::of(datatype, value.to_owned()) });
        }
    }
    values
}

/// A decimal numeral times a power of ten, exactly.
fn scaled(digits: &str, power: usize) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let moved: String = fraction.chars().chain("0".repeat(power).chars()).take(power).collect();
    let rest: String = fraction.chars().skip(power).collect();
    let rest = rest.trim_end_matches('0');
    let whole = format!("{whole}{moved}");
    if rest.is_empty() { whole } else { format!("{whole}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Source, tokenize};

    #[test]
    fn literals_are_read_in_their_lexical_form() {
        for (text, used, value, xsd, unit) in [
            ("25 May 1979.", 3, "1979-05-25", "xsd:date", None),
            ("May 25, 1979", 4, "1979-05-25", "xsd:date", None),
            ("the", 0, "", "", None),
            ("25th of May 1979", 4, "1979-05-25", "xsd:date", None),
            ("May 1979", 2, "1979-05", "xsd:gYearMonth", None),
            ("1979-05-25", 5, "1979-05-25", "xsd:date", None),
            ("117 minutes", 2, "PT117M", "xsd:duration", None),
            ("$11.5 million", 3, "11500000", "xsd:decimal", Some("USD")),
            ("3 million euros", 3, "3000000", "xsd:decimal", Some("EUR")),
            ("2.5 kg", 2, "2.5", "xsd:decimal", Some("kg")),
            ("may 1979", 0, "", "", None),
        ] {
            let tokens = tokenize(&Source::new(text));
            let Some((length, values)) = literal_at(&tokens) else {
                assert_eq!(used, 0, "{text}");
                continue;
            };
            assert_eq!((length, values[0].lexical.as_str(), values[0].xsd), (used, value, xsd));
            assert_eq!(values[0].unit.as_deref(), unit, "{text}");
        }
    }
}
