//! What a sentence denies: `was not born in`, `never met`, `neither A nor B`; or says only to have
//! been meant: `hoped to direct`, `would have played`, `asked X to direct`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::span::Candidate;
use crate::text::{Token, TokenKind, is_preposition};

/// Words that begin another clause, or say from when on something holds after all.
const BOUNDARIES: [&str; 17] = [
    "although", "because", "before", "but", "however", "instead", "since", "that", "though",
    "until", "when", "where", "whereas", "which", "while", "who", "whose",
];

/// Words for a wish that somebody else does something.
const ASKING: [&str; 4] = ["asked", "invited", "urged", "wanted"];

/// Most tokens from such a word to what is wished.
const LONGEST_ASKED: usize = 5;

/// What a sentence denies, by positions of tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials {
    /// From a denying word to the end of what it denies.
    scopes: Vec<Range<usize>>,
    /// Where the name stands that a denying word points at: `not by X`.
    pointed: Vec<usize>,
    /// Where `no longer` follows what it denies.
    after: Vec<usize>,
}

impl Denials {
    /// Whether something is said of two mentions, the earlier first, only to be denied.
    pub(crate) fn cover(&self, earlier: &Candidate, later: &Candidate) -> bool {
        let between = earlier.outer.end..later.outer.start;
        self.scopes.iter().any(|s| between.contains(&s.start) && s.end > later.outer.start)
            || self.pointed.contains(&earlier.outer.start)
            || self.after.contains(&later.outer.end)
    }
}

/// A sentence in which denials are looked for.
pub(super) struct Search<'a> {
    pub(super) tokens: &'a [Token],
    pub(super) sentence: &'a Range<usize>,
    pub(super) candidates: &'a [Candidate],
    /// The group of each candidate.
    pub(super) group_of: &'a [usize],
}

impl Search<'_> {
    pub(super) fn denials(&self) -> Denials {
        let mut denials = Denials::default();
        if !self.sentence.clone().any(|at| self.is_denying(at)) {
            return denials;
        }
        let mut owner: BTreeMap<usize, usize> = BTreeMap::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            owner.extend(candidate.outer.clone().map(|at| (at, index)));
        }
        for at in self.sentence.clone().filter(|at| self.is_denying(*at)) {
            if owner.contains_key(&at) {
                continue;
            }
            denials.scopes.push(at..self.end_of_scope(at + 1, &owner));
            let target = self.past_small_words(at + 1);
            if owner.contains_key(&target) {
                denials.pointed.push(target);
            }
            if self.is(at, &["no"]) && self.is(at + 1, &["longer", "more"]) {
                denials.after.push(at);
            }
        }
        denials
    }

    fn word(&self, at: usize) -> &str {
        let token = self.tokens.get(at).filter(|_| self.sentence.contains(&at));
        token.map_or("", |token| token.lower.as_str())
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        words.contains(&self.word(at))
    }

    fn is_denying(&self, at: usize) -> bool {
        match self.word(at) {
            "not" => !self.is(at + 1, &["only", "just", "merely", "least"]),
            "never" | "cannot" | "neither" | "nor" | "without" | "no" | "none" | "nobody"
            | "nothing" => true,
            "refused" | "declined" | "failed" | "hoped" | "planned" | "wanted" | "intended"
            | "attempted" | "tried" | "meant" | "wished" | "supposed" => self.is(at + 1, &["to"]),
            "would" | "could" | "might" | "should" => self.is(at + 1, &["have"]),
            "turned" => self.is(at + 1, &["down"]),
            // `asked X to direct Y`: whether X did is not said.
            "to" => (at.saturating_sub(LONGEST_ASKED)..at).any(|at| self.is(at, &ASKING)),
            word => word.ends_with("n't") || word.ends_with("n’t"),
        }
    }

    /// The first token that is neither a preposition nor an article.
    fn past_small_words(&self, from: usize) -> usize {
        let small = |at: &usize| {
            let word = self.word(*at);
            is_preposition(word) || matches!(word, "the" | "a" | "an" | "even")
        };
        (from..self.sentence.end).find(|at| !small(at)).unwrap_or(self.sentence.end)
    }

    /// What is denied ends with the clause. A comma or an `and` ends it too, unless it goes on with
    /// what is coordinated: `never met A, B and C`, `not in X and in Y`.
    fn end_of_scope(&self, from: usize, owner: &BTreeMap<usize, usize>) -> usize {
        let mut last: Option<usize> = None;
        for at in from..self.sentence.end {
            if let Some(index) = owner.get(&at) {
                last = Some(*index);
                continue;
            }
            let ends = match self.word(at) {
                "," | "and" => !self.goes_on(at + 1, last, owner),
                word if BOUNDARIES.contains(&word) => true,
                _ => self.is_closing_mark(at),
            };
            if ends {
                return at;
            }
        }
        self.sentence.end
    }

    fn is_closing_mark(&self, at: usize) -> bool {
        let mark = self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Mark);
        mark && matches!(self.word(at), ";" | ":" | "—" | "(" | ")")
    }

    fn goes_on(&self, at: usize, last: Option<usize>, owner: &BTreeMap<usize, usize>) -> bool {
        let linked = matches!(self.word(at), "and" | "or");
        let at = if linked { at + 1 } else { at };
        let next = owner.get(&self.past_small_words(at));
        let group = |index: usize| self.group_of.get(index);
        let coordinated = match (last, next) {
            (Some(last), Some(next)) => group(last) == group(*next),
            _ => false,
        };
        coordinated || (next.is_some() && is_preposition(self.word(at)))
    }
}
