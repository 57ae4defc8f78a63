//! Coordination and context.
//!
//! Candidates joined by commas and `and` form a group and share their context. The context of a
//! group runs to the next name or reference on each side; listed words and values in between are
//! shown as placeholders.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::Places;
use super::denial::{self, Denials};
use crate::pack::Ontology;
use crate::span::{Candidate, Form};
use crate::text::{Token, TokenKind, is_function_word, is_preposition};

/// Most items of context that are read on one side.
const REACH: usize = 7;
/// How many tokens back a governing word is looked for.
const FARTHEST_GOVERNOR: usize = 16;
/// Fewer words than this do not tell a language.
const FEWEST_WORDS: usize = 2;

/// One side of a group, nearest item first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// Stems, marks and placeholders.
    pub(crate) items: Vec<String>,
    /// The content words among them.
    pub(crate) content: Vec<String>,
    /// The nearest content word and those coordinated with it: `written, produced and directed by`.
    pub(crate) heads: Vec<String>,
    /// The context ends at the sentence's boundary, not at another name.
    pub(crate) open: bool,
    /// On the left, where no content word stands before the next name: the first one behind it,
    /// with its position. `on 7 May` in `was born in X on 7 May` is governed by `born`.
    pub(crate) governor: Option<(String, usize)>,
}

/// Candidates that share one place in the sentence.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) left: Side,
    pub(crate) right: Side,
}

/// A sentence with its candidates in groups.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) sentence: Range<usize>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) groups: Vec<Group>,
    /// The group of each candidate.
    pub(crate) group_of: Vec<usize>,
    pub(crate) denials: Denials,
    /// Most of its words are in no sentence of the pack. A pack without sentences cannot tell.
    pub(crate) foreign: bool,
}

impl Reading {
    pub(crate) fn new(
        ontology: &Ontology,
        tokens: &[Token],
        sentence: Range<usize>,
        candidates: Vec<Candidate>,
        context: &HashSet<String>,
    ) -> Self {
        let linker = Linker { tokens, sentence: &sentence, candidates: &candidates, context };
        let members = linker.groups();
        let foreign =
            !ontology.sentences().is_empty() && is_foreign(tokens, &sentence, &candidates, context);
        let mut reading = Self {
            sentence,
            candidates,
            groups: Vec::new(),
            group_of: Vec::new(),
            denials: Denials::default(),
            foreign,
        };
        for (at, range) in members.into_iter().enumerate() {
            reading.group_of.extend(range.clone().map(|_| at));
            let left = reading.side(ontology, tokens, &range, true);
            let right = reading.side(ontology, tokens, &range, false);
            reading.groups.push(Group { left, right });
        }
        let search = denial::Search {
            tokens,
            sentence: &reading.sentence,
            candidates: &reading.candidates,
            group_of: &reading.group_of,
        };
        reading.denials = search.denials();
        reading
    }

    /// Is what the sentence says of two candidates denied?
    pub(crate) fn denies(&self, one: usize, other: usize) -> bool {
        match (self.candidate(one.min(other)), self.candidate(one.max(other))) {
            (Some(earlier), Some(later)) => self.denials.cover(earlier, later),
            _ => false,
        }
    }

    pub(crate) fn candidate(&self, at: usize) -> Option<&Candidate> {
        self.candidates.get(at)
    }

    pub(crate) fn group(&self, candidate: usize) -> Option<&Group> {
        self.groups.get(*self.group_of.get(candidate)?)
    }

    /// The places of a subject and an object, first as they are, then once for each of several
    /// coordinated words between the two.
    pub(crate) fn places(&self, subject: usize, object: usize) -> Vec<Places<'_>> {
        let (Some(s), Some(o)) = (self.group(subject), self.group(object)) else {
            return Vec::new();
        };
        let whole = Places { subject: Cow::Borrowed(s), object: Cow::Borrowed(o) };
        let mut places = whole.spread(subject < object);
        places.insert(0, whole);
        places
    }

    /// Do two candidates stand side by side, so that neither is said of the other?
    pub(crate) fn are_coordinated(&self, one: usize, other: usize) -> bool {
        self.group_of.get(one) == self.group_of.get(other)
    }

    /// Context on one side of the candidates `members`.
    fn side(
        &self,
        ontology: &Ontology,
        tokens: &[Token],
        members: &Range<usize>,
        left: bool,
    ) -> Side {
        let mut side = Side { open: true, ..Side::default() };
        let edge = if left { members.start } else { members.end.saturating_sub(1) };
        let Some(edge) = self.candidates.get(edge) else { return side };
        if !left && edge.possessive {
            side.items.push("'s".to_owned());
        }
        let mut at = if left { edge.outer.start } else { edge.outer.end };
        while side.items.len() < REACH {
            let inside = if left { at > self.sentence.start } else { at < self.sentence.end };
            if !inside {
                break;
            }
            let token_at = if left { at - 1 } else { at };
            if let Some(other) = self.candidates.iter().find(|c| c.outer.contains(&token_at)) {
                if !other.is_transparent() {
                    side.open = false;
                    break;
                }
                let placeholder = placeholder(ontology, other);
                if side.items.last() != Some(&placeholder) {
                    side.items.push(placeholder);
                }
                at = if left { other.outer.start } else { other.outer.end };
                continue;
            }
            if let Some(token) = tokens.get(token_at) {
                side.take(token);
            }
            at = if left { at - 1 } else { at + 1 };
        }
        let agent = side.items.last().is_some_and(|item| item == "by");
        if !left && !side.open && agent && side.is_linked() {
            // `…, written by B`: those words are the next name's.
            side.heads.clear();
            side.content.clear();
        }
        if left && side.heads.is_empty() {
            side.governor = self.governor(tokens, at);
        }
        side
    }

    /// The nearest content word before a token, over names and values.
    fn governor(&self, tokens: &[Token], before: usize) -> Option<(String, usize)> {
        let start = self.sentence.start.max(before.saturating_sub(FARTHEST_GOVERNOR));
        let free = |at: &usize| !self.candidates.iter().any(|c| c.outer.contains(at));
        for at in (start..before).rev().filter(free) {
            let token = tokens.get(at)?;
            if token.is_mark(";") {
                return None;
            }
            if is_content(token) {
                return Some((token.stem.clone(), at));
            }
        }
        None
    }
}

fn is_content(token: &Token) -> bool {
    token.kind == TokenKind::Word && !is_function_word(&token.lower)
}

/// Is the sentence in a language that the pack's sentences are not in? Of its lower-case words,
/// less than half are then function words or words of those sentences.
fn is_foreign(
    tokens: &[Token],
    sentence: &Range<usize>,
    candidates: &[Candidate],
    context: &HashSet<String>,
) -> bool {
    let (mut words, mut known) = (0, 0);
    for at in sentence.clone() {
        let named = candidates.iter().any(|c| c.outer.contains(&at));
        let plain = |t: &&Token| {
            t.kind == TokenKind::Word
                && !t.capital
                && t.lower.starts_with(char::is_lowercase)
                && !named
        };
        if let Some(token) = tokens.get(at).filter(plain) {
            words += 1;
            known += usize::from(is_function_word(&token.lower) || context.contains(&token.stem));
        }
    }
    words >= FEWEST_WORDS && known * 2 < words
}

impl Side {
    /// What follows a comma or a conjunction is another clause's more often than not.
    pub(crate) fn is_linked(&self) -> bool {
        self.items.first().is_some_and(|item| matches!(item.as_str(), "," | "and" | ";" | "&"))
    }

    fn take(&mut self, token: &Token) {
        let quote = matches!(token.lower.as_str(), "\"" | "“" | "”" | "*" | "_");
        if token.kind == TokenKind::Mark && quote {
            return;
        }
        let content = is_content(token);
        if content && (self.heads.is_empty() || self.is_coordinated()) {
            self.heads.push(token.stem.clone());
        }
        self.items.push(token.stem.clone());
        if content {
            self.content.push(token.stem.clone());
        }
    }

    /// Do only a comma or a conjunction stand between the last head and the next item?
    fn is_coordinated(&self) -> bool {
        let Some(head) = self.heads.last() else { return false };
        let since = self.items.iter().rev().take_while(|item| *item != head);
        let mut links = 0;
        for item in since {
            if !matches!(item.as_str(), "," | "and" | "&" | "or") {
                return false;
            }
            links += 1;
        }
        links > 0
    }
}

fn placeholder(ontology: &Ontology, candidate: &Candidate) -> String {
    if let Some(value) = candidate.values.first() {
        return format!("<{}>", value.xsd);
    }
    if candidate.form == Form::Reference {
        return "the".to_owned();
    }
    let class = candidate.listed.first().and_then(|(class, _)| ontology.class(*class));
    class.map_or_else(|| "<name>".to_owned(), |class| format!("<{}>", class.name))
}

/// Finds which neighbouring candidates are coordinated.
struct Linker<'a> {
    tokens: &'a [Token],
    sentence: &'a Range<usize>,
    candidates: &'a [Candidate],
    context: &'a HashSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Comma,
    And,
    CommaAnd,
    Beside,
}

impl Linker<'_> {
    fn link(&self, left: &Candidate, right: &Candidate) -> Link {
        let named = left.is_named() && right.is_named();
        let shared = left
            .listed
            .iter()
            .any(|(class, _)| right.listed.iter().any(|(other, _)| class == other));
        if !named && !shared {
            return Link::None;
        }
        let between: Vec<&str> = self
            .tokens
            .get(left.outer.end..right.outer.start)
            .unwrap_or_default()
            .iter()
            .map(|token| token.lower.as_str())
            .collect();
        match between.as_slice() {
            [] | ["-" | "/" | "–"] if shared => Link::Beside,
            [","] => Link::Comma,
            ["and" | "&" | "or" | "with"]
            | ["as", "well", "as"]
            | ["together" | "along", "with"] => {
                if between == ["with"] {
                    Link::None
                } else {
                    Link::And
                }
            }
            [",", "and" | "or"] => Link::CommaAnd,
            _ => Link::None,
        }
    }

    fn groups(&self) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        let mut first = 0;
        while first < self.candidates.len() {
            let mut end = first + 1;
            let mut links = Vec::new();
            while let (Some(left), Some(right)) =
                (self.candidates.get(end - 1), self.candidates.get(end))
            {
                let link = self.link(left, right);
                if link == Link::None {
                    break;
                }
                links.push(link);
                end += 1;
            }
            self.divide(first, &links, &mut groups);
            first = end;
        }
        groups
    }

    /// Splits a chain of candidates where its links are no coordination after all.
    fn divide(&self, first: usize, links: &[Link], groups: &mut Vec<Range<usize>>) {
        let mut cut = vec![false; links.len()];
        let listed = self.candidates.get(first).is_some_and(|c| !c.is_named());
        let conjunction = links
            .iter()
            .rposition(|link| matches!(link, Link::And | Link::CommaAnd))
            .unwrap_or(usize::MAX);
        for (at, link) in links.iter().enumerate() {
            let lone_comma_and =
                *link == Link::CommaAnd && (at == 0 || links.get(at - 1) != Some(&Link::Comma));
            let unfinished =
                *link == Link::Comma && (conjunction == usize::MAX || at > conjunction);
            if let Some(cut) = cut.get_mut(at) {
                *cut = !listed && (lone_comma_and || unfinished);
            }
        }
        if let (Some(Link::Comma), Some(cut)) = (links.first(), cut.first_mut()) {
            *cut |= !listed && self.opens_with_preposition(first);
        }
        if let Some(cut) = cut.last_mut() {
            *cut |= !listed && self.new_clause_follows(first, first + links.len());
        }
        let mut start = first;
        for (at, cut) in cut.iter().enumerate() {
            if *cut {
                groups.push(start..first + at + 1);
                start = first + at + 1;
            }
        }
        groups.push(start..first + links.len() + 1);
    }

    /// `In Alien, A and B …`: the first name belongs to the opening phrase.
    fn opens_with_preposition(&self, first: usize) -> bool {
        let Some(candidate) = self.candidates.get(first) else { return false };
        let opening = self.sentence.start;
        let token = self.tokens.get(opening);
        candidate.outer.start > opening
            && candidate.outer.start - opening <= 4
            && token.is_some_and(|t| is_preposition(&t.lower) || self.context.contains(&t.stem))
    }

    /// `edited by A and B wrote …`, `A shot C and B cut …`: the last name starts a new clause.
    fn new_clause_follows(&self, first: usize, last: usize) -> bool {
        let (Some(head), Some(tail)) = (self.candidates.get(first), self.candidates.get(last))
        else {
            return false;
        };
        let before = head.outer.start.checked_sub(1).filter(|at| self.sentence.contains(at));
        let governed = before.and_then(|at| self.tokens.get(at)).is_some_and(|token| {
            token.kind == TokenKind::Word
                && (!is_function_word(&token.lower) || is_preposition(&token.lower))
        });
        let verb = self.tokens.get(tail.outer.end).is_some_and(|token| {
            self.sentence.contains(&tail.outer.end)
                && token.kind == TokenKind::Word
                && !is_function_word(&token.lower)
                && self.context.contains(&token.stem)
        });
        governed && verb && tail.form != Form::Listed
    }
}
