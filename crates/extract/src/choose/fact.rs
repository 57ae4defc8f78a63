//! Taking hypotheses in order of score, and writing down what was taken.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Cluster, Clusters, Place, shortens};
use super::hypothesis::{Hypothesis, fit, score};
use super::passage::Passage;
use crate::EMBEDDED;
use crate::graph::{
    EntityKey, EntityPart, FactPart, FactTarget, Fragment, Literal, Mention, Provenance,
    RefusedFact, Span,
};
use crate::induce::sigmoid;
use crate::pack::{ClassId, Ontology, Range, RelationId};
use crate::span::{Candidate, Form};
use crate::text::Chunk;

/// Least probability of its class with which an entity without a fact is reported.
const SURE_ENTITY: f64 = 0.6;
/// Below this fit a fact breaks domain or range.
const MISFIT: f64 = 0.01;

/// What was taken and what was not.
pub(super) struct Choice {
    pub(super) accepted: Vec<(Hypothesis, f64)>,
    pub(super) refused: Vec<(Hypothesis, &'static str)>,
}

/// Takes hypotheses by score, each under the constraints that those before it left.
pub(super) fn choose(
    ontology: &Ontology,
    passage: &Passage<'_>,
    clusters: &mut Clusters,
    hypotheses: Vec<Hypothesis>,
    least_confidence: f64,
) -> Choice {
    let mut ranked: Vec<(f64, Hypothesis)> =
        hypotheses.into_iter().map(|h| (score(ontology, clusters, &h), h)).collect();
    ranked.sort_by(|(a, x), (b, y)| {
        b.total_cmp(a)
            .then_with(|| (x.object, x.subject, x.relation).cmp(&(y.object, y.subject, y.relation)))
    });
    let mut choice = Choice { accepted: Vec::new(), refused: Vec::new() };
    let mut taken = Taken::default();
    for (_, hypothesis) in ranked {
        let loose = sigmoid(hypothesis.context);
        if loose < least_confidence {
            continue;
        }
        let Some(relation) = ontology.relation(hypothesis.relation) else { continue };
        let (subject_fit, object_fit) = fit(ontology, clusters, &hypothesis);
        let confidence = sigmoid(score(ontology, clusters, &hypothesis));
        if subject_fit < MISFIT {
            choice.refused.push((hypothesis, "domain"));
        } else if object_fit < MISFIT {
            choice.refused.push((hypothesis, "range"));
        } else if confidence >= least_confidence {
            match taken.admit(passage, clusters, relation.functional, &hypothesis) {
                Ok(()) => {
                    commit(ontology, clusters, &hypothesis);
                    choice.accepted.push((hypothesis, confidence));
                }
                Err(reason) => choice.refused.push((hypothesis, reason)),
            }
        }
    }
    choice
}

fn commit(ontology: &Ontology, clusters: &mut Clusters, hypothesis: &Hypothesis) {
    let Some(relation) = ontology.relation(hypothesis.relation) else { return };
    let mut decide = |place: Place, allowed: &[ClassId]| {
        let index = clusters.of.get(&place).copied();
        if let Some(cluster) = index.and_then(|index| clusters.all.get_mut(index)) {
            cluster.class = cluster.best(ontology, Some(allowed));
        }
    };
    decide(hypothesis.subject, &relation.domain);
    if let Range::Classes(classes) = &relation.range {
        decide(hypothesis.object, classes);
    }
}

/// What accepted facts have used up.
#[derive(Default)]
struct Taken {
    functional: BTreeMap<(usize, RelationId), Place>,
    /// The relation that an object's mention has been taken for, by subject.
    stated: BTreeMap<(usize, Place), RelationId>,
    /// Which subject group an object's mention serves in a relation.
    served: BTreeMap<(Place, RelationId), (usize, Place)>,
}

impl Taken {
    fn admit(
        &mut self,
        passage: &Passage<'_>,
        clusters: &Clusters,
        functional: bool,
        hypothesis: &Hypothesis,
    ) -> Result<(), &'static str> {
        let Some(cluster) = clusters.of.get(&hypothesis.subject).copied() else {
            return Err("ambiguous");
        };
        let key = (cluster, hypothesis.relation);
        if functional
            && let Some(known) = self.functional.get(&key)
            && !same_value(passage, *known, hypothesis.object)
        {
            return Err("functional");
        }
        let service = (hypothesis.object, hypothesis.relation);
        if let Some((other, place)) = self.served.get(&service)
            && *other != cluster
            && !coordinated(passage, *place, hypothesis.subject)
        {
            return Err("ambiguous");
        }
        let pair = (cluster, hypothesis.object);
        let literal =
            candidate(passage, hypothesis.object).is_some_and(|c| c.form == Form::Literal);
        let other = self.stated.get(&pair).is_some_and(|other| *other != hypothesis.relation);
        if other && (literal || !hypothesis.grounded) {
            return Err("ambiguous");
        }
        self.stated.entry(pair).or_insert(hypothesis.relation);
        self.functional.entry(key).or_insert(hypothesis.object);
        self.served.entry(service).or_insert((cluster, hypothesis.subject));
        Ok(())
    }
}

fn candidate<'a>(passage: &'a Passage<'_>, place: Place) -> Option<&'a Candidate> {
    passage.readings.get(place.0)?.candidate(place.1)
}

fn same_value(passage: &Passage<'_>, one: Place, other: Place) -> bool {
    match (candidate(passage, one), candidate(passage, other)) {
        (Some(one), Some(other)) => !one.values.is_empty() && one.values == other.values,
        _ => false,
    }
}

fn coordinated(passage: &Passage<'_>, one: Place, other: Place) -> bool {
    one.0 == other.0
        && passage
            .readings
            .get(one.0)
            .is_some_and(|reading| reading.group_of.get(one.1) == reading.group_of.get(other.1))
}

/// Three decimals are what a confidence is worth.
fn rounded(confidence: f64) -> f64 {
    (confidence.clamp(0.0, 1.0) * 1000.0).round() / 1000.0
}

impl Passage<'_> {
    fn span(chunk: Chunk, start: usize, end: usize) -> Span {
        let at =
            |offset: usize| chunk.start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
        Span { start: at(start), end: at(end) }
    }

    fn span_of(&self, chunk: Chunk, place: Place) -> Option<Span> {
        candidate(self, place).map(|c| Self::span(chunk, c.start, c.end))
    }

    fn sentence_span(&self, chunk: Chunk, sentence: usize) -> Option<Span> {
        let range = self.readings.get(sentence)?.sentence.clone();
        let start = self.tokens.get(range.start)?.start;
        let end = self.tokens.get(range.end.checked_sub(1)?)?.end;
        Some(Self::span(chunk, start, end))
    }

    /// What the passage contributes to the graph.
    pub(super) fn fragment(
        &self,
        clusters: &Clusters,
        accepted: &[(Hypothesis, f64)],
        refused: Vec<(Hypothesis, &'static str)>,
        chunk: Chunk,
    ) -> Fragment {
        let mut fragment = Fragment::default();
        fragment.chunks.insert(chunk.index);
        for sentence in 0..self.readings.len() {
            fragment.sentences.extend(self.sentence_span(chunk, sentence));
        }
        let used: BTreeSet<usize> = accepted
            .iter()
            .flat_map(|(h, _)| [h.subject, h.object])
            .filter_map(|place| clusters.of.get(&place).copied())
            .collect();
        for (index, cluster) in clusters.all.iter().enumerate() {
            if let Some(part) = self.entity(cluster, used.contains(&index), chunk) {
                fragment.add_entity(part);
            }
        }
        for (hypothesis, confidence) in accepted {
            if let Some(part) = self.fact(clusters, hypothesis, *confidence, chunk) {
                fragment.add_fact(part);
            }
        }
        for (hypothesis, reason) in refused {
            let predicate = self.ontology.relation(hypothesis.relation).map(|r| r.name.clone());
            let spans =
                (self.span_of(chunk, hypothesis.subject), self.span_of(chunk, hypothesis.object));
            if let (Some(predicate), (Some(subject), Some(object))) = (predicate, spans) {
                let reason = reason.to_owned();
                fragment.refused.insert(RefusedFact { reason, predicate, subject, object });
            }
        }
        fragment
    }

    fn key(&self, cluster: &Cluster) -> Option<EntityKey> {
        let class = cluster.best(self.ontology, None)?;
        let name = cluster.name_as(class).to_owned();
        Some(EntityKey { class: self.ontology.class(class)?.name.clone(), name })
    }

    fn entity(&self, cluster: &Cluster, used: bool, chunk: Chunk) -> Option<EntityPart> {
        let class = cluster.best(self.ontology, None)?;
        let likely = cluster.confidence(class);
        if !used && (likely < SURE_ENTITY || cluster.form == Form::Phrase) {
            return None;
        }
        let key = self.key(cluster)?;
        let mut aliases = BTreeSet::new();
        let mut mentions = BTreeSet::new();
        for place in &cluster.mentions {
            let candidate = candidate(self, *place)?;
            let span = Self::span(chunk, candidate.start, candidate.end);
            let text = self.source.slice(candidate.start, candidate.end).to_owned();
            if text != key.name && candidate.form != Form::Reference {
                aliases.insert(text.clone());
            }
            mentions.insert(Mention { start: span.start, end: span.end, text, chunk: chunk.index });
        }
        let shortens = self.ontology.class(class).is_some_and(shortens);
        let confidence = rounded(if used { likely.max(0.5) } else { likely });
        Some(EntityPart { key, confidence, shortens, aliases, mentions })
    }

    fn fact(
        &self,
        clusters: &Clusters,
        hypothesis: &Hypothesis,
        confidence: f64,
        chunk: Chunk,
    ) -> Option<FactPart> {
        let relation = self.ontology.relation(hypothesis.relation)?;
        let subject = self.key(clusters.at(hypothesis.subject)?)?;
        let object = candidate(self, hypothesis.object)?;
        let surface = self.source.slice(object.start, object.end);
        let (target, normalized) = match &relation.range {
            Range::Classes(_) => {
                let cluster = clusters.at(hypothesis.object)?;
                let key = self.key(cluster)?;
                let normalized = !cluster.listed.is_empty() && key.name != surface;
                (FactTarget::Entity(key), normalized)
            }
            Range::Literal(datatype) => {
                let literal = match object.value(*datatype) {
                    Some(value) => Literal {
                        value: value.lexical.clone(),
                        datatype: value.xsd.to_owned(),
                        unit: value.unit.clone(),
                    },
                    None => Literal {
                        value: surface.to_owned(),
                        datatype: datatype.name().to_owned(),
                        unit: None,
                    },
                };
                let normalized = literal.value != surface;
                (FactTarget::Literal(literal), normalized)
            }
        };
        let provenance = Provenance {
            chunk: chunk.index,
            evidence: self.sentence_span(chunk, hypothesis.object.0)?,
            subject: self.span_of(chunk, hypothesis.subject)?,
            object: self.span_of(chunk, hypothesis.object)?,
            inferred: normalized || hypothesis.implied,
            extractor: EMBEDDED.to_owned(),
            model: None,
            attempt: 1,
        };
        Some(FactPart {
            subject,
            predicate: relation.name.clone(),
            object: target,
            functional: relation.functional,
            confidence: rounded(confidence),
            provenance: BTreeSet::from([provenance]),
        })
    }
}
