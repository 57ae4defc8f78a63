//! Where a reader of an extraction's events is.

use std::fmt;

use quarry_types::MessageId;

use super::tail::Tail;
use crate::{Code, Problem};

/// What was read of a submission, and of the work behind it once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) own: Tail,
    pub(super) work: Option<Tail>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.own.message_id, self.own.next)?;
        match self.work {
            Some(work) => write!(f, ".{}.{}", work.message_id, work.next),
            None => Ok(()),
        }
    }
}

impl Position {
    /// The position that an event's id names.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let parts: Vec<&str> = text.split('.').collect();
        let position = match parts.as_slice() {
            [own, next] => tail(own, next).map(|own| Self { own, work: None }),
            [own, next, work, work_next] => tail(own, next)
                .zip(tail(work, work_next))
                .map(|(own, work)| Self { own, work: Some(work) }),
            _ => None,
        };
        position.ok_or_else(|| not_ours(text))
    }
}

fn tail(message_id: &str, next: &str) -> Option<Tail> {
    let message_id: MessageId = message_id.parse().ok()?;
    Some(Tail { message_id, next: next.parse().ok()? })
}

/// The refusal of an id that no event of the stream has.
pub(super) fn not_ours(id: &str) -> Problem {
    let detail = format!("header Last-Event-ID: {id:?} is not the id of an event of this stream");
    Problem::new(Code::InvalidHeader, detail).field("Last-Event-ID")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "01890000-0000-7000-8000-000000000001";
    const TWO: &str = "01890000-0000-7000-8000-000000000002";

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for text in [format!("{ONE}.3"), format!("{ONE}.3.{TWO}.0")] {
            assert_eq!(Position::parse(&text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "3",
            ONE,
            &format!("{ONE}.x"),
            &format!("{ONE}.-1"),
            &format!("{ONE}.1.{TWO}"),
            &format!("{ONE}.1.2.3"),
            &format!("{ONE}.1.{TWO}.2.3"),
            &format!("{ONE}.99999999999999999999"),
        ] {
            assert!(Position::parse(bad).is_err(), "{bad}");
        }
    }
}
