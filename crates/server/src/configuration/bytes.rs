//! Sizes in words: `1MiB`, `64KiB`, `512B`.

const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Parses a size in words.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no size; write it in words, as in \"1MiB\""))?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit; write \"{number}KiB\" or \"{number}MiB\""));
    }
    let size = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("{unit:?} is no unit of size; there are B, KiB, MiB, GiB"))?;
    number.checked_mul(size.1).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_words() {
        assert_eq!(parse_bytes("1MiB"), Ok(1_048_576));
        assert_eq!(parse_bytes("64 KiB"), Ok(65_536));
        for (text, part) in [("1", "no unit"), ("x", "no size"), ("1 mile", "no unit of size")] {
            assert!(parse_bytes(text).unwrap_err().contains(part), "{text}");
        }
    }
}
