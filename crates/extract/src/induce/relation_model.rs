//! Which relations hold between two candidates: one log-linear model per relation over the
//! context of both, and one shared by all over labels and position.

use super::grounds::{Ground, Grounds};
use super::weights::{Weights, is_dropped, wide};
use crate::reading::{Feature, PairFeatures, feature};

pub(crate) use super::weights::sigmoid;

const EPOCHS: u64 = 20;
/// How much a pair counts whose classes rule the relation out anyway.
const MISFIT_WEIGHT: f64 = 0.1;
/// Parts into which the examples are divided to choose the cut.
const FOLDS: usize = 5;
/// Fewer known facts than this say nothing about the cut.
const LEAST_FACTS: u32 = 20;
/// How much recall weighs against precision where the cut is chosen, as in an F measure (beta
/// squared): a fact that is wrong costs a reader more than one that is missing.
const RECALL: f64 = 0.7;
/// How far the cut may move.
const FARTHEST_CUT: f64 = 2.0;
const DROPPED_PERCENT: u64 = 30;
/// How much the silence of all words counts: precision on the packs' own sentences, each fifth read
/// by the others, grows with it up to here.
const SILENCE: f64 = 1.5;

/// A pair with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) pair: PairFeatures,
    /// Per relation what is known; `None` where the kinds of subject and object rule it out.
    pub(super) relations: Vec<Option<Known>>,
    /// The example that the pair is from.
    pub(super) example: usize,
}

/// What an example says of a pair and a relation.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Where the relation's labels stand.
    pub(super) labels: Vec<Feature>,
    /// The relation holds.
    pub(super) holds: bool,
    /// Nothing known of the classes rules it out.
    pub(super) fits: bool,
    /// No word around the pair speaks for the relation.
    pub(super) silent: bool,
}

impl Sample {
    /// Notes for which relations neither a label nor any other word speaks.
    fn weigh(&mut self, grounds: &Grounds) {
        let may: Vec<bool> = self.relations.iter().map(Option::is_some).collect();
        let said = grounds.of(&self.pair, &may, Some(self.example));
        for (known, ground) in self.relations.iter_mut().zip(said) {
            if let Some(known) = known {
                known.silent = !ground.speaks && known.labels.is_empty();
            }
        }
    }
}

/// What it costs each relation that no word speaks for it: the less, the more of its own examples
/// have none.
fn silence(relations: usize, samples: &[Sample]) -> Vec<f64> {
    let mut counts = vec![(0.0_f64, 0.0_f64); relations];
    for sample in samples {
        for (known, (all, silent)) in sample.relations.iter().zip(&mut counts) {
            if let Some(known) = known.as_ref().filter(|known| known.holds) {
                *all += 1.0;
                *silent += f64::from(known.silent);
            }
        }
    }
    let cost = |(all, silent): (f64, f64)| ((silent + 0.5) / (all + 1.0)).ln();
    counts.into_iter().map(|counts| SILENCE * cost(counts)).collect()
}

/// Trained weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelationModel {
    relations: usize,
    /// Relations with examples.
    trained: Vec<bool>,
    own: Weights,
    shared: Weights,
    grounds: Grounds,
    /// Added to a relation's score where no word speaks for it.
    silence: Vec<f64>,
    /// Added to every score, so that zero is the best place to cut.
    offset: f64,
}

struct Row {
    own: Vec<usize>,
    shared: Vec<usize>,
    relations: Vec<Option<(Vec<usize>, bool, f64)>>,
}

impl RelationModel {
    /// Learns from all samples. Where to cut is chosen on examples that a model has not seen:
    /// each of five models is trained without a fifth of the examples and judged on it.
    pub(super) fn train(relations: usize, mut samples: Vec<Sample>) -> Self {
        let grounds = Grounds::learn(&samples);
        for sample in &mut samples {
            sample.weigh(&grounds);
        }
        let samples = samples.as_slice();
        let silence = silence(relations, samples);
        let mut judged = Vec::new();
        for fold in 0..FOLDS {
            let seen = samples.iter().filter(|sample| sample.example % FOLDS != fold);
            let model = Self::fit(relations, seen);
            for sample in samples.iter().filter(|sample| sample.example % FOLDS == fold) {
                model.judge(sample, &silence, &mut judged);
            }
        }
        let mut model = Self::fit(relations, samples.iter());
        model.offset = -best_cut(judged);
        (model.grounds, model.silence) = (grounds, silence);
        model
    }

    /// Scores of an unseen sample with the truth.
    fn judge(&self, sample: &Sample, silence: &[f64], judged: &mut Vec<(f64, bool)>) {
        let scores = self.scores(&sample.pair);
        for (column, (score, known)) in scores.into_iter().zip(&sample.relations).enumerate() {
            let Some(known) = known.as_ref().filter(|known| known.fits) else { continue };
            if self.is_trained(column) {
                let silence = silence.get(column).copied().filter(|_| known.silent);
                let score = score + self.label_score(&known.labels) + silence.unwrap_or_default();
                judged.push((score, known.holds));
            }
        }
    }

    fn fit<'a>(relations: usize, samples: impl Iterator<Item = &'a Sample>) -> Self {
        let mut model = Self {
            offset: 0.0,
            relations,
            trained: vec![false; relations],
            own: Weights::new(relations),
            shared: Weights::new(1),
            grounds: Grounds::default(),
            silence: Vec::new(),
        };
        model.set_prior();
        let rows: Vec<Row> = samples.map(|sample| model.rows(sample)).collect();
        for epoch in 0..EPOCHS {
            for (at, row) in rows.iter().enumerate() {
                model.learn(epoch, wide(at), row);
            }
        }
        model
    }

    /// Where the shared weights start: labels nearby speak for a relation, distance against it.
    fn set_prior(&mut self) {
        let bias = self.shared.row(feature("shared-bias", &[]));
        self.shared.set(bias, 0, -2.5);
        let any = self.shared.row(feature("label-any", &[]));
        self.shared.set(any, 0, 1.0);
        for (place, weight) in [("oL3", 1.5), ("oR3", 1.2), ("sR", 0.8), ("sL", 0.8)] {
            for order in ["s<o", "o<s"] {
                let row = self.shared.row(feature("label", &[place, order]));
                self.shared.set(row, 0, weight);
            }
        }
        let passed = self.shared.row(feature("agent-and", &[]));
        self.shared.set(passed, 0, -1.0);
        for (way, weight) in [("along", 3.5), ("against", -4.0)] {
            let row = self.shared.row(feature("label-way", &[way]));
            self.shared.set(row, 0, weight);
        }
        for (rank, weight) in [("0", 0.5), ("1", -0.5), ("2", -1.0), ("3", -1.5)] {
            for order in ["s<o", "o<s"] {
                let row = self.shared.row(feature("rank", &[order, rank]));
                self.shared.set(row, 0, weight);
            }
        }
    }

    fn rows(&mut self, sample: &Sample) -> Row {
        let own = sample.pair.own.iter().map(|f| self.own.row(*f)).collect();
        let mut shared: Vec<usize> =
            sample.pair.shared.iter().map(|f| self.shared.row(*f)).collect();
        shared.push(self.shared.row(feature("shared-bias", &[])));
        let mut relations = Vec::new();
        for (at, known) in sample.relations.iter().enumerate() {
            relations.push(known.as_ref().map(|Known { labels, holds, fits, .. }| {
                if *holds && let Some(trained) = self.trained.get_mut(at) {
                    *trained = true;
                }
                let weight = if *fits { 1.0 } else { MISFIT_WEIGHT };
                (labels.iter().map(|f| self.shared.row(*f)).collect(), *holds, weight)
            }));
        }
        Row { own, shared, relations }
    }

    fn learn(&mut self, epoch: u64, sample: u64, row: &Row) {
        let own: Vec<usize> = row
            .own
            .iter()
            .copied()
            .filter(|r| !is_dropped(epoch, sample, wide(*r), DROPPED_PERCENT))
            .collect();
        let mut scores = vec![0.0; self.relations];
        for r in &own {
            self.own.add_row(*r, &mut scores);
        }
        let base: f64 = row.shared.iter().map(|r| self.shared.get(*r, 0)).sum();
        for (column, known) in row.relations.iter().enumerate() {
            let Some((labels, holds, weight)) = known else { continue };
            if !self.is_trained(column) {
                continue;
            }
            let label: f64 = labels.iter().map(|r| self.shared.get(*r, 0)).sum();
            let score = scores.get(column).copied().unwrap_or_default() + base + label;
            let target = if *holds { 1.0 } else { 0.0 };
            let gradient = (sigmoid(score) - target) * weight;
            if gradient.abs() < 0.01 {
                continue;
            }
            for r in &own {
                self.own.step(*r, column, gradient);
            }
            for r in row.shared.iter().chain(labels) {
                self.shared.step(*r, 0, gradient);
            }
        }
    }

    /// Has the relation examples of its own?
    pub(crate) fn is_trained(&self, relation: usize) -> bool {
        self.trained.get(relation).copied().unwrap_or(false)
    }

    /// The log-odds of every relation from the pair's own context, without labels.
    pub(crate) fn scores(&self, pair: &PairFeatures) -> Vec<f64> {
        let mut scores = vec![0.0; self.relations];
        for row in pair.own.iter().filter_map(|f| self.own.known(*f)) {
            self.own.add_row(row, &mut scores);
        }
        let base = self.sum(&pair.shared) + self.sum(&[feature("shared-bias", &[])]) + self.offset;
        for (column, score) in scores.iter_mut().enumerate() {
            *score = if self.is_trained(column) { *score + base } else { base };
        }
        scores
    }

    /// What the words around a pair add to each relation that `may` hold, and whether one of them is
    /// its own. Of a relation without examples no word is known.
    pub(crate) fn grounds(&self, pair: &PairFeatures, may: &[bool]) -> Vec<(f64, bool)> {
        let grounds = self.grounds.of(pair, may, None);
        let of = |(at, ground): (usize, Ground)| {
            let silence = self.silence.get(at).copied().filter(|_| !ground.speaks);
            if self.is_trained(at) {
                (silence.unwrap_or_default(), ground.own)
            } else {
                (0.0, true)
            }
        };
        grounds.into_iter().enumerate().map(of).collect()
    }

    /// What label features add.
    pub(crate) fn label_score(&self, labels: &[Feature]) -> f64 {
        self.sum(labels)
    }

    fn sum(&self, features: &[Feature]) -> f64 {
        features
            .iter()
            .filter_map(|f| self.shared.known(*f))
            .map(|row| self.shared.get(row, 0))
            .sum()
    }
}

/// The score above which taking every pair gives the best balance of precision and recall on unseen
/// examples.
fn best_cut(mut judged: Vec<(f64, bool)>) -> f64 {
    judged.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let facts = judged.iter().fold(0_u32, |sum, (_, holds)| sum + u32::from(*holds));
    if facts < LEAST_FACTS {
        return 0.0;
    }
    let (mut right, mut taken) = (0_u32, 0_u32);
    let (mut best, mut cut) = (0.0, 0.0);
    for (score, holds) in judged {
        taken += 1;
        right += u32::from(holds);
        let balance = f64::from(right) / (f64::from(taken) + RECALL * f64::from(facts));
        if balance > best {
            best = balance;
            cut = score;
        }
    }
    cut.clamp(-FARTHEST_CUT, FARTHEST_CUT)
}
