//! Whether small words between two capitalised words belong to one name (*Lawrence of Arabia*) or
//! stand between two (*Peter O'Toole in Cairo*): counts over the pack's examples with a prior.

use std::collections::HashMap;

/// Words that may stand inside a name.
const CONNECTORS: [&str; 40] = [
    "of", "the", "and", "&", "in", "on", "a", "an", "to", "for", "with", "at", "from", "de", "la",
    "le", "les", "du", "des", "von", "van", "der", "den", "del", "della", "di", "da", "dos", "y",
    "el", "al", "bin", "ibn", "'s", ":", "or", "zu", "do", "e", "'",
];

/// Words that join parts of personal and place names.
const PARTICLES: [&str; 20] = [
    "de", "la", "le", "les", "du", "des", "von", "van", "der", "den", "del", "della", "di", "da",
    "dos", "el", "al", "bin", "ibn", "zu",
];

/// Most connecting tokens between two parts of a name.
pub(super) const LONGEST_GAP: usize = 3;

pub(super) fn is_connector(word: &str) -> bool {
    CONNECTORS.contains(&word)
}

/// Counts of joined and separate names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joins {
    seen: HashMap<String, (f64, f64)>,
}

/// The words between two names and how long the names are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap<'a> {
    /// The connecting words, separated by spaces.
    pub(crate) words: &'a str,
    /// Words of the left name.
    pub(crate) left: usize,
    /// Words of the right name.
    pub(crate) right: usize,
}

impl Gap<'_> {
    fn shaped(&self) -> String {
        format!("{}|{}|{}", self.words, self.left.min(2), self.right.min(2))
    }

    /// How often, of how many, a gap like this joins, before anything is seen.
    fn prior(&self) -> (f64, f64) {
        let words: Vec<&str> = self.words.split(' ').collect();
        let all = |list: &[&str]| words.iter().all(|word| list.contains(word));
        if all(&PARTICLES) || self.words == "&" {
            (4.0, 0.25)
        } else if matches!(self.words, "of" | "of the" | ":") {
            (2.0, 0.75)
        } else if self.words == "'s" {
            (0.5, 1.0)
        } else if words.first() == Some(&"and") {
            (0.2, 2.0)
        } else if words.len() > 1 && words.last() == Some(&"the") {
            (1.0, 0.75)
        } else {
            (0.25, 1.0)
        }
    }
}

impl Joins {
    /// Counts one example.
    pub(crate) fn learn(&mut self, gap: &Gap<'_>, joined: bool) {
        for key in [gap.words.to_owned(), gap.shaped()] {
            let count = self.seen.entry(key).or_default();
            if joined {
                count.0 += 1.0;
            } else {
                count.1 += 1.0;
            }
        }
    }

    /// Log-odds that the gap lies inside one name.
    pub(crate) fn score(&self, gap: &Gap<'_>) -> f64 {
        let (prior_joined, prior_apart) = gap.prior();
        let odds = |key: &str, weight: f64| {
            let (joined, apart) = self.seen.get(key).copied().unwrap_or_default();
            ((joined + prior_joined * weight) / (apart + prior_apart * weight)).ln()
        };
        0.5 * odds(gap.words, 1.0) + odds(&gap.shaped(), 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_overrule_the_prior() {
        let gap = Gap { words: "and", left: 1, right: 1 };
        let mut joins = Joins::default();
        assert!(joins.score(&gap) < 0.0);
        for _ in 0..6 {
            joins.learn(&gap, true);
        }
        assert!(joins.score(&gap) > 0.0);
        assert!(joins.score(&Gap { words: "and", left: 2, right: 2 }) < 0.0);
        assert!(joins.score(&Gap { words: "de la", left: 1, right: 1 }) > 0.0);
    }
}
