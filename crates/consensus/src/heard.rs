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

/// What the last answers to one kind of questions said.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// Who leads, or is said to lead.
    leader: Option<NodeId>,
    silent: Silent,
}

impl Word {
    fn is_silent(self, node: NodeId, now: Monotonic) -> bool {
        self.silent.is_some_and(|(silent, until)| silent == node && now < until)
    }
}

/// What the last answers said of the leader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    to_heartbeats: Word,
    to_requests: Word,
}

impl Heard {
    /// Who is said to lead, by answers to such questions and then by others.
    pub(crate) const fn leaders(self, question: Question) -> [Option<NodeId>; 2] {
        let (heartbeats, requests) = (self.to_heartbeats.leader, self.to_requests.leader);
        match question {
            Question::Heartbeat => [heartbeats, requests],
            Question::Request => [requests, heartbeats],
        }
    }

    const fn word(&mut self, question: Question) -> &mut Word {
        match question {
            Question::Heartbeat => &mut self.to_heartbeats,
            Question::Request => &mut self.to_requests,
        }
    }

    /// What is known when `target` said who leads. That it does itself, it knows best.
    pub(crate) fn tells(
        mut self,
        target: NodeId,
        question: Question,
        leader: Option<NodeId>,
    ) -> Self {
        for word in [&mut self.to_heartbeats, &mut self.to_requests] {
            word.silent.take_if(|(silent, _)| *silent == target);
            word.leader.take_if(|known| *known == target && leader != Some(target));
        }
        self.word(question).leader = leader;
        self
    }

    /// What is known when `target` was no help to `question` at `now`.
    pub(crate) fn fails(mut self, target: NodeId, question: Question, now: Monotonic) -> Self {
        *self.word(question) = Word { leader: None, silent: Some((target, now.after(AVOIDED))) };
        self
    }

    /// Whether `node` is left alone by `question` for now.
    pub(crate) fn avoids(self, node: NodeId, question: Question, now: Monotonic) -> bool {
        self.to_heartbeats.is_silent(node, now)
            || question == Question::Request && self.to_requests.is_silent(node, now)
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
        let heard = Heard::default().tells(LEADER, Question::Heartbeat, Some(LEADER));
        let heard = heard.fails(LEADER, Question::Heartbeat, at(1_000));
        assert_eq!(heard.leaders(Question::Heartbeat), [None, None]);
        let heard = heard.tells(OTHER, Question::Heartbeat, Some(LEADER));
        for question in [Question::Heartbeat, Question::Request] {
            assert!(heard.avoids(LEADER, question, at(1_499)), "the others still name it");
            assert!(!heard.avoids(LEADER, question, at(1_500)));
            assert!(!heard.avoids(OTHER, question, at(1_000)));
            let answers = heard.tells(LEADER, Question::Request, Some(LEADER));
            assert!(!answers.avoids(LEADER, question, at(1_001)));
        }
    }

    #[test]
    fn a_request_that_fails_or_is_misled_keeps_no_heartbeat_away() {
        let heard = Heard::default().tells(LEADER, Question::Heartbeat, Some(LEADER));
        let failed = heard.fails(LEADER, Question::Request, at(1_000));
        assert!(failed.avoids(LEADER, Question::Request, at(1_499)));
        assert!(!failed.avoids(LEADER, Question::Heartbeat, at(1_000)));
        assert_eq!(failed.leaders(Question::Heartbeat), [Some(LEADER), None]);
        let misled = heard.tells(OTHER, Question::Request, Some(OTHER));
        assert_eq!(misled.leaders(Question::Heartbeat), [Some(LEADER), Some(OTHER)]);
        assert_eq!(misled.leaders(Question::Request), [Some(OTHER), Some(LEADER)]);
        let confirmed = heard.tells(LEADER, Question::Request, Some(LEADER));
        let then_misled = confirmed.tells(OTHER, Question::Request, Some(OTHER));
        assert_eq!(then_misled.leaders(Question::Heartbeat), [Some(LEADER), Some(OTHER)]);
        let denied = misled.tells(LEADER, Question::Request, None);
        assert_eq!(denied.leaders(Question::Heartbeat), [None, None], "it leads no more");
    }
}
