//! Whether the final totals of counters can have come of what the clients added.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Add, AddEnd, History};

/// One promise that was broken, at one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterBreach {
    /// Id of the counter.
    pub counter: String,
    /// What is wrong.
    pub kind: CounterBreachKind,
    /// The stamp at which it shows; 0 where it shows at the end only.
    pub stamp: u64,
}

/// The ways in which a counter can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterBreachKind {
    /// Less than what was acknowledged, or more than what was tried.
    FinalTotal {
        /// What stands.
        is: i64,
        /// What was acknowledged.
        least: i64,
        /// That and all whose end is unknown.
        most: i64,
    },
    /// Two additions were answered with this total: the counter forked, or one was lost.
    AnsweredTwice(i64),
    /// An addition was answered with this total, which was never reached.
    NotReached(i64),
    /// An addition was answered with this total, and one that began after that answer with a lower
    /// one or the same.
    WentBack(i64),
}

impl fmt::Display for CounterBreach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Counter/{}: {:?}", self.counter, self.kind)
    }
}

/// Every breach of what was promised, given the final total of every counter that was used; one that
/// is not given stands at 0.
///
/// Each addition was of one, so that a total is a place in the order of all additions: acknowledged
/// ones have places of their own between 1 and the final total, in the order of real time; one whose
/// end is unknown has a place or none; a refused one has none.
pub fn check_counters(history: &History, finals: &BTreeMap<String, i64>) -> Vec<CounterBreach> {
    let mut adds: BTreeMap<&str, Vec<&Add>> = BTreeMap::new();
    for add in &history.adds {
        adds.entry(&add.counter).or_default().push(add);
    }
    for counter in finals.keys() {
        adds.entry(counter).or_default();
    }
    let mut breaches = Vec::new();
    for (counter, adds) in adds {
        let total = finals.get(counter).copied().unwrap_or_default();
        for (kind, stamp) in check_one(&adds, total) {
            breaches.push(CounterBreach { counter: counter.to_owned(), kind, stamp });
        }
    }
    breaches
}

fn check_one(adds: &[&Add], is: i64) -> Vec<(CounterBreachKind, u64)> {
    let mut found = Vec::new();
    let mut answered: Vec<(i64, &Add)> = Vec::new();
    let mut unknown = 0;
    for add in adds {
        match add.end {
            AddEnd::Acknowledged(total) => answered.push((total, add)),
            AddEnd::Unknown => unknown += 1,
            AddEnd::Refused => {}
        }
    }
    let least = i64::try_from(answered.len()).unwrap_or(i64::MAX);
    let most = least.saturating_add(unknown);
    if !(least..=most).contains(&is) {
        found.push((CounterBreachKind::FinalTotal { is, least, most }, 0));
    }
    answered.sort_unstable_by_key(|(total, add)| (*total, add.called));
    let mut seen = BTreeSet::new();
    for (total, add) in &answered {
        if !seen.insert(*total) {
            found.push((CounterBreachKind::AnsweredTwice(*total), add.called));
        }
        if !(1..=is).contains(total) {
            found.push((CounterBreachKind::NotReached(*total), add.called));
        }
    }
    // Going back from the highest total, none may have been asked for after the earliest answer to
    // any total above it.
    let mut earliest_answer_above = u64::MAX;
    for (total, add) in answered.iter().rev() {
        if earliest_answer_above < add.called {
            found.push((CounterBreachKind::WentBack(*total), add.called));
        }
        earliest_answer_above = earliest_answer_above.min(add.answered.unwrap_or(u64::MAX));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(stamps: (u64, u64), end: AddEnd) -> Add {
        let (called, answered) = (stamps.0, Some(stamps.1));
        Add { client: 1, counter: "c".to_owned(), called, answered, end }
    }

    fn kinds(adds: Vec<Add>, total: i64) -> Vec<CounterBreachKind> {
        let history = History { adds, ..History::default() };
        let finals = BTreeMap::from([("c".to_owned(), total)]);
        check_counters(&history, &finals).into_iter().map(|breach| breach.kind).collect()
    }

    use AddEnd::{Acknowledged, Refused, Unknown};
    use CounterBreachKind::{AnsweredTwice, FinalTotal, NotReached, WentBack};

    #[test]
    fn what_was_answered_in_order_and_stands_is_sound() {
        let adds = vec![add((1, 2), Acknowledged(1)), add((3, 4), Acknowledged(2))];
        assert_eq!(kinds(adds, 2), []);
    }

    #[test]
    fn side_by_side_they_may_be_counted_in_any_order() {
        let adds = vec![add((1, 3), Acknowledged(2)), add((2, 4), Acknowledged(1))];
        assert_eq!(kinds(adds, 2), []);
    }

    #[test]
    fn one_whose_end_is_unknown_counts_once_or_not_at_all() {
        let adds = || vec![add((1, 2), Acknowledged(1)), add((3, 4), Unknown)];
        assert_eq!(kinds(adds(), 1), []);
        assert_eq!(kinds(adds(), 2), []);
        assert_eq!(kinds(adds(), 3), [FinalTotal { is: 3, least: 1, most: 2 }]);
    }

    #[test]
    fn a_refused_one_does_not_count() {
        let adds = || vec![add((1, 2), Refused)];
        assert_eq!(kinds(adds(), 0), []);
        assert_eq!(kinds(adds(), 1), [FinalTotal { is: 1, least: 0, most: 0 }]);
    }

    #[test]
    fn an_addition_that_is_gone_is_found() {
        let adds = vec![add((1, 2), Acknowledged(1)), add((3, 4), Acknowledged(2))];
        assert_eq!(kinds(adds, 1), [FinalTotal { is: 1, least: 2, most: 2 }, NotReached(2)]);
        let history = History { adds: vec![add((1, 2), Acknowledged(1))], ..History::default() };
        assert_eq!(check_counters(&history, &BTreeMap::new()).len(), 2, "the counter vanished");
    }

    #[test]
    fn a_fork_answers_one_total_twice() {
        let adds = vec![
            add((1, 2), Acknowledged(1)),
            add((3, 5), Acknowledged(2)),
            add((4, 6), Acknowledged(2)),
        ];
        assert!(kinds(adds, 3).contains(&AnsweredTwice(2)));
    }

    #[test]
    fn a_total_below_one_that_was_answered_before_went_back() {
        let adds = vec![add((1, 2), Acknowledged(2)), add((3, 4), Acknowledged(1))];
        assert_eq!(kinds(adds, 2), [WentBack(1)]);
    }

    proptest! {
        /// One after the other is sound; with one answer changed it is not.
        #[test]
        fn a_planted_fault_in_a_sound_history_is_found(
            count in 2_i64..30,
            place in any::<prop::sample::Index>(),
            off in prop::sample::select(vec![-2_i64, -1, 1, 2]),
        ) {
            let stamps = |total: i64| {
                let first = u64::try_from(total).unwrap() * 2;
                (first, first + 1)
            };
            let mut adds: Vec<Add> =
                (1..=count).map(|total| add(stamps(total), Acknowledged(total))).collect();
            prop_assert_eq!(kinds(adds.clone(), count), []);
            let place = place.index(adds.len());
            let Acknowledged(total) = adds[place].end else { unreachable!() };
            adds[place].end = Acknowledged(total + off);
            prop_assert!(!kinds(adds, count).is_empty());
        }
    }
}
