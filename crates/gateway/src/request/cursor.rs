//! Cursors of lists: the store's own, sealed so that a damaged one, or one of another list, is
//! refused instead of beginning somewhere.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use crate::{Code, Problem};

/// The cursors of one list under one filter.
#[derive(Debug)]
pub(crate) struct Cursors(String);

impl Cursors {
    /// Those of the list that `filter` names.
    pub(crate) fn of(filter: String) -> Self {
        Self(filter)
    }

    /// What a client gets: the store's cursor in hexadecimal digits behind a seal of 16.
    pub(crate) fn seal(&self, cursor: &str) -> String {
        let mut sealed = format!("{:016x}", self.sum(cursor.as_bytes()));
        for byte in cursor.bytes() {
            // Writing to a string cannot fail.
            let _ = write!(sealed, "{byte:02x}");
        }
        sealed
    }

    /// The store's cursor in what a client gave back.
    pub(crate) fn open(&self, sealed: &str) -> Result<String, Problem> {
        self.try_open(sealed).ok_or_else(|| {
            let detail = "parameter cursor: it is not one that this list, with these filters, gave";
            Problem::new(Code::InvalidParameter, detail).field("cursor")
        })
    }

    fn try_open(&self, sealed: &str) -> Option<String> {
        let (seal, digits) = sealed.split_at_checked(16)?;
        if digits.len() % 2 != 0 || !digits.is_ascii() {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let bytes = bytes?;
        let valid = seal == format!("{:016x}", self.sum(&bytes));
        valid.then(|| String::from_utf8(bytes).ok()).flatten()
    }

    fn sum(&self, cursor: &[u8]) -> u64 {
        xxh3_64(&[self.0.as_bytes(), &[0], cursor].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_what_its_own_list_sealed() {
        let cursors = Cursors::of("messages/open".to_owned());
        let sealed = cursors.seal("42:größe");
        assert_eq!(cursors.open(&sealed).unwrap(), "42:größe");
        assert!(Cursors::of("messages/finished".to_owned()).open(&sealed).is_err());
        for bad in ["", "x", "0000000000000000", "é", &sealed[1..], &sealed[..sealed.len() - 2]] {
            assert!(cursors.open(bad).is_err(), "{bad:?}");
        }
    }
}
