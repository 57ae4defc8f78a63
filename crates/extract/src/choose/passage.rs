//! One chunk of text, read and decided.

use super::antecedent;
use super::cluster::Clusters;
use super::fact::{Choice, choose};
use super::hypothesis::{Hypothesis, fit, hypotheses};
use crate::graph::Fragment;
use crate::induce::Model;
use crate::pack::{Ontology, Range};
use crate::reading::Reading;
use crate::span::{Candidate, candidates};
use crate::text::{Chunk, Source, Token, sentences, tokenize};

/// How much what a name seems to be weighs against what a relation would make of it.
const OWN_OPINION: f64 = 1.0;

/// A chunk with its sentences read.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    pub(super) ontology: &'a Ontology,
    pub(super) model: &'a Model,
    pub(super) source: Source<'a>,
    pub(super) tokens: Vec<Token>,
    pub(super) readings: Vec<Reading>,
}

impl<'a> Passage<'a> {
    /// Reads a text.
    pub(crate) fn read(ontology: &'a Ontology, model: &'a Model, text: &'a str) -> Self {
        let source = Source::new(text);
        let tokens = tokenize(&source);
        let readings = sentences(&source, &tokens)
            .into_iter()
            .map(|range| {
                let found = candidates(&tokens, range.clone(), &model.lexicon);
                Reading::new(ontology, &tokens, range, found, &model.lexicon.context)
            })
            .collect();
        Self { ontology, model, source, tokens, readings }
    }

    /// The same passage where one sentence starts with a reference of no width: its implied subject.
    pub(super) fn with_implied_subject(&self, sentence: usize) -> Passage<'a> {
        let mut readings = Vec::new();
        for (at, reading) in self.readings.iter().enumerate() {
            if at != sentence {
                // Only the sentence in question is read again.
                readings.push(Reading { candidates: Vec::new(), ..reading.clone() });
                continue;
            }
            let start = reading.sentence.start;
            let domains = self.ontology.domains();
            let mut candidates = vec![Candidate::implied(&self.tokens, start, domains)];
            candidates.extend(reading.candidates.iter().cloned());
            let context = &self.model.lexicon.context;
            let range = reading.sentence.clone();
            readings.push(Reading::new(self.ontology, &self.tokens, range, candidates, context));
        }
        Passage {
            ontology: self.ontology,
            model: self.model,
            source: Source::new(self.source.slice(0, self.source.len())),
            tokens: self.tokens.clone(),
            readings,
        }
    }

    /// Decides the facts of the passage.
    pub(crate) fn decide(&self, chunk: Chunk, least_confidence: f64) -> Fragment {
        let (ontology, model) = (self.ontology, self.model);
        let mut clusters =
            Clusters::of_passage(ontology, model, &self.source, &self.tokens, &self.readings);
        for sentence in 0..self.readings.len() {
            let found = hypotheses(ontology, model, &clusters, self, sentence);
            self.vote(&mut clusters, &found);
        }
        clusters.all.iter_mut().for_each(super::cluster::Cluster::normalize);
        antecedent::resolve(ontology, &mut clusters, self);
        let mut all: Vec<Hypothesis> = Vec::new();
        for sentence in 0..self.readings.len() {
            all.extend(hypotheses(ontology, model, &clusters, self, sentence));
            all.extend(antecedent::implied(ontology, model, &clusters, self, sentence));
        }
        let Choice { accepted, refused } =
            choose(ontology, self, &mut clusters, all, least_confidence);
        self.fragment(&clusters, &accepted, refused, chunk)
    }

    /// Strong hypotheses speak for the classes of what they would relate.
    fn vote(&self, clusters: &mut Clusters, found: &[Hypothesis]) {
        let mut votes = Vec::new();
        for hypothesis in found {
            let (subject, object) = fit(self.ontology, clusters, hypothesis);
            // Each side is judged by the other more than by what it seems to be itself.
            let (subject, object) = (subject.max(1e-4).ln(), object.max(1e-4).ln());
            let for_subject = hypothesis.context + object + OWN_OPINION * subject;
            let for_object = hypothesis.context + subject + OWN_OPINION * object;
            votes.push((hypothesis, for_subject, for_object));
        }
        for (hypothesis, for_subject, for_object) in votes {
            let Some(relation) = self.ontology.relation(hypothesis.relation) else { continue };
            let index = clusters.of.get(&hypothesis.subject).copied();
            if let Some(cluster) = index.and_then(|index| clusters.all.get_mut(index)) {
                cluster.vote(self.ontology, &relation.domain, for_subject);
            }
            if let Range::Classes(classes) = &relation.range {
                let index = clusters.of.get(&hypothesis.object).copied();
                if let Some(cluster) = index.and_then(|index| clusters.all.get_mut(index)) {
                    cluster.vote(self.ontology, classes, for_object);
                }
            }
        }
    }
}
