//! What decoders say, in the words of JSON.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};

/// What decoders call the types of the program, and what a writer of JSON calls them.
const TYPES: &[(&str, &str)] = &[
    ("i8", "an integer from -128 to 127"),
    ("i16", "an integer from -32768 to 32767"),
    ("i32", "an integer of 32 bits"),
    ("i64", "an integer of 64 bits"),
    ("isize", "an integer of 64 bits"),
    ("u8", "an integer from 0 to 255"),
    ("u16", "an integer from 0 to 65535"),
    ("u32", "an integer of 32 bits, not negative"),
    ("u64", "an integer of 64 bits, not negative"),
    ("usize", "an integer of 64 bits, not negative"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("unit", "null"),
    ("a boolean", "true or false"),
    ("a sequence", "a list"),
    ("a map", "an object"),
];

/// What decoders call what they found, and what JSON calls it.
const FOUND: &[(&str, &str)] = &[
    ("sequence", "a list"),
    ("map", "an object"),
    ("null", "null"),
    ("unit value", "null"),
    ("integer", "the number"),
    ("floating point", "the number"),
    ("string", "the text"),
    ("boolean", "the value"),
];

/// The words of a decoder of JSON, `reason`, without those of the program behind it: no names of
/// its types, objects and lists instead of maps and sequences, and columns from 1. What is not
/// known stays as it is.
pub fn in_words_of_json(reason: &str) -> String {
    let (said, place) = match reason.rfind(" at line ") {
        Some(at) => reason.split_at(at),
        None => (reason, ""),
    };
    let place = match place.strip_suffix(" column 0") {
        Some(line) => format!("{line} column 1"),
        None => place.to_owned(),
    };
    let said = match said.rfind(", expected ") {
        Some(at) => {
            let (found, expected) = said.split_at(at);
            let expected = expected.trim_start_matches(", expected ");
            format!("{}, expected {}", found_words(found), expected_words(expected))
        }
        None if said == "recursion limit exceeded" => {
            "it nests deeper than the limit of 127 levels".to_owned()
        }
        None => said.to_owned(),
    };
    said + &place
}

fn found_words(found: &str) -> String {
    let kinds = ["invalid type: ", "invalid value: "];
    let Some(what) = kinds.iter().find_map(|kind| found.strip_prefix(kind)) else {
        return found.to_owned();
    };
    let known = FOUND.iter().find_map(|(name, word)| {
        let rest = what.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| format!("{word}{rest}"))
    });
    format!("found {}", known.unwrap_or_else(|| what.to_owned()))
}

fn expected_words(expected: &str) -> String {
    if let Some((_, word)) = TYPES.iter().find(|(name, _)| *name == expected) {
        return (*word).to_owned();
    }
    let count = expected.rsplit_once(" with ").map(|(_, count)| count);
    let is = |kind: &str| expected.starts_with(kind);
    if is("struct ") {
        return "an object".to_owned();
    }
    if is("tuple ") {
        let count = count.and_then(|count| count.split(' ').next());
        return count.map_or("a list".to_owned(), |count| format!("a list of {count} values"));
    }
    if let Some(size) = expected.strip_prefix("a tuple of size ") {
        return format!("a list of {size} values");
    }
    if is("enum ") || is("variant ") {
        return "one of its names".to_owned();
    }
    expected.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_speaks_of_json_not_of_the_program() {
        for (reason, words) in [
            (
                "invalid type: integer `5`, expected struct variant Command::Append at line 1 column 1",
                "found the number `5`, expected an object at line 1 column 1",
            ),
            (
                "invalid length 0, expected struct Submission with 6 elements",
                "invalid length 0, expected an object",
            ),
            (
                "invalid type: null, expected i64 at line 1 column 4",
                "found null, expected an integer of 64 bits at line 1 column 4",
            ),
            (
                "invalid type: sequence, expected a string at line 1 column 0",
                "found a list, expected a string at line 1 column 1",
            ),
            (
                "invalid type: map, expected a sequence at line 2 column 10",
                "found an object, expected a list at line 2 column 10",
            ),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "found the text \"a, expected b\", expected a number",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "found the number `300`, expected an integer from 0 to 255",
            ),
            (
                "invalid length 1, expected tuple variant T::V with 2 elements",
                "invalid length 1, expected a list of 2 values",
            ),
            (
                "missing field `value` at line 1 column 2",
                "missing field `value` at line 1 column 2",
            ),
            ("unknown field `x`, expected `value`", "unknown field `x`, expected `value`"),
            (
                "recursion limit exceeded at line 1 column 128",
                "it nests deeper than the limit of 127 levels at line 1 column 128",
            ),
        ] {
            assert_eq!(in_words_of_json(reason), words);
        }
    }
}
