//! Which words speak for a relation, counted from the examples.
//!
//! A sum of weights cannot say *on* with *died* and not without. So each relation is also asked
//! whether any word around a pair stands in examples of the relation, and how often there the
//! relation holds. Of an example itself only what the others show is counted.

use std::collections::{BTreeSet, HashMap};

use super::relation_model::Sample;
use super::weights::real;
use crate::reading::{Feature, PairFeatures};

/// A word is a relation's own if it speaks for none much more.
const OWN: f64 = 0.6;

/// How a relation's examples use a word at a place.
#[derive(Clone, Debug)]
struct Use {
    relation: usize,
    /// Examples in which it stands by a pair of the relation.
    examples: BTreeSet<usize>,
    /// Pairs by which it stands where the relation could hold and does not.
    others: usize,
}

/// What the words around a pair say for a relation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ground {
    /// A word stands by pairs of the relation in other examples.
    pub(super) speaks: bool,
    /// One that is about the object speaks for no other relation more that may hold here: *written* for the writer,
    /// and not *directed*, though who directs often writes.
    pub(super) own: bool,
}

/// The uses of all words.
#[derive(Clone, Debug, Default)]
pub(super) struct Grounds {
    uses: HashMap<Feature, Vec<Use>>,
}

impl Grounds {
    pub(super) fn learn(samples: &[Sample]) -> Self {
        let mut grounds = Self::default();
        for sample in samples {
            for (relation, known) in sample.relations.iter().enumerate() {
                if known.as_ref().is_some_and(|known| known.holds) {
                    grounds.count(sample, relation);
                }
            }
        }
        for sample in samples {
            for (word, _) in sample.pair.all_words() {
                for found in grounds.uses.get_mut(word).into_iter().flatten() {
                    let known = sample.relations.get(found.relation).and_then(Option::as_ref);
                    let other = known.is_some_and(|known| known.fits && !known.holds);
                    found.others += usize::from(other);
                }
            }
        }
        grounds
    }

    fn count(&mut self, sample: &Sample, relation: usize) {
        for (word, _) in sample.pair.all_words() {
            let uses = self.uses.entry(*word).or_default();
            if let Some(found) = uses.iter_mut().find(|found| found.relation == relation) {
                found.examples.insert(sample.example);
            } else {
                let examples = BTreeSet::from([sample.example]);
                uses.push(Use { relation, examples, others: 0 });
            }
        }
    }

    /// What the words around a pair say for each of the relations, as far as they `may` hold.
    /// `own` is the example that the pair is from, which does not count.
    pub(super) fn of(&self, pair: &PairFeatures, may: &[bool], own: Option<usize>) -> Vec<Ground> {
        let mut grounds = vec![Ground::default(); may.len()];
        let known = |(word, near)| Some((self.uses.get(word)?, near));
        for (uses, near) in pair.all_words().filter_map(known) {
            let holds = |found: &&Use| may.get(found.relation).copied().unwrap_or(false);
            let uses = uses.iter().filter(holds);
            let shares = uses.clone().map(|found| found.share(own));
            let most = shares.clone().fold(0.0, f64::max);
            for (found, share) in uses.zip(shares) {
                if let Some(ground) = grounds.get_mut(found.relation).filter(|_| share > 0.0) {
                    ground.speaks = true;
                    ground.own |= near && share >= OWN * most;
                }
            }
        }
        grounds
    }
}

impl Use {
    /// The share of the pairs by the word of which the relation holds.
    fn share(&self, own: Option<usize>) -> f64 {
        let itself = own.is_some_and(|own| self.examples.contains(&own));
        let examples = real(self.examples.len() - usize::from(itself));
        examples / (examples + real(self.others)).max(1.0)
    }
}
