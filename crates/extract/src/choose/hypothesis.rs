//! Facts that a sentence may state, with their score.

use super::cluster::{Clusters, Place};
use super::passage::Passage;
use crate::induce::Model;
use crate::induce::{may_be_object, may_be_subject};
use crate::pack::{ClassId, Ontology, Range, RelationId};
use crate::reading::{label_hits, pair_features};
use crate::span::Form;

/// Log-odds below which a hypothesis is not kept.
const FLOOR: f64 = -2.0;
/// A candidate counts as a possible subject from this probability on.
const PLAUSIBLE: f64 = 0.3;

/// A possible fact.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub(super) subject: Place,
    pub(super) relation: RelationId,
    pub(super) object: Place,
    /// Log-odds from the context alone.
    pub(super) context: f64,
    /// The subject stands in an earlier sentence and is only implied here.
    pub(super) implied: bool,
}

/// The classes of all domains.
pub(super) fn domains(ontology: &Ontology) -> Vec<ClassId> {
    let mut classes: Vec<ClassId> =
        ontology.relations().iter().flat_map(|relation| relation.domain.clone()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// Which candidates of a sentence can be subjects, by what is known of them now.
pub(super) fn plausible(
    ontology: &Ontology,
    clusters: &Clusters,
    passage: &Passage<'_>,
    sentence: usize,
) -> Vec<bool> {
    let domains = domains(ontology);
    let Some(reading) = passage.readings.get(sentence) else { return Vec::new() };
    (0..reading.candidates.len())
        .map(|at| {
            clusters
                .at((sentence, at))
                .is_some_and(|c| c.probability(ontology, &domains) >= PLAUSIBLE)
        })
        .collect()
}

/// All hypotheses of one sentence. References take part once they have a cluster.
pub(super) fn hypotheses(
    ontology: &Ontology,
    model: &Model,
    clusters: &Clusters,
    passage: &Passage<'_>,
    sentence: usize,
) -> Vec<Hypothesis> {
    let Some(reading) = passage.readings.get(sentence) else { return Vec::new() };
    let plausible = plausible(ontology, clusters, passage, sentence);
    let mut found = Vec::new();
    for (subject, s) in reading.candidates.iter().enumerate() {
        if s.form == Form::Literal || clusters.at((sentence, subject)).is_none() {
            continue;
        }
        for (object, o) in reading.candidates.iter().enumerate() {
            let known = o.form == Form::Literal || clusters.at((sentence, object)).is_some();
            let same =
                clusters.of.get(&(sentence, subject)) == clusters.of.get(&(sentence, object));
            let together = reading.are_coordinated(subject, object);
            if subject == object || together || !known || (same && o.form != Form::Literal) {
                continue;
            }
            let pair = pair_features(ontology, reading, subject, object, &plausible);
            let scores = model.relations.scores(&pair);
            for (id, score) in ontology.relation_ids().zip(scores) {
                if !may_be_subject(ontology, id, s) || !may_be_object(ontology, id, o) {
                    continue;
                }
                let Some(relation) = ontology.relation(id) else { continue };
                let labels = label_hits(relation, reading, subject, object);
                let context = score + model.relations.label_score(&labels);
                if context > FLOOR {
                    found.push(Hypothesis {
                        subject: (sentence, subject),
                        relation: id,
                        object: (sentence, object),
                        context,
                        implied: false,
                    });
                }
            }
        }
    }
    found
}

/// The probability that subject and object are of the relation's classes.
pub(super) fn fit(ontology: &Ontology, clusters: &Clusters, hypothesis: &Hypothesis) -> (f64, f64) {
    let Some(relation) = ontology.relation(hypothesis.relation) else { return (0.0, 0.0) };
    let subject = clusters
        .at(hypothesis.subject)
        .map_or(0.0, |cluster| cluster.probability(ontology, &relation.domain));
    let object = match &relation.range {
        Range::Literal(_) => 1.0,
        Range::Classes(classes) => clusters
            .at(hypothesis.object)
            .map_or(0.0, |cluster| cluster.probability(ontology, classes)),
    };
    (subject, object)
}

/// Log-odds with the classes taken into account.
pub(super) fn score(ontology: &Ontology, clusters: &Clusters, hypothesis: &Hypothesis) -> f64 {
    let (subject, object) = fit(ontology, clusters, hypothesis);
    hypothesis.context + subject.max(1e-4).ln() + object.max(1e-4).ln()
}
