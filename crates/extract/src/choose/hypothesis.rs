//! Facts that a sentence may state, with their score.

use super::cluster::{Clusters, Place};
use super::passage::Passage;
use crate::induce::Model;
use crate::induce::{may_be_object, may_be_subject};
use crate::pack::{Ontology, Range, RelationId};
use crate::reading::{Reading, label_hits, pair_features};
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
    /// A word around speaks for this relation rather than for another.
    pub(super) grounded: bool,
    /// The subject stands in an earlier sentence and is only implied here.
    pub(super) implied: bool,
}

/// Which candidates of a sentence can be subjects, by what is known of them now.
pub(super) fn plausible(
    ontology: &Ontology,
    clusters: &Clusters,
    passage: &Passage<'_>,
    sentence: usize,
) -> Vec<bool> {
    let domains = ontology.domains();
    let Some(reading) = passage.readings.get(sentence) else { return Vec::new() };
    (0..reading.candidates.len())
        .map(|at| {
            clusters
                .at((sentence, at))
                .is_some_and(|c| c.probability(ontology, &domains) >= PLAUSIBLE)
        })
        .collect()
}

/// What the words around a pair say for a relation.
#[derive(Clone, Copy, Debug)]
struct Said {
    score: f64,
    /// Added where no label stands by the pair.
    ground: f64,
    grounded: bool,
}

/// What is said for each relation, by all words around a pair together or, of several coordinated
/// ones, by the one that says most.
fn said(
    ontology: &Ontology,
    model: &Model,
    reading: &Reading,
    pair: (usize, usize),
    (plausible, may): (&[bool], &[bool]),
) -> Vec<Said> {
    let mut best: Vec<Said> = Vec::new();
    for places in reading.places(pair.0, pair.1) {
        let features = pair_features(ontology, reading, pair, &places, plausible);
        let scores = model.relations.scores(&features).into_iter();
        let grounds = model.relations.grounds(&features, may);
        for (at, (score, (ground, grounded))) in scores.zip(grounds).enumerate() {
            let said = Said { score, ground, grounded };
            match best.get_mut(at) {
                Some(known) if known.score + known.ground < score + ground => *known = said,
                Some(_) => {}
                None => best.push(said),
            }
        }
    }
    best
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
    if reading.foreign {
        return Vec::new();
    }
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
            let denied = || reading.denies(subject, object);
            let apart =
                subject != object && !together && known && (!same || o.form == Form::Literal);
            if !apart || denied() {
                continue;
            }
            let may_hold = |id| may_be_subject(ontology, id, s) && may_be_object(ontology, id, o);
            let may: Vec<bool> = ontology.relation_ids().map(may_hold).collect();
            let said = said(ontology, model, reading, (subject, object), (&plausible, &may));
            let said = ontology.relation_ids().zip(said).zip(&may).filter(|(_, may)| **may);
            for ((id, Said { score, ground, grounded }), _) in said {
                let Some(relation) = ontology.relation(id) else { continue };
                let labels = label_hits(relation, reading, subject, object);
                let ground = if labels.is_empty() { ground } else { 0.0 };
                let context = score + ground + model.relations.label_score(&labels);
                if context > FLOOR {
                    found.push(Hypothesis {
                        subject: (sentence, subject),
                        relation: id,
                        object: (sentence, object),
                        context,
                        grounded,
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
