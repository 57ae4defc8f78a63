//! Names: runs of capitalised words, joined over connecting words where the examples say so.

use std::collections::HashSet;
use std::ops::Range;

use super::joins::{Gap, Joins, LONGEST_GAP, is_connector};
use super::literal::is_year;
use crate::text::{Token, TokenKind, is_function_word, is_preposition};

/// Abbreviations whose full stop is part of a name.
const STOPPED: [&str; 14] =
    ["bros", "inc", "ltd", "co", "corp", "jr", "sr", "dr", "mr", "mrs", "ms", "st", "prof", "vs"];

/// Words after which a sentence that opened with a run has its verb.
const AUXILIARIES: [&str; 8] = ["is", "was", "has", "had", "are", "were", "does", "did"];

/// Articles that may open a title.
fn is_article(word: &str) -> bool {
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
    /// First words of known names.
    pub(super) openings: &'a HashSet<String>,
    /// Is this exact run in the pack's lists?
    pub(super) listed: &'a dyn Fn(Range<usize>) -> bool,
}

impl Search<'_> {
    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).filter(|_| self.sentence.contains(&at) && !self.taken.contains(&at))
    }

    fn is_capital(&self, at: usize) -> bool {
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

    fn atom_end(&self, start: usize) -> usize {
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
            let stopped =
                stop && (more || before.is_some_and(|b| STOPPED.contains(&b.lower.as_str())));
            let figure = token.kind == TokenKind::Number
                && (!is_year(token) || token.lower.as_str() > "2035")
                && (self.is_capital(at + 1)
                    || before.is_some_and(|b| b.capital && !is_function_word(&b.lower)));
            if token.capital || stopped || figure {
                at += 1;
            } else {
                break;
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
            let joined = names.last().is_some_and(|left| self.join(left, &atom) > 0.0);
            match names.last_mut() {
                Some(left) if joined => left.end = atom.end,
                _ => names.push(atom),
            }
        }
        self.with_openings(names)
    }

    fn words(&self, range: &Range<usize>) -> usize {
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
        if words.first() == Some(&"and")
            && ((self.listed)(left.clone()) || (self.listed)(right.clone()))
        {
            return f64::NEG_INFINITY;
        }
        let words = words.join(" ");
        self.joins.score(&Gap { words: &words, left: self.words(left), right: self.words(right) })
    }

    /// The first name of a sentence without an opening word that is capitalised only by its place.
    fn trimmed(&self, name: Range<usize>) -> Range<usize> {
        let Some(first) = self.tokens.get(name.start) else { return name };
        if name.start != self.sentence_opening() || (self.listed)(name.clone()) {
            return name;
        }
        if is_article(&first.lower) && (self.listed)(name.start + 1..name.end) {
            return name.start + 1..name.end;
        }
        let lone = name.len() == 1;
        let function = is_function_word(&first.lower);
        let known = self.context.contains(&first.stem)
            && !is_article(&first.lower)
            && (lone || !self.openings.contains(&first.lower));
        if known || (lone && function) {
            return name.start + 1..name.end;
        }
        if function && !is_article(&first.lower) {
            return name.start + 1..name.end;
        }
        name
    }

    /// The first word of the sentence, past opening marks.
    fn sentence_opening(&self) -> usize {
        self.sentence
            .clone()
            .find(|at| self.tokens.get(*at).is_some_and(|t| t.kind != TokenKind::Mark))
            .unwrap_or(self.sentence.start)
    }

    /// `In the Mood for Love is …`: a preposition opens the first name if the verb follows it.
    fn with_openings(&self, mut names: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let opening = self.sentence_opening();
        let Some(first) = names.first_mut() else { return names };
        let preposition = self.token(opening).is_some_and(|t| is_preposition(&t.lower));
        let near = first.start > opening
            && first.start - opening <= 2
            && (opening + 1..first.start)
                .all(|at| self.token(at).is_some_and(|t| is_article(&t.lower)));
        let verb = self.token(first.end).is_some_and(|t| AUXILIARIES.contains(&t.lower.as_str()));
        if preposition && near && verb {
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
