//! What clients were told, and whether it is so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quarry_types::MessageId;

use crate::chronicle::Chronicle;

/// A value of a register, and by whom it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) text: String,
    pub(crate) epoch: u64,
    pub(crate) owner: u64,
}

/// A story that was told to its end.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) name: String,
    /// In chunks.
    pub(crate) length: u64,
}

#[derive(Default)]
struct Register {
    /// Acknowledged, by their places from 1.
    acknowledged: BTreeMap<usize, Appended>,
    /// Accepted one way.
    accepted: BTreeSet<String>,
    /// The longest that was read.
    read: Vec<Appended>,
}

#[derive(Default)]
struct Told {
    registers: BTreeMap<u64, Register>,
    /// What was added, and the highest total that was told.
    counters: BTreeMap<u64, (u64, u64)>,
    published: BTreeMap<u64, Vec<String>>,
    /// By their tellers and messages.
    stories: BTreeMap<u64, BTreeMap<MessageId, Story>>,
    briefly: u64,
}

/// See the module.
pub(crate) struct History {
    chronicle: Arc<Chronicle>,
    told: Mutex<Told>,
}

impl History {
    pub(crate) fn new(chronicle: Arc<Chronicle>) -> Self {
        Self { chronicle, told: Mutex::default() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many values of a register were acknowledged or read: it has no fewer from now on.
    pub(crate) fn length(&self, register: u64) -> usize {
        let told = self.told();
        let Some(known) = told.registers.get(&register) else { return 0 };
        let acknowledged = known.acknowledged.keys().next_back().copied().unwrap_or(0);
        acknowledged.max(known.read.len())
    }

    pub(crate) fn appended(&self, register: u64, place: usize, value: &Appended) {
        let mut told = self.told();
        let known = told.registers.entry(register).or_default();
        let is_as_read = known.read.get(place.saturating_sub(1)).is_none_or(|read| read == value);
        self.chronicle.expect(is_as_read, || {
            format!(
                "G2: r{register} has {:?} at {place}, where {value:?} was acknowledged",
                known.read.get(place.saturating_sub(1))
            )
        });
        if let Some(other) = known.acknowledged.insert(place, value.clone()) {
            self.chronicle.expect(other == *value, || {
                format!("G2: {other:?} and {value:?} are acknowledged at {place} of r{register}")
            });
        }
    }

    pub(crate) fn accepted(&self, register: u64, value: &str) {
        let mut told = self.told();
        told.registers.entry(register).or_default().accepted.insert(value.to_owned());
    }

    /// A read that began when `floor` values were known.
    pub(crate) fn read(&self, register: u64, floor: usize, values: Vec<Appended>) {
        let mut told = self.told();
        let known = told.registers.entry(register).or_default();
        self.chronicle.expect(values.len() >= floor, || {
            format!("L4: a current read of r{register} has {} values of {floor}", values.len())
        });
        let differs = values.iter().zip(&known.read).find(|(new, old)| new != old);
        self.chronicle
            .expect(differs.is_none(), || format!("G2: r{register} changed: {differs:?}"));
        for (place, value) in &known.acknowledged {
            let stands = values.get(place.saturating_sub(1));
            self.chronicle.expect(stands.is_none_or(|stands| stands == value), || {
                format!("G1: r{register} has {stands:?} at {place} instead of {value:?}")
            });
        }
        if values.len() > known.read.len() {
            known.read = values;
        }
    }

    /// The highest total of a counter that was told.
    pub(crate) fn counted(&self, counter: u64) -> u64 {
        self.told().counters.get(&counter).map_or(0, |(_, total)| *total)
    }

    /// `amount` was added, the answer is the new total; `floor` was known before.
    pub(crate) fn added(&self, counter: u64, amount: u64, floor: u64, reply: &str) {
        let total = reply.parse().unwrap_or(0);
        self.chronicle.expect(total >= floor + amount, || {
            format!("G1: c{counter} is {total} with {amount} more than at least {floor}")
        });
        let mut told = self.told();
        let (sum, highest) = told.counters.entry(counter).or_default();
        *sum += amount;
        *highest = total.max(*highest);
    }

    pub(crate) fn published(&self, publisher: u64, value: &str) {
        self.told().published.entry(publisher).or_default().push(value.to_owned());
    }

    pub(crate) fn told_story(&self, teller: u64, message_id: MessageId, story: Story) {
        self.told().stories.entry(teller).or_default().insert(message_id, story);
    }

    /// The stories that a teller told to their ends.
    pub(crate) fn stories(&self, teller: u64) -> BTreeMap<MessageId, Story> {
        self.told().stories.get(&teller).cloned().unwrap_or_default()
    }

    pub(crate) fn briefly_counted(&self) {
        self.told().briefly += 1;
    }

    /// How often soon forgotten entities were asked.
    pub(crate) fn briefly(&self) -> u64 {
        self.told().briefly
    }

    /// At the end: the counters by their numbers, with what was added to each.
    pub(crate) fn sums(&self) -> BTreeMap<u64, u64> {
        self.told().counters.iter().map(|(counter, (sum, _))| (*counter, *sum)).collect()
    }

    /// How many values were published by each.
    pub(crate) fn publications(&self) -> BTreeMap<u64, Vec<String>> {
        self.told().published.clone()
    }

    /// Whether all that was accepted one way is among what a register was read to hold.
    pub(crate) fn has_all_accepted(&self, register: u64) -> bool {
        let told = self.told();
        let Some(known) = told.registers.get(&register) else { return true };
        let values: BTreeSet<&str> = known.read.iter().map(|value| value.text.as_str()).collect();
        known.accepted.iter().all(|value| values.contains(value.as_str()))
    }

    /// At the end, after a read of all: each acknowledged value stands at its place, each value once,
    /// those of one client in its order, and no epoch has two owners or goes back.
    pub(crate) fn check_registers(&self) {
        let told = self.told();
        for (register, known) in &told.registers {
            let last = known.acknowledged.keys().next_back().copied().unwrap_or(0);
            self.chronicle.expect(known.read.len() >= last, || {
                format!("G1: r{register} has lost what is behind {}", known.read.len())
            });
            self.check_order(&format!("r{register}"), &known.read);
            self.check_owners(&format!("r{register}"), &known.read);
        }
    }

    /// Each value once, and those of one client in its order.
    fn check_order(&self, register: &str, values: &[Appended]) {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for value in values {
            let client = value.text.split('-').next().unwrap_or_default();
            let earlier = last.insert(client, &value.text);
            self.chronicle
                .expect(earlier.is_none_or(|earlier| earlier < value.text.as_str()), || {
                    format!("G4: {register} has {} behind {earlier:?}", value.text)
                });
        }
    }

    /// Epochs in order, and of one owner each.
    pub(crate) fn check_owners(&self, register: &str, values: &[Appended]) {
        let mut before: Option<&Appended> = None;
        for value in values {
            let is_in_order = before.is_none_or(|before| {
                before.epoch < value.epoch
                    || before.epoch == value.epoch && before.owner == value.owner
            });
            self.chronicle
                .expect(is_in_order, || format!("G3: {register} has {value:?} behind {before:?}"));
            before = Some(value);
        }
    }
}
