//! From merged fragments to a graph: short names resolved, functional relations decided, ids given.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Entity, EntityKey, EntityPart, FactPart, FactTarget, FailedChunk, Fragment, Grade, Graph,
    Mention, Object, Provenance, Refused, RefusedFact, Relation, Span, Usage,
};

/// What a graph says of itself beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// The submission.
    pub request_id: String,
    /// The document, if one was named.
    pub document_id: Option<String>,
    /// The ontology's id.
    pub ontology_id: String,
    /// The ontology's version.
    pub ontology_version: String,
}

impl Fragment {
    /// The graph of a whole document.
    pub fn finish(mut self, heading: Heading) -> Graph {
        let renamed = short_names(&self.entities);
        self.rename(&renamed);
        self.keep_one_object_where_functional();
        let entities = entities(&self.entities);
        let ids: BTreeMap<&EntityKey, &str> =
            entities.iter().map(|(key, entity)| (key, entity.id.as_str())).collect();
        let relations = relations(&self.facts, &ids);
        let (grade, reason) = self.grade(relations.len(), entities.len());
        let failed = self.failed.into_iter();
        let failed_chunks = failed.map(|(chunk, error)| FailedChunk { chunk, error }).collect();
        Graph {
            request_id: heading.request_id,
            document_id: heading.document_id,
            ontology_id: heading.ontology_id,
            ontology_version: heading.ontology_version,
            grade,
            relations,
            entities: entities.into_iter().map(|(_, entity)| entity).collect(),
            refused: counted(&self.refused),
            reason,
            failed_chunks,
            usage: Usage::default(),
        }
    }

    fn rename(&mut self, renamed: &BTreeMap<EntityKey, EntityKey>) {
        let full = |key: EntityKey| renamed.get(&key).cloned().unwrap_or(key);
        let mut whole = Self::default();
        for mut part in core::mem::take(&mut self.entities) {
            let full = full(part.key.clone());
            if full != part.key {
                part.aliases.insert(part.key.name);
            }
            part.aliases.remove(&full.name);
            part.key = full;
            whole.add_entity(part);
        }
        for mut part in core::mem::take(&mut self.facts) {
            part.subject = full(part.subject);
            if let FactTarget::Entity(key) = part.object {
                part.object = FactTarget::Entity(full(key));
            }
            whole.add_fact(part);
        }
        self.entities = whole.entities;
        self.facts = whole.facts;
    }

    /// Of several objects of a functional relation the most confident stays, then the first.
    fn keep_one_object_where_functional(&mut self) {
        let rank = |fact: &FactPart| {
            let first = fact.provenance.iter().map(|p| p.object.start).min().unwrap_or(u32::MAX);
            (fact.confidence, core::cmp::Reverse(first))
        };
        let mut best: BTreeMap<(EntityKey, String), (f64, core::cmp::Reverse<u32>)> =
            BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.functional) {
            let key = (fact.subject.clone(), fact.predicate.clone());
            let entry = best.entry(key).or_insert_with(|| rank(fact));
            if rank(fact) > *entry {
                *entry = rank(fact);
            }
        }
        let refused = &mut self.refused;
        self.facts.retain(|fact| {
            let key = (fact.subject.clone(), fact.predicate.clone());
            let stays = !fact.functional || best.get(&key).is_none_or(|top| *top == rank(fact));
            if !stays {
                refused.extend(fact.provenance.iter().map(|p| RefusedFact {
                    reason: "functional".to_owned(),
                    predicate: fact.predicate.clone(),
                    subject: p.subject,
                    object: p.object,
                }));
            }
            stays
        });
    }

    fn grade(&self, facts: usize, entities: usize) -> (Grade, Option<String>) {
        let failures: Vec<String> =
            self.failed.iter().map(|(chunk, why)| format!("chunk {chunk}: {why}")).collect();
        if !failures.is_empty() {
            return (Grade::Partial, Some(format!("some chunks failed: {}", failures.join("; "))));
        }
        let sentences = self.sentences.len();
        if facts > 0 {
            (Grade::Complete, None)
        } else if entities > 0 {
            let reason = format!(
                "{sentences} sentence(s) name {entities} entities of the ontology, but none states \
                 a relation of the ontology between them with enough confidence"
            );
            (Grade::EntitiesOnly, Some(reason))
        } else if sentences > 0 {
            let reason = format!("none of {sentences} sentence(s) names an entity of the ontology");
            (Grade::Empty, Some(reason))
        } else {
            (Grade::Empty, Some("the text has no words".to_owned()))
        }
    }
}

/// Short names of which exactly one longer name of the class is the full form.
fn short_names(entities: &[EntityPart]) -> BTreeMap<EntityKey, EntityKey> {
    let mut renamed = BTreeMap::new();
    for short in entities.iter().filter(|e| e.shortens && !e.key.name.contains(' ')) {
        let mut full = entities.iter().filter(|e| {
            e.shortens
                && e.key.class == short.key.class
                && e.key.name.rsplit_once(' ').is_some_and(|(_, last)| last == short.key.name)
        });
        if let (Some(only), None) = (full.next(), full.next()) {
            renamed.insert(short.key.clone(), only.key.clone());
        }
    }
    renamed
}

/// Entities in the order of their first mention.
fn entities(parts: &[EntityPart]) -> Vec<(EntityKey, Entity)> {
    let mut parts: Vec<&EntityPart> = parts.iter().collect();
    parts.sort_by_key(|part| (part.mentions.first().map(|m| m.start), part.key.clone()));
    let mut entities = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let mut mentions: Vec<Mention> = Vec::new();
        for mention in &part.mentions {
            let again =
                mentions.last().is_some_and(|m| (m.start, m.end) == (mention.start, mention.end));
            if !again {
                mentions.push(mention.clone());
            }
        }
        let entity = Entity {
            id: format!("e{}", at + 1),
            class: part.key.class.clone(),
            name: part.key.name.clone(),
            aliases: part.aliases.iter().cloned().collect(),
            confidence: part.confidence,
            mentions,
        };
        entities.push((part.key.clone(), entity));
    }
    entities
}

/// Facts in the order of the text. Both ends are entities of the graph by construction.
fn relations(facts: &[FactPart], ids: &BTreeMap<&EntityKey, &str>) -> Vec<Relation> {
    let mut ordered: Vec<&FactPart> = facts.iter().collect();
    ordered.sort_by_key(|fact| {
        let first = fact.provenance.iter().map(|p| (p.evidence.start, p.object.start)).min();
        (first, fact.predicate.clone())
    });
    let mut relations = Vec::new();
    for fact in ordered {
        let Some(subject) = ids.get(&fact.subject) else { continue };
        let object = match &fact.object {
            FactTarget::Literal(literal) => Object::Literal(literal.clone()),
            FactTarget::Entity(key) => match ids.get(key) {
                Some(id) => Object::Entity { entity: (*id).to_owned() },
                None => continue,
            },
        };
        relations.push(Relation {
            subject: (*subject).to_owned(),
            predicate: fact.predicate.clone(),
            object,
            confidence: fact.confidence,
            provenance: distinct(&fact.provenance),
        });
    }
    relations
}

/// Overlapping chunks find a fact twice; the first chunk's provenance stands for both.
fn distinct(provenance: &BTreeSet<Provenance>) -> Vec<Provenance> {
    let mut seen: BTreeSet<(Span, Span, Span)> = BTreeSet::new();
    let mut kept: Vec<Provenance> = provenance
        .iter()
        .filter(|p| seen.insert((p.evidence, p.subject, p.object)))
        .cloned()
        .collect();
    kept.sort_by_key(|p| (p.evidence, p.subject, p.object));
    kept
}

fn counted(refused: &BTreeSet<RefusedFact>) -> Vec<Refused> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for fact in refused {
        *counts.entry(fact.reason.as_str()).or_default() += 1;
    }
    counts.into_iter().map(|(reason, count)| Refused { reason: reason.to_owned(), count }).collect()
}
