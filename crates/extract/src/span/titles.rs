//! What titles have that other names have not: words of other languages in lower case, commas, a
//! preposition in front.

use std::ops::Range;

use super::joins::LONGEST_GAP;
use super::names::{Search, is_article};
use crate::text::{Token, TokenKind, is_function_word};

/// Articles, prepositions and the like of other languages, as they stand inside titles.
const FOREIGN: [&str; 37] = [
    "de", "la", "le", "les", "du", "des", "di", "della", "delle", "dei", "del", "et", "mon", "ma",
    "mes", "au", "aux", "en", "un", "une", "una", "el", "los", "las", "y", "il", "gli", "nel",
    "und", "der", "das", "dem", "ein", "eine", "von", "zu", "vom",
];

/// Articles and prepositions of other languages that open titles.
const FOREIGN_OPENINGS: [&str; 19] = [
    "la", "le", "les", "un", "une", "au", "aux", "il", "lo", "gli", "una", "das", "der", "die",
    "ein", "eine", "el", "los", "las",
];

/// Words that open titles, and seldom say when or where.
pub(super) const TITLE_OPENINGS: [&str; 15] = [
    "out", "into", "under", "beyond", "beneath", "between", "through", "against", "above",
    "across", "around", "behind", "inside", "over", "up",
];

/// Most parts of a title that commas separate.
const MOST_PARTS: usize = 6;

/// Most words of another language in a row.
const LONGEST_FOREIGN: usize = 3;

fn is_foreign(word: &str) -> bool {
    FOREIGN.contains(&word)
}

fn opens_foreign(token: Option<&Token>) -> bool {
    token.is_some_and(|t| t.capital && FOREIGN_OPENINGS.contains(&t.lower.as_str()))
}

impl Search<'_> {
    /// How many lower-case words at `at`, behind a word of a name, go on with a title in another
    /// language: what follows its articles and prepositions, and no word of English or of the pack.
    pub(super) fn foreign_words(&self, at: usize) -> usize {
        let is_small = |at: usize| self.token(at).is_some_and(|t| is_foreign(&t.lower));
        let opens = at.checked_sub(1).is_some_and(|before| opens_foreign(self.token(before)));
        let small = (at..at + LONGEST_GAP).take_while(|i| is_small(*i)).count();
        if small == 0 && !opens {
            return 0;
        }
        let unknown = |at: usize| {
            self.token(at).is_some_and(|t| {
                t.kind == TokenKind::Word
                    && !t.capital
                    && !is_function_word(&t.lower)
                    && !is_foreign(&t.lower)
                    && !self.context.contains(&t.stem)
            })
        };
        let from = at + small;
        let most = (from..from + LONGEST_FOREIGN).take_while(|i| unknown(*i)).count();
        if most == 0 {
            return 0;
        }
        // A verb of the sentence is followed by an article more often than a title is.
        let ends = |length: &usize| match self.token(from + length) {
            Some(t) if t.kind == TokenKind::Word => {
                (is_function_word(&t.lower) && !is_article(&t.lower)) || is_foreign(&t.lower)
            }
            _ => true,
        };
        small + (1..=most).rev().find(ends).unwrap_or(1)
    }

    /// A sentence that opens with names and commas, and goes on as of one thing, opens with a title:
    /// `Paris, Texas was`, `Truly, Madly, Deeply is`, `Aguirre, the Wrath of God (1972)`.
    pub(super) fn is_list_title(&self, left: &Range<usize>, right: &Range<usize>) -> bool {
        let word = |at: usize| self.token(at).map_or("", |token| token.lower.as_str());
        if left.start != self.sentence_opening() || word(left.end) != "," {
            return false;
        }
        let mut end = right.end;
        let ended = |at: usize| matches!(word(at), "is" | "was" | "has" | "(");
        if right.start == left.end + 2 && word(left.end + 1) == "the" {
            return ended(end) || word(end) == ",";
        }
        if right.start != left.end + 1 {
            return false;
        }
        let commas = left.clone().filter(|at| word(*at) == ",").count();
        let mut parts = commas + 2;
        while word(end) == "," && self.is_capital(end + 1) && parts < MOST_PARTS {
            end = self.atom_end(end + 1);
            parts += 1;
        }
        let shouted = word(right.end - 1) == "!";
        let adverb = word(left.end - 1).ends_with("ly") && parts < 3;
        (ended(end) || shouted) && !adverb
    }

    /// `Out of Sight, a comedy`: what opens with a word that seldom says when or where.
    pub(super) fn is_described(&self, opening: usize, end: usize) -> bool {
        let word = |at: usize| self.token(at).map_or("", |token| token.lower.as_str());
        let next = word(end + 1);
        let title = TITLE_OPENINGS.contains(&word(opening));
        title && word(end) == "," && (matches!(next, "a" | "an") || next.ends_with("ed"))
    }
}
