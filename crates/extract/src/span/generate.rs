//! All candidates of a sentence, without overlap, in order.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::joins::{Gap, begins};
use super::literal::number_at;
use super::names::{Search, gaps, is_article};
use super::{Candidate, Form, Gazetteer, Joins, literal_at};
use crate::pack::{ClassId, Ontology};
use crate::text::{Source, Token, TokenKind, is_function_word, tokenize};

/// Longest quoted name, in tokens.
const LONGEST_QUOTE: usize = 14;
/// Longest candidate, in scalars: no name or value is longer, and what is found stays small.
const LONGEST: usize = 400;
/// Longest lower-case phrase, in tokens.
const LONGEST_PHRASE: usize = 4;

/// What the pack teaches about spans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lexicon {
    pub(crate) gazetteer: Gazetteer,
    pub(crate) joins: Joins,
    /// Stems that the examples use outside names and values.
    pub(crate) context: HashSet<String>,
    /// How often the examples use each of them there.
    pub(crate) uses: HashMap<String, u32>,
    /// Classes whose members in the examples are all in the pack's lists.
    pub(crate) closed: HashSet<ClassId>,
    /// How many names of the examples are written with the article that opens them, and before how
    /// many it stands without being part of the name.
    pub(crate) articles: (u32, u32),
    /// First words of known names, in lower case.
    pub(crate) openings: HashSet<String>,
    /// Classes whose examples have lower-case members that are in no list.
    pub(crate) phrases: HashSet<ClassId>,
    /// Words that mean a member of a class, in stems, longest first.
    labels: Vec<(Vec<String>, ClassId)>,
    pronouns: Vec<(String, Vec<ClassId>)>,
}

impl Lexicon {
    /// What the pack's lists and labels say; the rest is learned from its sentences.
    pub(crate) fn of(ontology: &Ontology) -> Self {
        let mut lexicon = Self { gazetteer: Gazetteer::of(ontology), ..Self::default() };
        for id in ontology.class_ids() {
            let Some(class) = ontology.class(id) else { continue };
            for label in &class.labels {
                let words = label.split_whitespace().map(crate::text::stem).collect();
                lexicon.labels.push((words, id));
            }
            for pronoun in &class.pronouns {
                match lexicon.pronouns.iter_mut().find(|(known, _)| known == pronoun) {
                    Some((_, classes)) => classes.push(id),
                    None => lexicon.pronouns.push((pronoun.clone(), vec![id])),
                }
            }
            for (name, _) in &class.members {
                lexicon.learn_name(name, false);
            }
        }
        lexicon.labels.sort_by_key(|(words, id)| (core::cmp::Reverse(words.len()), *id));
        lexicon
    }

    /// Where no sentence shows words outside names, those of the relations' labels are some.
    pub(crate) fn learn_labels(&mut self, ontology: &Ontology) {
        let labels = ontology.relations().iter().flat_map(|relation| &relation.labels);
        let words = labels.flat_map(|label| label.split_whitespace());
        let content = words.filter(|word| !is_function_word(word));
        self.context.extend(content.map(crate::text::stem));
    }

    /// Learns the joints of a known name, and whether it was seen where names begin freely.
    pub(crate) fn learn_name(&mut self, name: &str, begins: bool) {
        let tokens = tokenize(&Source::new(name));
        self.openings.extend(tokens.first().map(|token| token.lower.clone()));
        let article = tokens.first().is_some_and(|token| is_article(&token.lower));
        for (words, left, right) in gaps(&tokens) {
            self.joins.learn(&Gap { words: &words, left, right, begins, article }, true);
        }
    }

    /// Learns from a name at the token `first` whether articles are part of names.
    pub(crate) fn learn_article(&mut self, tokens: &[Token], first: usize) {
        let the = |at: usize| tokens.get(at).is_some_and(|t| t.lower == "the");
        self.articles.0 += u32::from(the(first));
        self.articles.1 += u32::from(first.checked_sub(1).is_some_and(the));
    }

    /// Learns that the words between two neighbouring names do not join them.
    pub(crate) fn learn_apart(&mut self, tokens: &[Token], left: &Candidate, right: &Candidate) {
        let between = left.outer.end..right.outer.start;
        if !(left.is_named() && right.is_named()) || between.is_empty() {
            return;
        }
        let words: Vec<&str> =
            tokens.get(between).unwrap_or_default().iter().map(|t| t.lower.as_str()).collect();
        let words = words.join(" ");
        let begins = begins(tokens, left.inner.start);
        let article = tokens.get(left.inner.start).is_some_and(|t| is_article(&t.lower));
        let (left, right) = (left.inner.len(), right.inner.len());
        let gap = Gap { words: &words, left, right, begins, article };
        self.joins.learn(&gap, false);
    }

    /// The classes whose label stands at the start of the tokens, with its length.
    pub(crate) fn label_at(&self, tokens: &[Token]) -> Option<(usize, Vec<ClassId>)> {
        let fits = |words: &[String]| {
            words.len() <= tokens.len() && words.iter().zip(tokens).all(|(w, t)| t.stem == *w)
        };
        let length = self.labels.iter().find(|(words, _)| fits(words))?.0.len();
        let classes = self
            .labels
            .iter()
            .filter(|(words, _)| words.len() == length && fits(words))
            .map(|(_, class)| *class)
            .collect();
        Some((length, classes))
    }

    fn pronoun(&self, word: &str) -> Option<(&[ClassId], bool)> {
        let (base, possessive) = match word {
            "its" => ("it", true),
            "his" => ("he", true),
            "him" => ("he", false),
            "her" => ("she", true),
            "their" => ("they", true),
            "them" => ("they", false),
            other => (other, false),
        };
        let (_, classes) = self.pronouns.iter().find(|(pronoun, _)| pronoun == base)?;
        Some((classes, possessive))
    }
}

struct Builder<'a> {
    tokens: &'a [Token],
    sentence: Range<usize>,
    lexicon: &'a Lexicon,
    taken: HashSet<usize>,
    found: Vec<Candidate>,
}

/// The candidates of one sentence.
pub(crate) fn candidates(
    tokens: &[Token],
    sentence: Range<usize>,
    lexicon: &Lexicon,
) -> Vec<Candidate> {
    let mut builder =
        Builder { tokens, sentence, lexicon, taken: HashSet::new(), found: Vec::new() };
    builder.quoted();
    builder.literals();
    builder.names();
    builder.listed();
    builder.numbers();
    builder.references();
    if !lexicon.phrases.is_empty() {
        builder.phrases();
    }
    builder.found.sort_by_key(|candidate| candidate.start);
    builder.found
}

impl Builder<'_> {
    fn free(&self, at: usize) -> bool {
        self.sentence.contains(&at) && !self.taken.contains(&at)
    }

    /// The free tokens from `at` on, up to the next one that is taken.
    fn rest(&self, at: usize) -> &[Token] {
        let end = (at..self.sentence.end).find(|i| self.taken.contains(i));
        self.tokens.get(at..end.unwrap_or(self.sentence.end)).unwrap_or_default()
    }

    fn candidate(&self, tokens: Range<usize>, form: Form) -> Option<Candidate> {
        let start = self.tokens.get(tokens.start)?.start;
        let end = self.tokens.get(tokens.end.checked_sub(1)?)?.end;
        (end - start <= LONGEST).then(|| Candidate::new(tokens, start, end, form))
    }

    /// Members of closed classes are words of a list; of open ones, names like any other.
    fn form_of(&self, listed: &[(ClassId, String)]) -> Form {
        let closed = listed.iter().any(|(class, _)| self.lexicon.closed.contains(class));
        if closed { Form::Listed } else { Form::Name }
    }

    fn keep(&mut self, candidate: Candidate) {
        self.taken.extend(candidate.outer.clone());
        self.found.push(candidate);
    }

    fn readings(&self, tokens: Range<usize>) -> Vec<(ClassId, String)> {
        let length = tokens.len();
        let window = self.tokens.get(tokens).unwrap_or_default();
        match self.lexicon.gazetteer.longest_at(window) {
            Some((used, readings)) if used == length => readings,
            _ => Vec::new(),
        }
    }

    fn quoted(&mut self) {
        let mut at = self.sentence.start;
        while at < self.sentence.end {
            match self.closing(at) {
                Some(close) => {
                    let mut last = close;
                    while last > at + 1 && self.is_stop(last - 1) {
                        last -= 1;
                    }
                    if let Some(mut candidate) = self.candidate(at + 1..last, Form::Quoted) {
                        candidate.outer = at..close + 1;
                        candidate.listed = self.readings(at + 1..last);
                        self.keep(candidate);
                    }
                    at = close + 1;
                }
                None => at += 1,
            }
        }
    }

    /// A comma or full stop that belongs to the sentence though it stands inside the quotation.
    fn is_stop(&self, at: usize) -> bool {
        let initial = at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let initial = initial.is_some_and(Token::is_initial);
        self.tokens.get(at).is_some_and(|t| t.is_mark(",") || (t.is_mark(".") && !initial))
    }

    /// Where the quotation that opens at `at` closes, if it holds a name.
    fn closing(&self, at: usize) -> Option<usize> {
        let open = self.tokens.get(at).filter(|t| t.kind == TokenKind::Mark)?;
        let close = match open.lower.as_str() {
            "\"" => "\"",
            "“" | "„" => "”",
            "«" => "»",
            "‘" => "’",
            "'" if !open.attached => "'",
            "*" => "*",
            "_" => "_",
            _ => return None,
        };
        let first = self.tokens.get(at + 1)?;
        let name = first.capital || first.lower.starts_with(|c: char| !c.is_lowercase());
        if !name || first.kind == TokenKind::Mark {
            return None;
        }
        let end = (at + 2 + LONGEST_QUOTE).min(self.sentence.end);
        (at + 2..end).find(|i| self.tokens.get(*i).is_some_and(|t| t.is_mark(close)))
    }

    fn literals(&mut self) {
        self.scan_literals(literal_at);
    }

    fn numbers(&mut self) {
        self.scan_literals(number_at);
    }

    fn scan_literals(&mut self, read: impl Fn(&[Token]) -> Option<(usize, Vec<super::Value>)>) {
        let mut at = self.sentence.start;
        while at < self.sentence.end {
            let found = if self.free(at) { read(self.rest(at)) } else { None };
            let Some((used, values)) = found else {
                at += 1;
                continue;
            };
            if let Some(mut candidate) = self.candidate(at..at + used, Form::Literal) {
                candidate.values = values;
                self.keep(candidate);
            }
            at += used.max(1);
        }
    }

    fn names(&mut self) {
        let listed = |range: Range<usize>| !self.readings(range).is_empty();
        let search = Search {
            tokens: self.tokens,
            sentence: self.sentence.clone(),
            taken: &self.taken,
            joins: &self.lexicon.joins,
            context: &self.lexicon.context,
            uses: &self.lexicon.uses,
            openings: &self.lexicon.openings,
            bare: self.lexicon.articles.1 > self.lexicon.articles.0,
            listed: &listed,
        };
        for name in search.names() {
            let listed = self.readings(name.clone());
            let form = self.form_of(&listed);
            if let Some(mut candidate) = self.candidate(name, form) {
                // A listed name may still be another thing of that name.
                candidate.listed = listed;
                self.keep(candidate);
            }
        }
    }

    fn listed(&mut self) {
        let mut at = self.sentence.start;
        while at < self.sentence.end {
            let found =
                if self.free(at) { self.lexicon.gazetteer.longest_at(self.rest(at)) } else { None };
            let Some((used, readings)) = found else {
                at += 1;
                continue;
            };
            if let Some(mut candidate) = self.candidate(at..at + used, self.form_of(&readings)) {
                candidate.listed = readings;
                self.keep(candidate);
            }
            at += used.max(1);
        }
    }

    fn references(&mut self) {
        for at in self.sentence.clone() {
            let Some(token) = self.tokens.get(at).filter(|_| self.free(at)) else { continue };
            let found = match self.lexicon.pronoun(&token.lower) {
                Some((classes, possessive)) => Some((1, classes.to_vec(), possessive)),
                None if matches!(token.lower.as_str(), "the" | "this") => self.description(at),
                None => None,
            };
            let Some((used, classes, possessive)) = found else { continue };
            if let Some(mut candidate) = self.candidate(at..at + used, Form::Reference) {
                candidate.stands_for = classes;
                candidate.possessive = possessive;
                self.keep(candidate);
            }
        }
    }

    /// `the film`, unless a name or `of` follows: those say which one.
    fn description(&self, at: usize) -> Option<(usize, Vec<ClassId>, bool)> {
        let (length, classes) = self.lexicon.label_at(self.rest(at + 1))?;
        let next = at + 1 + length;
        let plural = self.tokens.get(next - 1).is_some_and(|t| t.lower.ends_with('s'));
        let named = self.found.iter().any(|c| c.is_named() && c.outer.start == next);
        let of = self.tokens.get(next).is_some_and(|t| matches!(t.lower.as_str(), "of" | "by"));
        let compound = self.tokens.get(next).is_some_and(|t| {
            self.free(next)
                && t.kind == TokenKind::Word
                && self.lexicon.label_at(self.rest(next)).is_some()
        });
        (!named && !of && !plural && !compound).then_some((1 + length, classes, false))
    }

    /// Lower-case runs of content words that the examples do not use as context.
    fn phrases(&mut self) {
        let mut at = self.sentence.start;
        while at < self.sentence.end {
            let mut end = at;
            while end < self.sentence.end && end - at < LONGEST_PHRASE && self.is_phrase_word(end) {
                end += 1;
            }
            if end > at
                && let Some(mut candidate) = self.candidate(at..end, Form::Phrase)
            {
                candidate.stands_for = self.lexicon.phrases.iter().copied().collect();
                candidate.stands_for.sort_unstable();
                self.keep(candidate);
            }
            at = end.max(at + 1);
        }
    }

    fn is_phrase_word(&self, at: usize) -> bool {
        self.free(at)
            && self.tokens.get(at).is_some_and(|token| {
                token.kind == TokenKind::Word
                    && !token.capital
                    && !is_function_word(&token.lower)
                    && !self.lexicon.context.contains(&token.stem)
            })
    }
}
