//! What pronouns and definite descriptions stand for, and what a sentence is about.

use super::cluster::{Clusters, Place};
use super::hypothesis::{Hypothesis, hypotheses};
use super::passage::Passage;
use crate::induce::Model;
use crate::pack::{ClassId, Ontology};
use crate::span::Form;

/// How many sentences back an antecedent may stand.
const REACH: usize = 6;
/// Least probability that an antecedent is of the class.
const SURE: f64 = 0.5;
/// What it costs that a sentence does not name its subject.
const IMPLIED: f64 = 0.7;

/// Gives every reference the cluster of its antecedent, sentence by sentence.
pub(super) fn resolve(ontology: &Ontology, clusters: &mut Clusters, passage: &Passage<'_>) {
    for (sentence, reading) in passage.readings.iter().enumerate() {
        for (at, candidate) in reading.candidates.iter().enumerate() {
            if candidate.form != Form::Reference {
                continue;
            }
            let classes = wanted(ontology, &candidate.stands_for);
            let place = (sentence, at);
            if let Some(found) = antecedent(ontology, clusters, passage, place, &classes) {
                clusters.of.insert(place, found);
                if let Some(cluster) = clusters.all.get_mut(found) {
                    cluster.mentions.push(place);
                }
            }
        }
    }
}

/// Of the classes a reference may mean, those that can be subjects, if there are any.
fn wanted(ontology: &Ontology, classes: &[ClassId]) -> Vec<ClassId> {
    let domains = ontology.domains();
    let subjects: Vec<ClassId> =
        classes.iter().copied().filter(|class| ontology.fits(*class, &domains)).collect();
    if subjects.is_empty() { classes.to_vec() } else { subjects }
}

/// The first fitting mention of this sentence before the reference, else of the sentences before.
fn antecedent(
    ontology: &Ontology,
    clusters: &Clusters,
    passage: &Passage<'_>,
    (sentence, at): Place,
    classes: &[ClassId],
) -> Option<usize> {
    let fits = |place: &Place| {
        let index = *clusters.of.get(place)?;
        let cluster = clusters.all.get(index)?;
        (cluster.probability(ontology, classes) >= SURE).then_some(index)
    };
    let here = (0..at).map(|at| (sentence, at));
    if let Some(found) = here.into_iter().find_map(|place| fits(&place)) {
        return Some(found);
    }
    (sentence.saturating_sub(REACH)..sentence).rev().find_map(|earlier| {
        let count = passage.readings.get(earlier).map_or(0, |r| r.candidates.len());
        (0..count).find_map(|at| fits(&(earlier, at)))
    })
}

/// Hypotheses about the subject of the sentence before, for a sentence that names none.
pub(super) fn implied(
    ontology: &Ontology,
    model: &Model,
    clusters: &Clusters,
    passage: &Passage<'_>,
    sentence: usize,
) -> Vec<Hypothesis> {
    let domains = ontology.domains();
    let Some(reading) = passage.readings.get(sentence) else { return Vec::new() };
    let names_one = (0..reading.candidates.len()).any(|at| {
        clusters
            .at((sentence, at))
            .is_some_and(|c| c.form != Form::Listed && c.probability(ontology, &domains) >= SURE)
    });
    let Some(before) = sentence.checked_sub(1).filter(|_| !names_one) else { return Vec::new() };
    let count = passage.readings.get(before).map_or(0, |reading| reading.candidates.len());
    let found = antecedent(ontology, clusters, passage, (before, count), &domains);
    let Some(index) = found else { return Vec::new() };
    let mention = clusters
        .all
        .get(index)
        .and_then(|cluster| cluster.mentions.iter().filter(|(s, _)| *s < sentence).max().copied());
    let Some(subject) = mention else { return Vec::new() };
    let mut found = Vec::new();
    let alone = passage.with_implied_subject(sentence);
    let mut named = Clusters { all: clusters.all.clone(), of: clusters.of.clone() };
    named.of.retain(|(s, _), _| *s != sentence);
    named.of.insert((sentence, 0), index);
    for at in 0..reading.candidates.len() {
        if let Some(cluster) = clusters.of.get(&(sentence, at)) {
            named.of.insert((sentence, at + 1), *cluster);
        }
    }
    for hypothesis in hypotheses(ontology, model, &named, &alone, sentence) {
        if hypothesis.subject.1 == 0 && hypothesis.object.1 > 0 {
            found.push(Hypothesis {
                subject,
                object: (sentence, hypothesis.object.1 - 1),
                context: hypothesis.context - IMPLIED,
                implied: true,
                ..hypothesis
            });
        }
    }
    found
}
