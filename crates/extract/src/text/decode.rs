//! From a file's bytes to a text, or to words that say why they are none.

/// Why bytes are no text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// They hold a zero byte, as programs, pictures and archives do.
    #[error("it is binary: a zero byte stands at offset {}, {place}; give plain text", place.offset)]
    Binary {
        /// Of the zero byte.
        place: Place,
    },
    /// They are text in UTF-16, by their first two bytes.
    #[error("it is UTF-16, not UTF-8; convert it, as by `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    /// They are not UTF-8.
    #[error(
        "it is not UTF-8: byte 0x{byte:02X} stands at offset {}, {place}; convert it, as by \
         `iconv -f LATIN1 -t UTF-8`",
        place.offset
    )]
    NotUtf8 {
        /// The first byte that is none of a character.
        byte: u8,
        /// Of that byte.
        place: Place,
    },
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in Unicode scalar values.
    pub column: usize,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Place {
    /// The place after `before`.
    fn after(before: &str) -> Self {
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            offset: before.len(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

/// The text that a file's bytes are, as they are: nothing is trimmed, no byte order mark dropped,
/// so that offsets stay those of the file.
///
/// # Errors
/// Where they are no text in UTF-8.
pub fn decode(bytes: &[u8]) -> Result<&str, NotText> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(NotText::Utf16);
    }
    let (text, wrong) = match core::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            (core::str::from_utf8(good).unwrap_or_default(), bad.first().copied())
        }
    };
    if let Some(zero) = text.find('\0') {
        let before = text.get(..zero).unwrap_or_default();
        return Err(NotText::Binary { place: Place::after(before) });
    }
    match wrong {
        None => Ok(text),
        Some(byte) => Err(NotText::NotUtf8 { byte, place: Place::after(text) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        assert_eq!(decode("\u{feff}Ä\r\n🎬".as_bytes()), Ok("\u{feff}Ä\r\n🎬"));
        assert_eq!(decode(b""), Ok(""));
        let place = Place { offset: 5, line: 2, column: 3 };
        assert_eq!(decode(b"ab\ncd\0e"), Err(NotText::Binary { place }));
        let place = Place { offset: 6, line: 2, column: 3 };
        assert_eq!(decode("ä\nüx\u{e9}".as_bytes()).map(str::len), Ok(8));
        let latin = [b"\xc3\xa4\n\xc3\xbcx".as_slice(), b"\xe9 more"].concat();
        assert_eq!(decode(&latin), Err(NotText::NotUtf8 { byte: 0xE9, place }));
        let said = decode(&latin).unwrap_err().to_string();
        assert!(said.contains("byte 0xE9 stands at offset 6, line 2, column 3"), "{said}");
        assert_eq!(decode(b"\xff\xfeA\0"), Err(NotText::Utf16));
        assert!(matches!(decode(b"\x7fELF\0\xff"), Err(NotText::Binary { .. })));
    }
}
