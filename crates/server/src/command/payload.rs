//! Payloads as they were typed.

use std::io::Read;

use quarry_types::{SoundJson, in_words_of_json};
use serde_json::value::RawValue;

use crate::failure::{Exit, Failure};

/// The payload `text`, or stdin's for `-`, as it is written: what the server says of a place in it
/// is true of what was typed. `name` is what the command line calls it.
pub(crate) fn read_payload(name: &str, text: &str) -> Result<Box<RawValue>, Failure> {
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin().read_to_string(&mut read)?;
        read.as_str()
    } else {
        text
    };
    sound(text).and_then(|()| serde_json::from_str(text)).map_err(|error| {
        let words = in_words_of_json(&error.to_string());
        if error.is_data() {
            return Failure::new(Exit::Usage, format!("{name} {text}: {words}"));
        }
        Failure::new(Exit::Usage, format!("{name} {text:?} is not JSON: {words}"))
            .advise("a text stands in double quotes, within single ones for the shell: '\"text\"'")
    })
}

/// Refuses what names a member twice.
pub(crate) fn sound(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<SoundJson>(text).map(|SoundJson| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_goes_as_it_was_typed() {
        let typed = "{ \"b\": 1,\n  \"a\": 2}";
        assert_eq!(read_payload("JSON", typed).unwrap().get(), typed);
        assert_eq!(read_payload("JSON", "-5").unwrap().get(), "-5");
    }

    #[test]
    fn an_argument_that_is_not_json_says_how_to_write_it() {
        let failure = read_payload("JSON", "five").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("double quotes"), "{failure}");
    }

    #[test]
    fn a_member_that_stands_twice_is_named() {
        let failure = read_payload("--payload", "{\"value\": 1, \"value\": 2}").unwrap_err();
        assert!(failure.to_string().contains("--payload"), "{failure}");
        assert!(failure.to_string().contains("duplicate field `value`"), "{failure}");
    }
}
