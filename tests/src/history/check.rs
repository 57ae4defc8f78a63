//! Whether the final content of the registers can have come of what the clients did.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use super::{Call, End, Entry, History, Read};

/// One promise that was broken, at one value of one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Id of the register.
    pub register: String,
    /// The value at which it shows.
    pub value: String,
    /// What is wrong.
    pub kind: BreachKind,
}

/// The ways in which a register can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreachKind {
    /// Acknowledged, and not there.
    Lost,
    /// There more than once.
    Doubled,
    /// There, and nobody appended it.
    Invented,
    /// There, although every attempt was refused.
    RefusedButThere,
    /// There under other figures than it was acknowledged with.
    AnswerDiffers,
    /// Stands before a value that was acknowledged before it was first sent.
    OutOfOrder,
    /// Its epoch is lower than that of the value before it.
    EpochWentBack,
    /// Its epoch was that of another owner.
    EpochShared,
    /// Its number is not its place, counted from 1.
    Misnumbered,
    /// Acknowledged before a current read began that did not see it.
    ReadStale,
    /// A read saw it at a place where it does not stand.
    ReadDiverges,
}

impl fmt::Display for Breach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Register/{} {:?}: {:?}", self.register, self.value, self.kind)
    }
}

/// Every breach of what was promised, given the final content of every register that was used.
///
/// Values of different calls differ. An acknowledged append stands exactly once, with the figures
/// of its answer; one whose end is unknown at most once; a refused one never. Where one call was
/// answered before another began, by the same client or not, they stand in that order. Epochs never
/// decrease along a register, and none is shared by two owners; numbers are places. A current read saw a beginning of
/// the final content that holds all that was acknowledged before it.
pub fn check(history: &History, finals: &BTreeMap<String, Vec<Entry>>) -> Vec<Breach> {
    let mut calls: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        calls.entry(&call.register).or_default().push(call);
    }
    for register in finals.keys() {
        calls.entry(register).or_default();
    }
    let mut breaches = Vec::new();
    for (register, calls) in calls {
        let entries = finals.get(register).map_or(&[][..], Vec::as_slice);
        let reads = history.reads.iter().filter(|read| read.register == register);
        let mut found = Register::new(register, calls, entries);
        found.presence();
        found.order();
        found.epochs();
        found.reads(reads);
        breaches.append(&mut found.breaches);
    }
    breaches
}

/// One register while it is checked.
struct Register<'a> {
    id: &'a str,
    calls: Vec<&'a Call>,
    by_value: HashMap<&'a str, &'a Call>,
    entries: &'a [Entry],
    breaches: Vec<Breach>,
}

impl<'a> Register<'a> {
    fn new(id: &'a str, calls: Vec<&'a Call>, entries: &'a [Entry]) -> Self {
        let by_value = calls.iter().map(|call| (call.value.as_str(), *call)).collect();
        Self { id, calls, by_value, entries, breaches: Vec::new() }
    }

    fn breach(&mut self, value: &str, kind: BreachKind) {
        let (register, value) = (self.id.to_owned(), value.to_owned());
        self.breaches.push(Breach { register, value, kind });
    }

    fn presence(&mut self) {
        let mut seen: HashMap<&str, &Entry> = HashMap::new();
        for entry in self.entries {
            if seen.insert(&entry.value, entry).is_some() {
                self.breach(&entry.value, BreachKind::Doubled);
            }
            if !self.by_value.contains_key(entry.value.as_str()) {
                self.breach(&entry.value, BreachKind::Invented);
            }
        }
        for call in self.calls.clone() {
            let kind = match (&call.end, seen.get(call.value.as_str())) {
                (End::Acknowledged { .. }, None) => BreachKind::Lost,
                (End::Refused, Some(_)) => BreachKind::RefusedButThere,
                (End::Acknowledged { seq, epoch, owner }, Some(entry))
                    if (*seq, *epoch, owner) != (entry.seq, entry.epoch, &entry.owner) =>
                {
                    BreachKind::AnswerDiffers
                }
                _ => continue,
            };
            self.breach(&call.value, kind);
        }
    }

    /// Going back from the end, no value may have been first sent after the earliest answer to any
    /// value behind it.
    fn order(&mut self) {
        let mut earliest_answer_behind = u64::MAX;
        for entry in self.entries.iter().rev() {
            let Some(call) = self.by_value.get(entry.value.as_str()).copied() else { continue };
            if earliest_answer_behind < call.called {
                self.breach(&entry.value, BreachKind::OutOfOrder);
            }
            if let (End::Acknowledged { .. }, Some(answered)) = (&call.end, call.answered) {
                earliest_answer_behind = earliest_answer_behind.min(answered);
            }
        }
    }

    fn epochs(&mut self) {
        let mut owners = HashMap::new();
        for entry in self.entries {
            if owners.entry(entry.epoch).or_insert(&entry.owner) != &&entry.owner {
                self.breach(&entry.value, BreachKind::EpochShared);
            }
        }
        for (before, after) in self.entries.iter().zip(self.entries.iter().skip(1)) {
            if after.epoch < before.epoch {
                self.breach(&after.value, BreachKind::EpochWentBack);
            }
        }
        for (place, entry) in (1..).zip(self.entries) {
            if entry.seq != place {
                self.breach(&entry.value, BreachKind::Misnumbered);
            }
        }
    }

    fn reads(&mut self, reads: impl Iterator<Item = &'a Read>) {
        for read in reads {
            let places = self.entries.iter().map(Some).chain(std::iter::repeat(None));
            for (seen, stands) in read.entries.iter().zip(places) {
                if Some(seen) != stands {
                    self.breach(&seen.value, BreachKind::ReadDiverges);
                }
            }
            let seen: HashSet<&str> = read.entries.iter().map(|entry| &*entry.value).collect();
            for call in self.calls.clone() {
                let acknowledged = matches!(call.end, End::Acknowledged { .. });
                let before = call.answered.is_some_and(|answered| answered < read.called);
                if acknowledged && before && !seen.contains(&*call.value) {
                    self.breach(&call.value, BreachKind::ReadStale);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(value: &str, seq: u64, epoch: u64, owner: u64) -> Entry {
        Entry { value: value.to_owned(), seq, epoch, owner: json!(owner) }
    }

    fn done(seq: u64, epoch: u64, owner: u64) -> End {
        End::Acknowledged { seq, epoch, owner: json!(owner) }
    }

    /// A call of register `r`, with the stamps of its begin and answer.
    fn call(client: u32, value: &str, stamps: (u64, u64), end: End) -> Call {
        Call {
            client,
            sequence: 0,
            register: "r".to_owned(),
            value: value.to_owned(),
            key: value.to_owned(),
            called: stamps.0,
            answered: Some(stamps.1),
            end,
        }
    }

    fn kinds(calls: Vec<Call>, reads: Vec<Read>, entries: Vec<Entry>) -> Vec<BreachKind> {
        let history = History { calls, reads, ..History::default() };
        let finals = BTreeMap::from([("r".to_owned(), entries)]);
        check(&history, &finals).into_iter().map(|breach| breach.kind).collect()
    }

    /// Two acknowledged appends, one after the other, across a change of owner.
    fn sound_calls() -> Vec<Call> {
        vec![call(1, "a", (1, 2), done(1, 5, 1)), call(2, "b", (3, 4), done(2, 7, 2))]
    }

    fn sound_entries() -> Vec<Entry> {
        vec![entry("a", 1, 5, 1), entry("b", 2, 7, 2)]
    }

    fn read(called: u64, entries: Vec<Entry>) -> Read {
        Read { register: "r".to_owned(), called, answered: called + 1, entries }
    }

    #[test]
    fn a_sound_history_passes() {
        let reads = vec![read(3, sound_entries()[..1].to_vec()), read(9, sound_entries())];
        assert_eq!(kinds(sound_calls(), reads, sound_entries()), []);
    }

    #[test]
    fn an_acknowledged_append_that_is_gone_is_lost() {
        assert_eq!(kinds(sound_calls(), vec![], vec![entry("a", 1, 5, 1)]), [BreachKind::Lost]);
    }

    #[test]
    fn a_register_that_vanished_lost_everything() {
        let history = History { calls: sound_calls(), ..History::default() };
        assert_eq!(check(&history, &BTreeMap::new()).len(), 2);
    }

    #[test]
    fn a_value_that_stands_twice_is_doubled() {
        let mut entries = sound_entries();
        entries.push(entry("b", 3, 7, 2));
        let found = kinds(sound_calls(), vec![], entries);
        assert!(found.contains(&BreachKind::Doubled), "{found:?}");
        let calls = vec![call(1, "a", (1, 2), End::Unknown)];
        let entries = vec![entry("a", 1, 5, 1), entry("a", 2, 5, 1)];
        assert_eq!(kinds(calls, vec![], entries), [BreachKind::Doubled]);
    }

    #[test]
    fn a_value_that_nobody_sent_is_invented() {
        let entries = vec![entry("a", 1, 5, 1), entry("x", 2, 5, 1), entry("b", 2, 7, 2)];
        assert!(kinds(sound_calls(), vec![], entries).contains(&BreachKind::Invented));
    }

    #[test]
    fn an_unknown_append_may_stand_or_not() {
        let calls = || vec![call(1, "a", (1, 2), End::Unknown)];
        assert_eq!(kinds(calls(), vec![], vec![entry("a", 1, 5, 1)]), []);
        assert_eq!(kinds(calls(), vec![], vec![]), []);
    }

    #[test]
    fn a_refused_append_must_not_stand() {
        let calls = || vec![call(1, "a", (1, 2), End::Refused)];
        assert_eq!(kinds(calls(), vec![], vec![]), []);
        let found = kinds(calls(), vec![], vec![entry("a", 1, 5, 1)]);
        assert_eq!(found, [BreachKind::RefusedButThere]);
    }

    #[test]
    fn an_answer_that_differs_from_what_stands_is_found() {
        for other in [entry("a", 2, 5, 1), entry("a", 1, 6, 1), entry("a", 1, 5, 2)] {
            let calls = vec![call(1, "a", (1, 2), done(1, 5, 1))];
            assert!(kinds(calls, vec![], vec![other]).contains(&BreachKind::AnswerDiffers));
        }
    }

    #[test]
    fn answered_before_sent_stands_before() {
        let calls = vec![call(1, "a", (1, 2), done(2, 5, 1)), call(1, "b", (3, 4), done(1, 5, 1))];
        let entries = vec![entry("b", 1, 5, 1), entry("a", 2, 5, 1)];
        assert_eq!(kinds(calls, vec![], entries), [BreachKind::OutOfOrder]);
    }

    #[test]
    fn calls_side_by_side_may_stand_in_any_order() {
        let calls = vec![call(1, "a", (1, 3), done(2, 5, 1)), call(2, "b", (2, 4), done(1, 5, 1))];
        let entries = vec![entry("b", 1, 5, 1), entry("a", 2, 5, 1)];
        assert_eq!(kinds(calls, vec![], entries), []);
    }

    #[test]
    fn an_unknown_append_cannot_stand_before_what_was_answered_before_it() {
        let calls = vec![call(1, "a", (1, 2), done(2, 5, 1)), call(2, "b", (3, 4), End::Unknown)];
        let entries = vec![entry("b", 1, 5, 1), entry("a", 2, 5, 1)];
        assert_eq!(kinds(calls, vec![], entries), [BreachKind::OutOfOrder]);
    }

    #[test]
    fn an_epoch_that_goes_back_is_found() {
        let calls = vec![call(1, "a", (1, 2), done(1, 7, 1)), call(2, "b", (3, 4), done(2, 5, 2))];
        let entries = vec![entry("a", 1, 7, 1), entry("b", 2, 5, 2)];
        assert_eq!(kinds(calls, vec![], entries), [BreachKind::EpochWentBack]);
    }

    #[test]
    fn an_epoch_of_two_owners_is_found() {
        let calls = vec![call(1, "a", (1, 2), done(1, 5, 1)), call(2, "b", (3, 4), done(2, 5, 2))];
        let entries = vec![entry("a", 1, 5, 1), entry("b", 2, 5, 2)];
        assert_eq!(kinds(calls, vec![], entries), [BreachKind::EpochShared]);
    }

    #[test]
    fn a_number_that_is_not_its_place_is_found() {
        for seq in [1, 3] {
            let second = call(2, "b", (3, 4), done(seq, 5, 1));
            let calls = vec![call(1, "a", (1, 2), done(1, 5, 1)), second];
            let entries = vec![entry("a", 1, 5, 1), entry("b", seq, 5, 1)];
            assert_eq!(kinds(calls, vec![], entries), [BreachKind::Misnumbered]);
        }
    }

    #[test]
    fn a_read_that_misses_what_was_acknowledged_is_stale() {
        let reads = vec![read(5, sound_entries()[..1].to_vec())];
        assert_eq!(kinds(sound_calls(), reads, sound_entries()), [BreachKind::ReadStale]);
    }

    #[test]
    fn a_read_of_what_does_not_stand_diverges() {
        let reads = || vec![read(1, vec![entry("b", 1, 5, 1)])];
        assert_eq!(kinds(sound_calls(), reads(), sound_entries()), [BreachKind::ReadDiverges]);
        let gone = vec![call(1, "b", (1, 9), End::Unknown)];
        assert_eq!(kinds(gone, reads(), vec![]), [BreachKind::ReadDiverges]);
    }

    proptest! {
        /// Sequential histories pass; with any acknowledged value removed, doubled or moved they
        /// do not.
        #[test]
        fn a_planted_fault_in_a_sound_history_is_found(
            epochs in proptest::collection::vec(0_u64..3, 2..30),
            place in any::<prop::sample::Index>(),
            fault in 0_u8..3,
        ) {
            let mut epoch = 1;
            let (mut calls, mut entries) = (Vec::new(), Vec::new());
            for (seq, step) in (1..).zip(&epochs) {
                epoch += step;
                let value = format!("v{seq}");
                calls.push(call(1, &value, (2 * seq, 2 * seq + 1), done(seq, epoch, epoch)));
                entries.push(entry(&value, seq, epoch, epoch));
            }
            prop_assert_eq!(kinds(calls.clone(), vec![], entries.clone()), []);
            let place = place.index(entries.len());
            let other = (place + 1) % entries.len();
            match fault {
                0 => drop(entries.remove(place)),
                1 => entries.insert(other, entries[place].clone()),
                _ => entries.swap(place, other),
            }
            prop_assert!(!kinds(calls, vec![], entries).is_empty());
        }
    }
}
