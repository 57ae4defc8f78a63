//! Collects what clients did, with stamps that order it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::Value;

/// One value of a register, as `read` answers it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// What was appended.
    pub value: String,
    /// Its number in the register.
    pub seq: u64,
    /// The epoch under which it was committed.
    pub epoch: u64,
    /// Who committed it. Compared, never interpreted.
    pub owner: Value,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Answered with success, and with these figures of its commit.
    Acknowledged {
        /// Number in the register.
        seq: u64,
        /// Epoch of the commit.
        epoch: u64,
        /// Who committed it.
        owner: Value,
    },
    /// Every attempt was answered: surely not done.
    Refused,
    /// It may have been done.
    Unknown,
}

/// One append, with all its attempts under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who called.
    pub client: u32,
    /// The call's number within its client.
    pub sequence: u32,
    /// Id of the register.
    pub register: String,
    /// The value, which no other call has.
    pub value: String,
    /// The idempotency key.
    pub key: String,
    /// Stamp of the first attempt.
    pub called: u64,
    /// Stamp of the answer; `None` while there is none.
    pub answered: Option<u64>,
    /// How it ended.
    pub end: End,
}

/// One current read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Id of the register.
    pub register: String,
    /// Stamp before the read.
    pub called: u64,
    /// Stamp of its answer.
    pub answered: u64,
    /// What it saw.
    pub entries: Vec<Entry>,
}

/// One addition to a counter, with all its attempts under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Who called.
    pub client: u32,
    /// Id of the counter.
    pub counter: String,
    /// Stamp of the first attempt.
    pub called: u64,
    /// Stamp of the answer; `None` while there is none.
    pub answered: Option<u64>,
    /// How it ended.
    pub end: AddEnd,
}

/// How an addition of one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddEnd {
    /// Answered with this total.
    Acknowledged(i64),
    /// Every attempt was answered: surely not done.
    Refused,
    /// It may have been done.
    Unknown,
}

/// Something that was done to the nodes, and not by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its stamp.
    pub stamp: u64,
    /// What it was.
    pub text: String,
}

/// Everything that clients did. Stamps are dense and ordered: of two events, the one with the lower
/// stamp came first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The appends.
    pub calls: Vec<Call>,
    /// The reads.
    pub reads: Vec<Read>,
    /// The additions to counters.
    pub adds: Vec<Add>,
    /// What was done to the nodes meanwhile.
    pub notes: Vec<Note>,
    /// The last stamp given.
    pub stamp: u64,
}

/// Names an addition of the recorder that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddId(usize);

/// Names a call of the recorder that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(usize);

/// Collects a history from clients that run side by side.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    history: History,
    /// Calls of each client.
    calls: BTreeMap<u32, u32>,
}

impl Recorder {
    /// Notes that an append begins. Until [`Recorder::end`], its end is unknown.
    pub fn begin(&self, client: u32, register: &str, value: &str, key: &str) -> CallId {
        self.with_all(|Recorded { history, calls }| {
            let next = calls.entry(client).or_default();
            let sequence = *next;
            *next += 1;
            let call = Call {
                client,
                sequence,
                register: register.to_owned(),
                value: value.to_owned(),
                key: key.to_owned(),
                called: history.next_stamp(),
                answered: None,
                end: End::Unknown,
            };
            history.calls.push(call);
            CallId(history.calls.len() - 1)
        })
    }

    /// Notes how an append ended.
    pub fn end(&self, id: CallId, end: End) {
        self.with(|history| {
            let stamp = history.next_stamp();
            if let Some(call) = history.calls.get_mut(id.0) {
                call.answered = Some(stamp);
                call.end = end;
            }
        });
    }

    /// Notes that an addition of one begins. Until [`Recorder::end_add`], its end is unknown.
    pub fn begin_add(&self, client: u32, counter: &str) -> AddId {
        self.with(|history| {
            let (counter, called) = (counter.to_owned(), history.next_stamp());
            let end = AddEnd::Unknown;
            history.adds.push(Add { client, counter, called, answered: None, end });
            AddId(history.adds.len() - 1)
        })
    }

    /// Notes how an addition ended.
    pub fn end_add(&self, id: AddId, end: AddEnd) {
        self.with(|history| {
            let stamp = history.next_stamp();
            if let Some(add) = history.adds.get_mut(id.0) {
                add.answered = Some(stamp);
                add.end = end;
            }
        });
    }

    /// Notes what is done to the nodes.
    pub fn note(&self, text: impl Into<String>) {
        self.with(|history| {
            let note = Note { stamp: history.next_stamp(), text: text.into() };
            history.notes.push(note);
        });
    }

    /// The stamp for the beginning of a read.
    pub fn stamp(&self) -> u64 {
        self.with(History::next_stamp)
    }

    /// Notes what a read that began at `called` saw.
    pub fn read(&self, register: &str, called: u64, entries: Vec<Entry>) {
        self.with(|history| {
            let answered = history.next_stamp();
            history.reads.push(Read { register: register.to_owned(), called, answered, entries });
        });
    }

    /// What was collected so far.
    pub fn history(&self) -> History {
        self.with(|history| history.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut History) -> T) -> T {
        self.with_all(|recorded| change(&mut recorded.history))
    }

    fn with_all<T>(&self, change: impl FnOnce(&mut Recorded) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl History {
    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_numbered_within_their_client_and_stamped() {
        let recorder = Recorder::default();
        let one = recorder.begin(1, "a", "x", "k1");
        let two = recorder.begin(2, "a", "y", "k2");
        recorder.end(one, End::Refused);
        recorder.begin(1, "a", "z", "k3");
        let history = recorder.history();
        let seen: Vec<_> = history
            .calls
            .iter()
            .map(|call| (call.client, call.sequence, call.called, call.answered))
            .collect();
        assert_eq!(seen, [(1, 0, 1, Some(3)), (2, 0, 2, None), (1, 1, 4, None)]);
        assert_eq!(history.calls[two.0].end, End::Unknown);
    }
}
