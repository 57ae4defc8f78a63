//! What a node heard of the leader, and whom it leaves alone for a while.

use std::time::Duration;

use quarry_types::{Monotonic, NodeId};

/// For how long others are asked first when a node does not answer: they know of its death by then, if
/// it has died. Then it is asked again, for it may be alone in knowing that it leads.
pub(crate) const AVOIDED: Duration = Duration::from_millis(500);

/// Who asks the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A heartbeat. Who does not answer one is left alone by all: it is dead, or has no quorum.
    Heartbeat,
    /// Anything else. Who does not answer it may be busy, and renews leases all the same: a request
    /// that fails keeps no heartbeat away from the leader.
    Request,
}

/// A node that did not answer, and until when others are asked first: what they say of it may be out of
/// date.
type Silent = Option<(NodeId, Monotonic)>;

/// What the last answers said of the leader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// Who leads, or is said to lead.
    pub(crate) leader: Option<NodeId>,
    to_heartbeats: Silent,
    to_requests: Silent,
}

impl Heard {
    /// What is known when `target` said who leads.
    pub(crate) fn tells(self, target: NodeId, leader: Option<NodeId>) -> Self {
        let others = |silent: Silent| silent.filter(|(silent, _)| *silent != target);
        let to_heartbeats = others(self.to_heartbeats);
        Self { leader, to_heartbeats, to_requests: others(self.to_requests) }
    }

    /// What is known when `target` was no help to `question` at `now`.
    pub(crate) fn fails(self, target: NodeId, question: Question, now: Monotonic) -> Self {
        let silent = Some((target, now.after(AVOIDED)));
        match question {
            Question::Heartbeat => Self { leader: None, to_heartbeats: silent, ..self },
            Question::Request => Self { leader: None, to_requests: silent, ..self },
        }
    }

    /// Whether `node` is left alone by `question` for now.
    pub(crate) fn avoids(self, node: NodeId, question: Question, now: Monotonic) -> bool {
        let is_silent =
            |silent: Silent| silent.is_some_and(|(it, until)| it == node && now < until);
        is_silent(self.to_heartbeats)
            || question == Question::Request && is_silent(self.to_requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: NodeId = NodeId(2);
    const OTHER: NodeId = NodeId(3);

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000_000)
    }

    #[test]
    fn who_does_not_answer_a_heartbeat_is_left_alone_by_all_for_a_while() {
        let heard = Heard::default().tells(LEADER, Some(LEADER));
        let heard = heard.fails(LEADER, Question::Heartbeat, at(1_000));
        assert_eq!(heard.leader, None);
        let heard = heard.tells(OTHER, Some(LEADER));
        for question in [Question::Heartbeat, Question::Request] {
            assert!(heard.avoids(LEADER, question, at(1_499)), "the others still name it");
            assert!(!heard.avoids(LEADER, question, at(1_500)));
            assert!(!heard.avoids(OTHER, question, at(1_000)));
            let answers = heard.tells(LEADER, Some(LEADER));
            assert!(!answers.avoids(LEADER, question, at(1_001)));
        }
    }

    #[test]
    fn a_request_that_fails_keeps_no_heartbeat_away() {
        let heard = Heard::default().fails(LEADER, Question::Request, at(1_000));
        assert!(heard.avoids(LEADER, Question::Request, at(1_499)));
        assert!(!heard.avoids(LEADER, Question::Heartbeat, at(1_000)));
    }
}
