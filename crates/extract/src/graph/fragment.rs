//! What one chunk contributes to a graph, and the merge of such parts.
//!
//! Merge is a join: associative, commutative and idempotent. Entities meet by class and name,
//! facts by subject, predicate and object; provenance and mentions are united.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Literal, Mention, Provenance, Span};

/// What tells entities of a document apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityKey {
    /// Name of the class.
    pub class: String,
    /// Name of the entity.
    pub name: String,
}

/// An entity as one chunk sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityPart {
    /// Class and name.
    pub key: EntityKey,
    /// From 0 to 1.
    pub confidence: f64,
    /// A last word of the full name may stand for the entity, as with people.
    pub shortens: bool,
    /// Other names that the text uses for it.
    pub aliases: BTreeSet<String>,
    /// Where it is mentioned.
    pub mentions: BTreeSet<Mention>,
}

/// The object of a fact before entities have ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FactTarget {
    /// An entity.
    Entity(EntityKey),
    /// A literal.
    Literal(Literal),
}

/// A fact as one chunk sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactPart {
    /// The subject.
    pub subject: EntityKey,
    /// Name of the relation.
    pub predicate: String,
    /// The object.
    pub object: FactTarget,
    /// A subject has at most one object of this relation.
    pub functional: bool,
    /// From 0 to 1.
    pub confidence: f64,
    /// Where it is stated.
    pub provenance: BTreeSet<Provenance>,
}

/// A fact that was refused: why, and where it would have stood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefusedFact {
    /// `domain`, `range`, `functional` or `ambiguous`.
    pub reason: String,
    /// Name of the relation.
    pub predicate: String,
    /// The subject's mention.
    pub subject: Span,
    /// The object's mention.
    pub object: Span,
}

/// A part of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    /// Sorted by key.
    pub entities: Vec<EntityPart>,
    /// Sorted by subject, predicate, object.
    pub facts: Vec<FactPart>,
    /// Facts that were refused.
    pub refused: BTreeSet<RefusedFact>,
    /// Sentences that were read.
    pub sentences: BTreeSet<Span>,
    /// Chunks that were read.
    pub chunks: BTreeSet<u32>,
    /// Chunks that failed, with the reason.
    pub failed: BTreeMap<u32, String>,
}

impl Fragment {
    /// The fragment of a chunk that failed.
    pub fn failed(chunk: u32, reason: String) -> Self {
        Self { failed: BTreeMap::from([(chunk, reason)]), ..Self::default() }
    }

    /// Adds one entity part, merging with what has the same key.
    pub fn add_entity(&mut self, part: EntityPart) {
        match self.entities.binary_search_by(|known| known.key.cmp(&part.key)) {
            Err(at) => self.entities.insert(at, part),
            Ok(at) => {
                if let Some(known) = self.entities.get_mut(at) {
                    known.confidence = known.confidence.max(part.confidence);
                    known.shortens |= part.shortens;
                    known.aliases.extend(part.aliases);
                    known.mentions.extend(part.mentions);
                }
            }
        }
    }

    /// Adds one fact part, merging with what has the same subject, predicate and object.
    pub fn add_fact(&mut self, part: FactPart) {
        let found = self.facts.binary_search_by(|known| {
            (&known.subject, &known.predicate, &known.object).cmp(&(
                &part.subject,
                &part.predicate,
                &part.object,
            ))
        });
        match found {
            Err(at) => self.facts.insert(at, part),
            Ok(at) => {
                if let Some(known) = self.facts.get_mut(at) {
                    known.confidence = known.confidence.max(part.confidence);
                    known.functional |= part.functional;
                    known.provenance.extend(part.provenance);
                }
            }
        }
    }

    /// Joins two fragments of one text.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for part in other.entities {
            self.add_entity(part);
        }
        for part in other.facts {
            self.add_fact(part);
        }
        self.refused.extend(other.refused);
        self.sentences.extend(other.sentences);
        self.chunks.extend(other.chunks);
        for (chunk, reason) in other.failed {
            let known = self.failed.entry(chunk).or_insert_with(|| reason.clone());
            if reason < *known {
                *known = reason;
            }
        }
        self
    }
}
