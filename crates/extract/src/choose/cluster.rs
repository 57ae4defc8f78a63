//! Mentions of one name, and what class it may be of.

use std::collections::BTreeMap;

use crate::induce::Model;
use crate::pack::{ClassId, Ontology};
use crate::reading::{Reading, label_before};
use crate::span::{Candidate, Form};
use crate::text::{Source, Token};

/// Share of a listed name's probability that it is something else of that name.
const OTHER_THING: f64 = 0.05;
/// The same for another spelling, such as an adjective of nationality.
const OTHER_THING_SPELLED: f64 = 0.002;
/// How much one sentence's relations may say about a class.
const STRONGEST_VOTE: f64 = 3.0;
/// How likely a name is of another class than the text calls it.
const CALLED_OTHERWISE: f64 = 0.02;
/// How well a name of which nothing is known fits any class.
const UNKNOWN_FIT: f64 = 0.9;

/// A candidate of a passage: sentence and position there.
pub(super) type Place = (usize, usize);

/// What a passage names once or often.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// The name as the text first has it.
    pub(super) name: String,
    pub(super) form: Form,
    /// Readings by the pack's lists.
    pub(super) listed: Vec<(ClassId, String)>,
    /// Log-probabilities of all classes and, last, of none; not normalised.
    scores: Vec<f64>,
    /// Normalised.
    probabilities: Vec<f64>,
    /// The pack shows no name of any class: a relation may make of it what it needs.
    is_open: bool,
    /// Decided by an accepted fact.
    pub(super) class: Option<ClassId>,
    pub(super) mentions: Vec<Place>,
}

impl Cluster {
    /// The probability that it is a member of one of the classes.
    pub(super) fn probability(&self, ontology: &Ontology, allowed: &[ClassId]) -> f64 {
        if let Some(class) = self.class {
            return if ontology.fits(class, allowed) { 1.0 } else { 1e-3 };
        }
        let fitting = ontology.class_ids().filter(|class| ontology.fits(*class, allowed));
        let (count, sum) = fitting.fold((0, 0.0), |(n, sum), class| (n + 1, sum + self.of(class)));
        if !self.is_open || count == 0 {
            return sum;
        }
        // As likely as its share of all classes says nothing against it.
        let classes = u32::try_from(ontology.classes().len()).unwrap_or(u32::MAX);
        let share = f64::from(count) / f64::from(classes.max(1));
        sum.max(UNKNOWN_FIT * (sum / share).min(1.0))
    }

    fn of(&self, class: ClassId) -> f64 {
        self.probabilities.get(usize::from(class.0)).copied().unwrap_or_default()
    }

    /// The likeliest class among those allowed, or among all.
    pub(super) fn best(&self, ontology: &Ontology, allowed: Option<&[ClassId]>) -> Option<ClassId> {
        if self.class.is_some() {
            return self.class;
        }
        let fits = |class: &ClassId| allowed.is_none_or(|allowed| ontology.fits(*class, allowed));
        let mut best: Option<(ClassId, f64)> = None;
        for class in ontology.class_ids().filter(fits) {
            if best.is_none_or(|(_, most)| self.of(class) > most) {
                best = Some((class, self.of(class)));
            }
        }
        best.map(|(class, _)| class)
    }

    pub(super) fn confidence(&self, class: ClassId) -> f64 {
        self.of(class)
    }

    /// The name that the graph carries for a class.
    pub(super) fn name_as(&self, class: ClassId) -> &str {
        let listed = self.listed.iter().find(|(known, _)| *known == class);
        listed.map_or(self.name.as_str(), |(_, name)| name.as_str())
    }

    /// Evidence from a relation in whose place it could stand.
    pub(super) fn vote(&mut self, ontology: &Ontology, allowed: &[ClassId], weight: f64) {
        let weight = weight.clamp(0.0, STRONGEST_VOTE);
        if self.form == Form::Listed {
            return;
        }
        for class in ontology.class_ids().filter(|class| ontology.fits(*class, allowed)) {
            if let Some(score) = self.scores.get_mut(usize::from(class.0)) {
                *score += weight;
            }
        }
    }

    pub(super) fn normalize(&mut self) {
        let most = self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = self.scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        self.probabilities = powers.into_iter().map(|power| power / sum.max(1e-12)).collect();
    }

    fn add_evidence(&mut self, probabilities: &[f64]) {
        for (score, probability) in self.scores.iter_mut().zip(probabilities) {
            *score += probability.max(1e-4).ln();
        }
    }
}

/// All clusters of a passage.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    pub(super) all: Vec<Cluster>,
    pub(super) of: BTreeMap<Place, usize>,
}

impl Clusters {
    pub(super) fn of_passage(
        ontology: &Ontology,
        model: &Model,
        source: &Source<'_>,
        tokens: &[Token],
        readings: &[Reading],
    ) -> Self {
        let mut clusters = Self::default();
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        for (sentence, reading) in readings.iter().enumerate() {
            for (at, candidate) in reading.candidates.iter().enumerate() {
                if matches!(candidate.form, Form::Literal | Form::Reference) {
                    continue;
                }
                let name = source.slice(candidate.start, candidate.end);
                let is_open = candidate.listed.is_empty() && ontology.sentences().is_empty();
                let probabilities = if is_open {
                    let called = label_before(tokens, &model.lexicon, candidate);
                    even(ontology, candidate, &called)
                } else if candidate.listed.is_empty() {
                    let features = reading.name_features(tokens, &model.lexicon, ontology, at);
                    let mut found = model.classes.probabilities(&features);
                    if candidate.form == Form::Phrase {
                        keep_only(ontology, &candidate.stands_for, &mut found);
                    }
                    found
                } else {
                    listed(ontology, candidate, name)
                };
                // A listed word may mean one thing here and another there (`French`).
                let shared = candidate.form != Form::Listed;
                let known = by_name.get(&key(name)).copied().filter(|_| shared);
                let index = known.unwrap_or_else(|| clusters.open(name, candidate, ontology));
                if let Some(cluster) = clusters.all.get_mut(index) {
                    cluster.is_open = is_open;
                }
                if shared {
                    by_name.insert(key(name), index);
                }
                clusters.of.insert((sentence, at), index);
                if let Some(cluster) = clusters.all.get_mut(index) {
                    cluster.mentions.push((sentence, at));
                    cluster.add_evidence(&probabilities);
                }
            }
        }
        clusters.lend_to_last_names(ontology);
        clusters.all.iter_mut().for_each(Cluster::normalize);
        clusters
    }

    fn open(&mut self, name: &str, candidate: &Candidate, ontology: &Ontology) -> usize {
        let classes = ontology.classes().len();
        self.all.push(Cluster {
            name: name.to_owned(),
            form: candidate.form,
            listed: candidate.listed.clone(),
            scores: vec![0.0; classes + 1],
            probabilities: Vec::new(),
            is_open: false,
            class: None,
            mentions: Vec::new(),
        });
        self.all.len() - 1
    }

    /// A last name alone shares what is known of the full name.
    fn lend_to_last_names(&mut self, ontology: &Ontology) {
        let shortens = |class: &ClassId| ontology.class(*class).is_some_and(shortens);
        let full: Vec<(String, Vec<f64>)> = self
            .all
            .iter()
            .filter_map(|c| {
                let (_, last) = c.name.rsplit_once(' ')?;
                Some((last.to_owned(), c.scores.clone()))
            })
            .collect();
        for cluster in &mut self.all {
            let Some((_, scores)) = full.iter().find(|(last, _)| *last == cluster.name) else {
                continue;
            };
            for class in ontology.class_ids().filter(shortens) {
                let at = usize::from(class.0);
                if let (Some(score), Some(known)) = (cluster.scores.get_mut(at), scores.get(at)) {
                    *score = score.max(*known) + 1.0;
                }
            }
        }
    }

    pub(super) fn at(&self, place: Place) -> Option<&Cluster> {
        self.all.get(*self.of.get(&place)?)
    }
}

/// May the last word of a full name stand for a member of this class?
pub(super) fn shortens(class: &crate::pack::Class) -> bool {
    !class.pronouns.iter().any(|pronoun| pronoun == "it")
}

/// A phrase is of the classes whose members are written so.
fn keep_only(ontology: &Ontology, classes: &[ClassId], probabilities: &mut [f64]) {
    for (id, probability) in ontology.class_ids().zip(probabilities.iter_mut()) {
        if !classes.contains(&id) {
            *probability = 0.0;
        }
    }
}

/// Every class alike, but for what the text calls it: *the architect X*. Of a phrase, those whose
/// members are written so.
fn even(ontology: &Ontology, candidate: &Candidate, called: &[ClassId]) -> Vec<f64> {
    let is_called = |class| called.is_empty() || ontology.fits(class, called);
    let of = |class| if is_called(class) { 1.0 } else { CALLED_OTHERWISE };
    let mut even: Vec<f64> = ontology.class_ids().map(of).chain([0.0]).collect();
    if candidate.form == Form::Phrase {
        keep_only(ontology, &candidate.stands_for, &mut even);
    }
    even
}

/// Names that differ in case only, or by an opening article, are one.
fn key(name: &str) -> String {
    let lower = name.to_lowercase();
    lower.strip_prefix("the ").map_or_else(|| lower.clone(), ToOwned::to_owned)
}

fn listed(ontology: &Ontology, candidate: &Candidate, surface: &str) -> Vec<f64> {
    let own_name = candidate.listed.iter().any(|(_, name)| name == surface);
    let other_thing = if own_name { OTHER_THING } else { OTHER_THING_SPELLED };
    let classes: Vec<ClassId> = candidate.listed.iter().map(|(class, _)| *class).collect();
    let count = |many: usize| f64::from(u32::try_from(many.max(1)).unwrap_or(u32::MAX));
    let others = (ontology.classes().len() + 1).saturating_sub(classes.len());
    let of = |class: ClassId| {
        if classes.contains(&class) {
            (1.0 - other_thing) / count(classes.len())
        } else {
            other_thing / count(others)
        }
    };
    ontology.class_ids().map(of).chain([other_thing / count(others)]).collect()
}
