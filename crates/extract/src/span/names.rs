//! Names: runs of capitalised words, joined over connecting words where the examples say so.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::joins::{Gap, Joins, LONGEST_GAP, begins, is_connector};
use super::literal::is_year;
use super::titles::TITLE_OPENINGS;
use crate::text::{Token, TokenKind, is_function_word, is_preposition};

/// Abbreviations whose full stop is part of a name.
const STOPPED: [&str; 14] =
    ["bros", "inc", "ltd", "co", "corp", "jr", "sr", "dr", "mr", "mrs", "ms", "st", "prof", "vs"];

/// Words after which a sentence that opened with a run has its verb.
const AUXILIARIES: [&str; 8] = ["is", "was", "has", "had", "are", "were", "does", "did"];

/// From so many uses on a word is common in a pack.
const COMMON: u32 = 4;

/// What stands behind *and* in names of firms, and nowhere else with a capital.
const PARTNERS: [&str; 6] = ["company", "co", "sons", "brothers", "partners", "associates"];

/// Words for one of a row.
const ORDINALS: [&str; 14] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "last", "latest", "final", "only",
];

/// Articles that may open a title.
pub(super) fn is_article(word: &str) -> bool {
    matches!(word, "the" | "a" | "an")
}

/// Where names are looked for.
pub(super) struct Search<'a> {
    pub(super) tokens: &'a [Token],
    pub(super) sentence: Range<usize>,
    /// Tokens that already belong to a candidate.
    pub(super) taken: &'a HashSet<usize>,
    pub(super) joins: &'a Joins,
    /// Stems that the pack uses outside names.
    pub(super) context: &'a HashSet<String>,
    /// How often it does.
    pub(super) uses: &'a HashMap<String, u32>,
    /// First words of known names.
    pub(super) openings: &'a HashSet<String>,
    /// The pack's names are written without the article that stands before them.
    pub(super) bare: bool,
    /// Is this exact run in the pack's lists?
    pub(super) listed: &'a dyn Fn(Range<usize>) -> bool,
}

impl Search<'_> {
    pub(super) fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).filter(|_| self.sentence.contains(&at) && !self.taken.contains(&at))
    }

    pub(super) fn is_capital(&self, at: usize) -> bool {
        self.token(at).is_some_and(|token| token.capital)
    }

    /// Runs of capitalised words, nothing between them.
    fn atoms(&self) -> Vec<Range<usize>> {
        let mut atoms = Vec::new();
        let mut at = self.sentence.start;
        while at < self.sentence.end {
            let end = self.atom_end(at);
            if end > at {
                atoms.push(at..end);
            }
            at = end.max(at + 1);
        }
        atoms
    }

    /// A figure that opens a name: `12 Angry Men`, `20th Century Fox`, `2001: A Space Odyssey`.
    fn figure_opens(&self, at: usize) -> bool {
        let Some(token) = self.token(at) else { return false };
        let figure = token.lower.starts_with(|c: char| c.is_ascii_digit());
        let colon = self.token(at + 1).is_some_and(|t| t.is_mark(":") && t.attached);
        figure
            && ((!is_year(token) && self.is_capital(at + 1)) || (colon && self.is_capital(at + 2)))
    }

    pub(super) fn atom_end(&self, start: usize) -> usize {
        if !self.is_capital(start) && !self.figure_opens(start) {
            return start;
        }
        let mut at = start + 1;
        while let Some(token) = self.token(at) {
            let before = self.token(at - 1);
            let stop = token.is_mark(".")
                && token.attached
                && before.is_some_and(|b| b.is_initial() || STOPPED.contains(&b.lower.as_str()));
            let more = self.tokens.get(at + 1).is_some() && self.sentence.contains(&(at + 1));
            let called = matches!(token.lower.as_str(), "!" | "?")
                && token.attached
                && more
                && before.is_some_and(|b| b.capital);
            let stopped =
                stop && (more || before.is_some_and(|b| STOPPED.contains(&b.lower.as_str())));
            let figure = token.kind == TokenKind::Number
                && (!is_year(token) || token.lower.as_str() > "2035")
                && (self.is_capital(at + 1)
                    || before.is_some_and(|b| b.capital && !is_function_word(&b.lower)));
            if token.capital || stopped || figure || called {
                at += 1;
            } else {
                let foreign = self.foreign_words(at);
                if foreign == 0 {
                    break;
                }
                at += foreign;
            }
        }
        at
    }

    /// The names of the sentence, in order, without overlap.
    pub(super) fn names(&self) -> Vec<Range<usize>> {
        let mut names: Vec<Range<usize>> = Vec::new();
        for atom in self.atoms() {
            let atom = match names.last() {
                None => self.trimmed(atom),
                Some(_) => atom,
            };
            if atom.is_empty() {
                continue;
            }
            let joined = names.last().is_some_and(|left| {
                self.join(left, &atom) > 0.0 || self.is_list_title(left, &atom)
            });
            match names.last_mut() {
                Some(left) if joined => left.end = atom.end,
                _ => names.push(atom),
            }
        }
        self.with_openings(names)
    }

    pub(super) fn words(&self, range: &Range<usize>) -> usize {
        range.clone().filter(|at| self.tokens.get(*at).is_some_and(|t| t.capital)).count()
    }

    fn join(&self, left: &Range<usize>, right: &Range<usize>) -> f64 {
        let gap: Vec<&Token> = (left.end..right.start).filter_map(|at| self.token(at)).collect();
        let whole = gap.len() == right.start - left.end;
        if gap.is_empty() || !whole || gap.len() > LONGEST_GAP {
            return f64::NEG_INFINITY;
        }
        if !gap.iter().all(|token| is_connector(&token.lower)) {
            return f64::NEG_INFINITY;
        }
        let words: Vec<&str> = gap.iter().map(|token| token.lower.as_str()).collect();
        if left.len() == 1 && left.start != self.sentence_opening() && self.is_small(left.start) {
            // `the story In a Grove`
            return f64::INFINITY;
        }
        if words == ["'s"] && self.words(left) == 1 && self.is_known_owner(left.start) {
            return f64::NEG_INFINITY;
        }
        if words.first() == Some(&"and")
            && ((self.listed)(left.clone()) || (self.listed)(right.clone()))
        {
            return f64::NEG_INFINITY;
        }
        let after = |at: usize| self.token(at).map_or("", |token| token.lower.as_str());
        if matches!(words[..], ["and" | "&"]) && PARTNERS.contains(&after(right.start)) {
            return f64::INFINITY;
        }
        if (words == ["the"] && (self.listed)(right.clone()) && self.is_noun(right.end))
            || (words == ["to"] && (self.listed)(right.clone()))
        {
            return f64::NEG_INFINITY;
        }
        if words == ["and"] && self.words(left) == 1 && right.len() == 1 && self.is_one(right.end) {
            return f64::INFINITY;
        }
        let words = words.join(" ");
        let begins = begins(self.tokens, left.start) || left.start == self.sentence_opening();
        let article = self.token(left.start).is_some_and(|t| is_article(&t.lower));
        let (left, right) = (self.words(left), self.words(right));
        self.joins.score(&Gap { words: &words, left, right, begins, article })
    }

    /// Is the word at `at` a noun that a listed adjective before it is said of: `the Greek director`?
    fn is_noun(&self, at: usize) -> bool {
        let plain =
            |t: &Token| t.kind == TokenKind::Word && !t.capital && !is_function_word(&t.lower);
        self.token(at).is_some_and(plain)
    }

    fn is_small(&self, at: usize) -> bool {
        self.token(at).is_some_and(|t| is_function_word(&t.lower))
    }

    /// Was the owner named in full before: `Weir's Witness` where *Peter Weir* is known?
    fn is_known_owner(&self, at: usize) -> bool {
        let Some(owner) = self.tokens.get(at) else { return false };
        let earlier = self.tokens.get(..at).unwrap_or_default();
        earlier.windows(2).any(|pair| {
            matches!(pair, [first, last] if first.capital && last.capital && last.lower == owner.lower)
        })
    }

    /// Do the words at `at` speak of one thing, and not of two: `… was`, `…, a comedy`, `…, the third
    /// of`?
    fn is_one(&self, at: usize) -> bool {
        let word = |at: usize| self.token(at).map_or("", |token| token.lower.as_str());
        matches!(word(at), "is" | "was" | "has")
            || (word(at) == "," && matches!(word(at + 1), "a" | "an"))
            || (word(at) == "," && word(at + 1) == "the" && ORDINALS.contains(&word(at + 2)))
    }

    /// The first name of a sentence without an opening word that is capitalised only by its place.
    fn trimmed(&self, name: Range<usize>) -> Range<usize> {
        let Some(first) = self.tokens.get(name.start) else { return name };
        if name.start != self.sentence_opening() || (self.listed)(name.clone()) {
            return name;
        }
        if is_article(&first.lower) && (self.bare || (self.listed)(name.start + 1..name.end)) {
            return name.start + 1..name.end;
        }
        if matches!(first.lower.as_str(), "my" | "your" | "our") {
            return name;
        }
        let lone = name.len() == 1;
        let leads_on = |t: &Token| matches!(t.lower.as_str(), "to" | "that");
        if lone && self.token(name.end).is_some_and(leads_on) && !self.is_capital(name.end + 1) {
            // `According to`, `Rumours that`.
            return name.start + 1..name.end;
        }
        let participle = first.lower.ends_with("ed") || first.lower.ends_with("ing");
        if lone && participle && self.token(name.end).is_some_and(|t| is_preposition(&t.lower)) {
            // `Photographed by`, `Drawing on`.
            return name.start + 1..name.end;
        }
        let function = is_function_word(&first.lower);
        let known = self.context.contains(&first.stem)
            && !is_article(&first.lower)
            && (lone || (!self.openings.contains(&first.lower) && self.is_common(&first.stem)));
        let of = self.token(name.end).is_some_and(|t| t.lower == "of");
        let titled = of && !self.is_common(&first.stem);
        if (known && !titled) || (lone && function) {
            return name.start + 1..name.end;
        }
        if function && !is_article(&first.lower) {
            return name.start + 1..name.end;
        }
        name
    }

    /// Do the pack's sentences use the word so often that it is no part of a name: `Director A B`?
    fn is_common(&self, stem: &str) -> bool {
        self.uses.get(stem).is_none_or(|uses| *uses >= COMMON)
    }

    /// The first word of the sentence, past opening marks.
    pub(super) fn sentence_opening(&self) -> usize {
        self.sentence
            .clone()
            .find(|at| self.tokens.get(*at).is_some_and(|t| t.kind != TokenKind::Mark))
            .unwrap_or(self.sentence.start)
    }

    /// `In the Mood for Love is …`: a preposition opens the first name if the verb follows it.
    fn with_openings(&self, mut names: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let opening = self.sentence_opening();
        let Some(first) = names.first_mut() else { return names };
        let opens = |word: &str| is_preposition(word) || TITLE_OPENINGS.contains(&word);
        let preposition = self.token(opening).is_some_and(|t| opens(&t.lower));
        let near = first.start > opening
            && first.start - opening <= 2
            && (opening + 1..first.start)
                .all(|at| self.token(at).is_some_and(|t| is_article(&t.lower) || t.lower == "of"));
        let verb = self.token(first.end).is_some_and(|t| AUXILIARIES.contains(&t.lower.as_str()));
        if preposition && near && (verb || self.is_described(opening, first.end)) {
            first.start = opening;
        }
        names
    }
}

/// The parts of a known name and the gaps between them, for learning.
pub(super) fn gaps(tokens: &[Token]) -> Vec<(String, usize, usize)> {
    let mut gaps = Vec::new();
    let mut left = 0;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.capital || token.kind == TokenKind::Number {
            left += 1;
            at += 1;
            continue;
        }
        let words: Vec<&str> = tokens
            .iter()
            .skip(at)
            .take_while(|t| !t.capital && t.kind != TokenKind::Number)
            .map(|t| t.lower.as_str())
            .collect();
        at += words.len();
        let right = tokens.iter().skip(at).take_while(|t| t.capital).count();
        let connecting = words.iter().all(|word| is_connector(word));
        if left > 0 && right > 0 && connecting && words.len() <= LONGEST_GAP {
            gaps.push((words.join(" "), left, right));
        }
    }
    gaps
}
