//! Server-sent events, as the HTML standard has them, from parts of a body.

use crate::ClientError;

/// The longest event: a chunk, or the outcome of a message, with room for its escapes.
const LONGEST: usize = 64 << 20;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// What was read of a stream beyond its last whole event.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl Events {
    /// The events that `part` makes whole.
    pub(crate) fn read(&mut self, part: &[u8]) -> Result<Vec<Event>, ClientError> {
        let mut events = Vec::new();
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(piece);
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > LONGEST {
                let reason = format!("an event of the stream is longer than {LONGEST} bytes");
                return Err(ClientError::Invalid { reason });
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (id, data) = (self.id.take(), self.data.take());
            return data.map(|data| Event { id, data });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => data.extend(["\n", value]),
                none => *none = Some(value.to_owned()),
            },
            // A comment has no name; the document says its event itself.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text =
            ": alive\n\nid: 4\r\nevent: x\r\ndata: {\"ä\":\r\ndata: 1}\r\n\r\ndata:2\n\ndata: 3";
        let event = |id: Option<&str>, data: &str| Event {
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let expected = [event(Some("4"), "{\"ä\":\n1}"), event(None, "2")];
        for size in 1..text.len() {
            let mut events = Events::default();
            let parts = text.as_bytes().chunks(size);
            let read: Vec<Event> = parts.flat_map(|part| events.read(part).unwrap()).collect();
            assert_eq!(read, expected, "in parts of {size}");
        }
    }
}
