//! Whether a body is sound JSON: one value in UTF-8 that every decoder reads alike.

use quarry_types::{SoundJson, in_words_of_json};

use crate::{Code, Problem, problem::payload_field};

/// A path that is longer helps nobody.
const LONGEST_PATH: usize = 128;

/// Refuses a body that is not sound, with the place at which it breaks.
pub(crate) fn check_json(body: &[u8]) -> Result<(), Problem> {
    if let Err(error) = std::str::from_utf8(body) {
        let good = body.get(..error.valid_up_to()).unwrap_or_default();
        let (mut line, mut column) = (0, 0);
        for text in good.split(|byte| *byte == b'\n') {
            (line, column) = (line + 1, text.len() + 1);
        }
        let detail =
            format!("the body is no UTF-8 at line {line} column {column}; send JSON in UTF-8");
        return Err(malformed(detail, line, column));
    }
    match serde_json::from_slice::<SoundJson>(body) {
        Ok(SoundJson) => Ok(()),
        Err(error) => Err(unsound(body, &error)),
    }
}

fn unsound(body: &[u8], error: &serde_json::Error) -> Problem {
    let words = in_words_of_json(&error.to_string());
    let field = field(body, &words);
    let what = if error.is_data() { "has a" } else { "is no JSON:" };
    malformed(format!("the body {what} {words}"), error.line(), error.column()).field(field)
}

fn malformed(detail: String, line: usize, column: usize) -> Problem {
    let number = |value: usize| u32::try_from(value.max(1)).unwrap_or(u32::MAX);
    Problem::new(Code::MalformedJson, detail).field("body").place(number(line), number(column))
}

/// The path of the member that does not go on, for which the body is read once more; `body` where
/// it is the whole.
fn field(body: &[u8], words: &str) -> String {
    let mut json = serde_json::Deserializer::from_slice(body);
    let path = serde_path_to_error::deserialize::<_, SoundJson>(&mut json)
        .map_or_else(|error| error.path().to_string(), |SoundJson| ".".to_owned());
    // The name of a member that breaks is not known yet.
    match path.trim_end_matches(".?") {
        path if path.len() > LONGEST_PATH => "body".to_owned(),
        "." | "?" => payload_field(&format!("body: {words}")),
        path => payload_field(&format!("body: {path}: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(body: &[u8]) -> (u32, u32) {
        let document = check_json(body).unwrap_err().document_for_test();
        (document.line.unwrap(), document.column.unwrap())
    }

    #[test]
    fn malformed_json_is_shown_with_its_place() {
        assert_eq!(place(b"{\n \"a\": }"), (2, 7));
        assert_eq!(place(b"[1] [2]"), (1, 5));
        assert_eq!(place(b"[\n\"\xff\"]"), (2, 2));
        assert_eq!(place(b" "), (1, 1));
    }

    #[test]
    fn a_member_that_stands_twice_is_named() {
        for (body, field) in [
            (r#"{"value":"a","value":"b"}"#, "value"),
            (r#"{"a":[{"b":1},{"b":1,"b":1}]}"#, "a[1].b"),
            (r#"{"\u0061":1,"a":1}"#, "a"),
        ] {
            let problem = check_json(body.as_bytes()).unwrap_err();
            assert_eq!(problem.named(), Some(field), "{}", problem.detail());
        }
        check_json(br#"[{"a":1.5e3,"b":{"a":null}},{"a":-1,"b":[true,"\u0000"]}]"#).unwrap();
    }

    #[test]
    fn deep_nesting_is_refused_with_its_place() {
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        check_json(&deep(127)).unwrap();
        let problem = check_json(&deep(200_000)).unwrap_err();
        assert!(problem.detail().contains("the limit of 127 levels"), "{}", problem.detail());
        assert_eq!(place(&deep(200_000)), (1, 128));
    }
}
