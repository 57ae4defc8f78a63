//! Every span is checked against the text before a graph is given out.

use std::collections::BTreeMap;

use super::{Graph, Object, Span};
use crate::text::Source;

/// A claim of a graph that the text does not bear out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{claim} at {start}..{end} is not in the text: expected \"{expected}\", found \"{found}\"")]
pub struct Unverified {
    /// What was claimed.
    pub claim: String,
    /// First scalar.
    pub start: u32,
    /// One past the last scalar.
    pub end: u32,
    /// The text claimed.
    pub expected: String,
    /// The text there.
    pub found: String,
}

/// Checks that each mention's text stands at its span, that subjects and objects of provenance are
/// mentions of their entities, and that objects and subjects lie in non-empty evidence.
pub fn verify(graph: &Graph, text: &str) -> Result<(), Unverified> {
    let source = Source::new(text);
    let at = |start: u32, end: u32| {
        let offset = |o: u32| usize::try_from(o).unwrap_or(usize::MAX);
        source.slice(offset(start), offset(end))
    };
    let mut mentions: BTreeMap<(&str, Span), &str> = BTreeMap::new();
    for entity in &graph.entities {
        for mention in &entity.mentions {
            let found = at(mention.start, mention.end);
            if found != mention.text || found.is_empty() {
                return Err(Unverified {
                    claim: format!("mention of {}", entity.name),
                    start: mention.start,
                    end: mention.end,
                    expected: mention.text.clone(),
                    found: found.to_owned(),
                });
            }
            let span = Span { start: mention.start, end: mention.end };
            mentions.insert((entity.id.as_str(), span), found);
        }
    }
    let unfounded = |claim: &str, expected: &str, span: Span| Unverified {
        claim: claim.to_owned(),
        start: span.start,
        end: span.end,
        expected: expected.to_owned(),
        found: at(span.start, span.end).to_owned(),
    };
    for fact in &graph.relations {
        for source in &fact.provenance {
            if !mentions.contains_key(&(fact.subject.as_str(), source.subject)) {
                return Err(unfounded("subject", &fact.subject, source.subject));
            }
            match &fact.object {
                Object::Entity { entity } => {
                    if !mentions.contains_key(&(entity.as_str(), source.object)) {
                        return Err(unfounded("object", entity, source.object));
                    }
                }
                Object::Literal(literal) => {
                    let found = at(source.object.start, source.object.end);
                    if found.is_empty() || (!source.inferred && found != literal.value) {
                        return Err(unfounded("literal", &literal.value, source.object));
                    }
                }
            }
            let inside = |s: Span| s.start >= source.evidence.start && s.end <= source.evidence.end;
            if !inside(source.object) || (!source.inferred && !inside(source.subject)) {
                return Err(unfounded("evidence", &fact.predicate, source.evidence));
            }
        }
    }
    Ok(())
}
