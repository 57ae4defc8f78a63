//! A text as it is stored and sent between entities.

use std::io::{Read, Write};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::MAX_SOURCE;

/// A text, deflated (RFC 1951) and in base64, so that a pack of 16 MiB fits into a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packed(String);

/// What was packed cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pack cannot be unpacked: {reason}")]
pub struct NotPacked {
    reason: String,
}

impl Packed {
    /// Packs a text.
    pub fn of(text: &str) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        // Writing into memory does not fail.
        let deflated = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
        Self(BASE64_STANDARD_NO_PAD.encode(deflated.unwrap_or_default()))
    }

    /// The bytes that it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was packed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    ///
    /// # Errors
    /// Where it was not made by [`Packed::of`], or has more than [`MAX_SOURCE`] bytes.
    pub fn text(&self) -> Result<String, NotPacked> {
        let not = |reason: String| NotPacked { reason };
        let deflated =
            BASE64_STANDARD_NO_PAD.decode(&self.0).map_err(|error| not(error.to_string()))?;
        let longest = u64::try_from(MAX_SOURCE).unwrap_or(u64::MAX);
        let mut text = String::new();
        // One byte more tells what is longer from what is just as long.
        let mut decoder = DeflateDecoder::new(deflated.as_slice()).take(longest.saturating_add(1));
        decoder.read_to_string(&mut text).map_err(|error| not(error.to_string()))?;
        if text.len() > MAX_SOURCE {
            return Err(not(format!("it has more than {MAX_SOURCE} bytes")));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_out_as_it_went_in() {
        for text in ["", "a", "größe 🎬\r\n", &"word ".repeat(100_000)] {
            assert_eq!(Packed::of(text).text().unwrap(), text);
        }
        assert!(Packed::of(&"word ".repeat(100_000)).len() < 10_000);
    }

    #[test]
    fn what_is_no_pack_or_grows_beyond_the_limit_is_refused() {
        let bomb = Packed::of(&"0".repeat(MAX_SOURCE + 1));
        assert!(bomb.len() < 100_000);
        assert!(bomb.text().unwrap_err().to_string().contains("more than"));
        assert_eq!(
            Packed::of(&"0".repeat(MAX_SOURCE)).text().map(|text| text.len()),
            Ok(MAX_SOURCE)
        );
        for bad in ["!", "AAAA", "////////"] {
            assert!(Packed(bad.to_owned()).text().is_err(), "{bad}");
        }
    }
}
