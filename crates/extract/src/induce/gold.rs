//! The pack's triples as spans of its sentences.

use crate::pack::{ClassId, ExampleSentence, Ontology, Range, RelationId, Triple};
use crate::text::Source;

/// A piece of the text that a triple names, with the class that the relation gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoldSpan {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) class: Option<ClassId>,
}

/// A triple between two spans, by their positions in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoldFact {
    pub(super) subject: usize,
    pub(super) relation: RelationId,
    pub(super) object: usize,
}

/// An example's spans and facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Gold {
    pub(super) spans: Vec<GoldSpan>,
    pub(super) facts: Vec<GoldFact>,
}

impl Gold {
    pub(super) fn of(ontology: &Ontology, example: &ExampleSentence) -> Self {
        let source = Source::new(&example.text);
        let mut gold = Self::default();
        // Longer names first, so that a name inside another is looked for elsewhere.
        let mut names: Vec<(&str, Option<ClassId>)> = Vec::new();
        for Triple(subject, predicate, object) in &example.triples {
            let relation = ontology.relation_named(predicate).and_then(|id| ontology.relation(id));
            let Some(relation) = relation else { continue };
            names.push((subject, relation.domain.first().copied()));
            let class = match &relation.range {
                Range::Classes(classes) => classes.first().copied(),
                Range::Literal(_) => None,
            };
            names.push((object, class));
        }
        names
            .sort_by_key(|(name, class)| (core::cmp::Reverse(name.chars().count()), *name, *class));
        let mut placed: Vec<(&str, usize)> = Vec::new();
        for (name, class) in names {
            if placed.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if let Some((start, end)) = gold.place(ontology, &source, name) {
                placed.push((name, gold.spans.len()));
                gold.spans.push(GoldSpan { start, end, class });
            }
        }
        let at = |name: &str| placed.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
        for Triple(subject, predicate, object) in &example.triples {
            let fact = (at(subject), ontology.relation_named(predicate), at(object));
            if let (Some(subject), Some(relation), Some(object)) = fact {
                gold.facts.push(GoldFact { subject, relation, object });
            }
        }
        gold
    }

    /// The first free place of a name, or of another spelling of it.
    fn place(
        &self,
        ontology: &Ontology,
        source: &Source<'_>,
        name: &str,
    ) -> Option<(usize, usize)> {
        let spellings = ontology
            .classes()
            .iter()
            .flat_map(|class| &class.members)
            .filter(|(canonical, _)| canonical == name)
            .flat_map(|(_, others)| others.iter().map(String::as_str));
        core::iter::once(name).chain(spellings).find_map(|spelling| self.find(source, spelling))
    }

    fn find(&self, source: &Source<'_>, name: &str) -> Option<(usize, usize)> {
        let length = name.chars().count();
        let is_word = |at: Option<usize>| {
            at.and_then(|at| source.character(at)).is_some_and(char::is_alphanumeric)
        };
        (0..=source.len().checked_sub(length)?).find_map(|start| {
            let end = start + length;
            let whole = !is_word(start.checked_sub(1)) && !is_word(Some(end));
            let free = self.spans.iter().all(|span| end <= span.start || start >= span.end);
            (whole && free && source.slice(start, end) == name).then_some((start, end))
        })
    }
}
