//! Whether small words between two capitalised words belong to one name (*Lawrence of Arabia*) or
//! stand between two (*Peter O'Toole in Cairo*): counts over the pack's examples with a prior.

use std::collections::HashMap;

use crate::text::{Token, TokenKind, is_function_word};

/// Words that may stand inside a name.
const CONNECTORS: [&str; 41] = [
    "of", "the", "and", "&", "in", "on", "a", "an", "to", "for", "with", "at", "from", "de", "la",
    "le", "les", "du", "des", "von", "van", "der", "den", "del", "della", "di", "da", "dos", "y",
    "el", "al", "bin", "ibn", "'s", ":", "or", "zu", "do", "e", "'", "by",
];

/// Words that join parts of personal and place names.
const PARTICLES: [&str; 20] = [
    "de", "la", "le", "les", "du", "des", "von", "van", "der", "den", "del", "della", "di", "da",
    "dos", "el", "al", "bin", "ibn", "zu",
];

/// How much the place of a name counts against what its joints are elsewhere.
const BEGINNING: f64 = 1.5;

/// How much it counts there what the joints are elsewhere.
const ELSEWHERE: f64 = 0.3;

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
    /// The left name stands where a name begins that no verb or preposition governs: at the start of
    /// a sentence or behind a possessive; or it opens with a small word of its own. What follows it
    /// there is seldom said of it: *Paths of Glory is*, but *stars in Psycho with*.
    pub(crate) begins: bool,
    /// The left name opens with an article: *The Handmaid* of *The Handmaid's Tale*.
    pub(crate) article: bool,
}

/// Does a name that starts at the token `at` begin so?
pub(crate) fn begins(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| tokens.get(at));
    let Some(before) = before else { return true };
    // A small word with a capital opens a title, wherever it stands.
    let small = tokens.get(at).is_some_and(|t| t.capital && is_function_word(&t.lower));
    let ends = [".", "!", "?", ";", "\"", "“"];
    small
        || before.kind == TokenKind::Possessive
        || (before.kind == TokenKind::Mark && ends.contains(&before.lower.as_str()))
}

impl Gap<'_> {
    fn shaped(&self) -> String {
        format!("{}|{}|{}", self.words, self.left.min(2), self.right.min(2))
    }

    fn beginning(&self) -> Option<String> {
        let of_length = match self.words {
            "'s" => format!("{}{}", self.left.min(2), if self.article { "the" } else { "" }),
            "by" => self.right.min(2).to_string(),
            _ => String::new(),
        };
        self.begins.then(|| format!("^{}|{of_length}", self.words))
    }

    /// As [`Gap::prior`], of a gap behind a name that begins freely.
    fn prior_beginning(&self) -> (f64, f64) {
        if self.words.starts_with("and") {
            if self.left == 1 && self.right == 1 { (1.0, 1.0) } else { (0.2, 2.0) }
        } else if self.words == "'s" {
            self.prior_possessive()
        } else if self.words == "by" {
            // An author has more than one name.
            if self.right == 1 { (1.5, 0.5) } else { (0.1, 2.0) }
        } else {
            (1.5, 0.5)
        }
    }

    /// Who is named for the first time has more than one name, or is no owner but part of a title.
    fn prior_possessive(&self) -> (f64, f64) {
        if self.article {
            (2.0, 0.5)
        } else if self.left == 1 {
            (1.5, 1.0)
        } else {
            (0.2, 2.0)
        }
    }

    /// How often, of how many, a gap like this joins, before anything is seen.
    fn prior(&self) -> (f64, f64) {
        let words: Vec<&str> = self.words.split(' ').collect();
        let all = |list: &[&str]| words.iter().all(|word| list.contains(word));
        if all(&PARTICLES) || self.words == "&" {
            (4.0, 0.25)
        } else if matches!(self.words, "of" | "of the" | "of a" | "of an" | ":") {
            (2.0, 0.75)
        } else if self.words == "the" {
            // `Conan the Barbarian`: names stand side by side like that nowhere else.
            (4.0, 0.5)
        } else if self.words == "to" {
            (1.0, 0.75)
        } else if self.words == "'s" {
            self.prior_possessive()
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
        for key in [gap.words.to_owned(), gap.shaped()].into_iter().chain(gap.beginning()) {
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
        let odds = |key: &str, prior: (f64, f64)| {
            let (joined, apart) = self.seen.get(key).copied().unwrap_or_default();
            ((joined + prior.0) / (apart + prior.1)).ln()
        };
        let prior = (prior_joined, prior_apart);
        let half = (prior_joined / 2.0, prior_apart / 2.0);
        let anywhere = 0.5 * odds(gap.words, prior) + odds(&gap.shaped(), half);
        let Some(key) = gap.beginning() else { return anywhere };
        BEGINNING * odds(&key, gap.prior_beginning()) + ELSEWHERE * anywhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_overrule_the_prior() {
        let gap = Gap { words: "and", left: 1, right: 1, begins: false, article: false };
        let mut joins = Joins::default();
        assert!(joins.score(&gap) < 0.0);
        for _ in 0..6 {
            joins.learn(&gap, true);
        }
        assert!(joins.score(&gap) > 0.0);
        assert!(
            joins.score(&Gap { words: "and", left: 2, right: 2, begins: false, article: false })
                < 0.0
        );
        assert!(
            joins.score(&Gap { words: "de la", left: 1, right: 1, begins: false, article: false })
                > 0.0
        );
    }
}
