//! What a client of PostgreSQL sends, cut into messages (protocol 3.0, "Message Formats").

use std::collections::BTreeSet;

/// What stands in the one statement that commits messages, and in no other.
const WRITES: &[u8] = b"insert into outcome ";
/// Version 3.0, with which the first message that is not a question about encryption begins.
const STARTUP: [u8; 4] = [0, 3, 0, 0];

/// One message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// All of it.
    pub(super) bytes: Vec<u8>,
    /// Whether it is the Sync behind a commit: what was sent before it has been executed and is not
    /// committed without it.
    pub(super) ends_commit: bool,
}

/// One connection's requests, in order.
#[derive(Debug, Default)]
pub(super) struct Requests {
    received: Vec<u8>,
    is_started: bool,
    /// Names of the prepared statements that commit.
    commits: BTreeSet<Vec<u8>>,
    is_in_commit: bool,
}

impl Requests {
    /// Takes what came, whole messages or not.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Request> {
        // Before the session has started, messages have no kind.
        let kind = usize::from(self.is_started);
        let length: [u8; 4] = self.received.get(kind..kind + 4)?.try_into().ok()?;
        let end = kind + usize::try_from(u32::from_be_bytes(length)).ok()?;
        let body = self.received.get(kind + 4..end)?;
        let mut ends_commit = false;
        match (self.is_started, self.received.first()?) {
            (false, _) => self.is_started = body.starts_with(&STARTUP),
            (true, b'P') => {
                let (name, rest) = text(body);
                if text(rest).0.windows(WRITES.len()).any(|words| words == WRITES) {
                    self.commits.insert(name.to_vec());
                }
            }
            (true, b'B') => {
                let (_portal, rest) = text(body);
                self.is_in_commit |= self.commits.contains(text(rest).0);
            }
            (true, b'S') => ends_commit = std::mem::take(&mut self.is_in_commit),
            (true, _) => {}
        }
        let bytes = self.received.drain(..end).collect();
        Some(Request { bytes, ends_commit })
    }
}

/// A text that ends with a zero byte, and what stands behind it.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    (text, rest.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind, &length, body].concat()
    }

    fn started() -> Vec<u8> {
        let question = message(b"", &80_877_103_u32.to_be_bytes());
        [question, message(b"", b"\0\x03\0\0user\0quarry\0\0")].concat()
    }

    fn session(statement: &[u8]) -> Vec<Vec<u8>> {
        vec![
            message(b"P", &[b"s_1\0", statement, b"\0\0\0"].concat()),
            message(b"S", b""),
            message(b"B", b"\0s_1\0\0\0"),
            message(b"E", b"\0\0\0\0\0"),
            message(b"S", b""),
        ]
    }

    #[test]
    fn the_sync_behind_a_commit_is_told_from_all_others() {
        for (statement, expected) in [
            (&b"with w as (insert into outcome (a) select 1) select 1"[..], Some(6)),
            (&b"select * from outcome"[..], None),
        ] {
            let all = [started(), session(statement).concat()].concat();
            let (mut requests, mut seen) = (Requests::default(), Vec::new());
            // Byte by byte: a read ends anywhere.
            for byte in &all {
                requests.push(std::slice::from_ref(byte));
                seen.extend(requests.next());
            }
            assert_eq!(seen.len(), 7);
            assert_eq!(seen.iter().position(|request| request.ends_commit), expected);
            let passed: Vec<u8> = seen.into_iter().flat_map(|request| request.bytes).collect();
            assert_eq!(passed, all, "nothing is changed");
        }
    }
}
