//! An example sentence as it is read for training: with the spans that its triples name.

use super::gold::{Gold, GoldSpan};
use crate::pack::{ClassId, ExampleSentence, Ontology, RelationId};
use crate::reading::Reading;
use crate::span::{Candidate, Form, Lexicon, begins, candidates, literal_at};
use crate::text::{Source, Token, TokenKind, sentences, tokenize};

/// A prepared example.
pub(super) struct Example {
    pub(super) tokens: Vec<Token>,
    pub(super) gold: Gold,
}

/// One sentence of an example, aligned with its triples.
pub(super) struct Aligned {
    pub(super) reading: Reading,
    /// The gold span of each candidate.
    pub(super) gold: Vec<Option<usize>>,
}

impl Example {
    pub(super) fn of(ontology: &Ontology, example: &ExampleSentence) -> Self {
        let source = Source::new(&example.text);
        Self { tokens: tokenize(&source), gold: Gold::of(ontology, example) }
    }

    /// The span that covers a token.
    fn span_over(&self, token: &Token) -> Option<&GoldSpan> {
        self.gold.spans.iter().find(|span| token.start < span.end && token.end > span.start)
    }

    /// Adds the words that stand outside the named spans, and how names are joined.
    pub(super) fn teach(&self, source: &str, lexicon: &mut Lexicon) {
        for (at, token) in self.tokens.iter().enumerate() {
            let opens = at == 0 && !self.tokens.get(1).is_some_and(|next| next.capital);
            let plain = token.kind == TokenKind::Word && (!token.capital || opens);
            if plain && self.span_over(token).is_none() {
                *lexicon.uses.entry(token.stem.clone()).or_default() += 1;
                lexicon.context.insert(token.stem.clone());
            }
        }
        let text = Source::new(source);
        for span in self.gold.spans.iter().filter(|span| span.class.is_some()) {
            let name = text.slice(span.start, span.end);
            let tokens = tokenize(&Source::new(name));
            // `iPhone` is a name.
            let lower = !tokens.iter().any(|token| token.capital)
                && name.chars().next().is_some_and(char::is_lowercase);
            let listed =
                lexicon.gazetteer.longest_at(&tokens).is_some_and(|(used, _)| used == tokens.len());
            if lower && !listed {
                lexicon.phrases.extend(span.class);
            }
            if !lower {
                let first = self.tokens.iter().position(|token| token.start >= span.start);
                lexicon.learn_name(name, first.is_some_and(|at| begins(&self.tokens, at)));
                if let Some(first) = first {
                    lexicon.learn_article(&self.tokens, first);
                }
            }
            if let Some(class) = span.class.filter(|_| !listed) {
                lexicon.closed.remove(&class);
            }
        }
        let mut spans: Vec<Candidate> =
            self.gold.spans.iter().filter_map(|span| self.candidate(span)).collect();
        spans.sort_by_key(|candidate| candidate.start);
        for pair in spans.windows(2) {
            if let [left, right] = pair {
                lexicon.learn_apart(&self.tokens, left, right);
            }
        }
    }

    /// A gold span as a candidate on whole tokens.
    fn candidate(&self, span: &GoldSpan) -> Option<Candidate> {
        let first = self.tokens.iter().position(|token| token.start >= span.start)?;
        let end = self.tokens.iter().rposition(|token| token.end <= span.end)? + 1;
        let inner = self.tokens.get(first..end).filter(|tokens| !tokens.is_empty())?;
        let form = match (span.class, inner.iter().any(|t| t.capital)) {
            (None, _) => Form::Literal,
            (Some(_), true) => Form::Name,
            (Some(_), false) => Form::Phrase,
        };
        let mut candidate = Candidate::new(first..end, span.start, span.end, form);
        if form == Form::Phrase {
            candidate.stands_for = span.class.into_iter().collect();
        }
        if form == Form::Literal {
            candidate.values = literal_at(inner).map(|(_, values)| values).unwrap_or_default();
        }
        Some(candidate)
    }

    /// Reads the example: candidates as in any text, but with the spans of its triples.
    pub(super) fn align(&self, ontology: &Ontology, text: &str, lexicon: &Lexicon) -> Vec<Aligned> {
        let source = Source::new(text);
        let mut all = Vec::new();
        for range in sentences(&source, &self.tokens) {
            let mut found = candidates(&self.tokens, range.clone(), lexicon);
            for span in &self.gold.spans {
                let inside = |at: usize| self.tokens.get(at).map(|t| (t.start, t.end));
                let (Some((from, _)), Some((_, to))) =
                    (inside(range.start), inside(range.end.saturating_sub(1)))
                else {
                    continue;
                };
                let exact = found.iter().any(|c| (c.start, c.end) == (span.start, span.end));
                if exact || span.start < from || span.end > to {
                    continue;
                }
                if let Some(candidate) = self.candidate(span) {
                    found.retain(|c| {
                        c.outer.end <= candidate.outer.start || c.outer.start >= candidate.outer.end
                    });
                    found.push(candidate);
                }
            }
            found.sort_by_key(|candidate| candidate.start);
            if range.start > 0 && !self.names_subject(ontology, &found) {
                found.insert(0, Candidate::implied(&self.tokens, range.start, ontology.domains()));
            }
            let gold = found.iter().map(|c| self.gold_of(c)).collect();
            let reading = Reading::new(ontology, &self.tokens, range, found, &lexicon.context);
            all.push(Aligned { reading, gold });
        }
        all
    }

    fn gold_of(&self, candidate: &Candidate) -> Option<usize> {
        let spans = &self.gold.spans;
        spans.iter().position(|span| (span.start, span.end) == (candidate.start, candidate.end))
    }

    /// Does one of a sentence's candidates stand for something that relations are said of?
    fn names_subject(&self, ontology: &Ontology, found: &[Candidate]) -> bool {
        let domains = ontology.domains();
        let fits = |class| ontology.fits(class, &domains);
        found.iter().any(|candidate| match candidate.form {
            Form::Reference => self.referent(ontology, &candidate.stands_for).is_some(),
            Form::Listed => false,
            _ => self.class_of(self.gold_of(candidate)).is_some_and(fits),
        })
    }

    pub(super) fn class_of(&self, span: Option<usize>) -> Option<ClassId> {
        self.gold.spans.get(span?)?.class
    }

    /// Does the example state this?
    pub(super) fn states(&self, subject: usize, relation: RelationId, object: usize) -> bool {
        self.gold
            .facts
            .iter()
            .any(|fact| (fact.subject, fact.relation, fact.object) == (subject, relation, object))
    }

    /// The subject that a reference to one of these classes stands for: the example's own.
    pub(super) fn referent(&self, ontology: &Ontology, classes: &[ClassId]) -> Option<usize> {
        self.gold
            .facts
            .iter()
            .map(|fact| fact.subject)
            .find(|at| self.class_of(Some(*at)).is_some_and(|class| ontology.fits(class, classes)))
    }
}
