//! Which class a name is of, or whether it is of none: multinomial log-linear over spelling and
//! context.

use super::weights::{Weights, is_dropped, real, wide};
use crate::reading::{Feature, feature};

const EPOCHS: u64 = 25;
const DROPPED_PERCENT: u64 = 25;
/// Share of the probability that is spread evenly: names are often new.
const DOUBT: f64 = 0.08;

/// A trained model over the classes that have examples.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClassModel {
    /// The pack's classes and, last, none of them: what a sentence names without a fact about it.
    classes: usize,
    trained: Vec<bool>,
    weights: Weights,
}

impl ClassModel {
    /// Learns from features with their class; one past the last class is none of them.
    pub(super) fn train(classes: usize, samples: &[(Vec<Feature>, usize)]) -> Self {
        let classes = classes + 1;
        let mut weights = Weights::new(classes);
        let bias = weights.row(feature("bias", &[]));
        let rows: Vec<Vec<usize>> = samples
            .iter()
            .map(|(features, _)| {
                let mut rows = vec![bias];
                rows.extend(features.iter().map(|f| weights.row(*f)));
                rows
            })
            .collect();
        let mut trained = vec![false; classes];
        for (_, class) in samples {
            if let Some(trained) = trained.get_mut(*class) {
                *trained = true;
            }
        }
        let mut model = Self { classes, trained, weights };
        for epoch in 0..EPOCHS {
            for (at, (rows, (_, class))) in rows.iter().zip(samples).enumerate() {
                model.learn(epoch, at, rows, *class);
            }
        }
        model
    }

    fn learn(&mut self, epoch: u64, sample: usize, rows: &[usize], class: usize) {
        let kept: Vec<usize> = rows
            .iter()
            .copied()
            .filter(|row| !is_dropped(epoch, wide(sample), wide(*row), DROPPED_PERCENT))
            .collect();
        let probabilities = self.softmax(&kept);
        for (column, probability) in probabilities.iter().enumerate() {
            let target = if column == class { 1.0 } else { 0.0 };
            let gradient = probability - target;
            if gradient.abs() > 0.01 {
                for row in &kept {
                    self.weights.step(*row, column, gradient);
                }
            }
        }
    }

    fn softmax(&self, rows: &[usize]) -> Vec<f64> {
        let mut scores = vec![0.0; self.classes];
        for row in rows {
            self.weights.add_row(*row, &mut scores);
        }
        for (score, trained) in scores.iter_mut().zip(&self.trained) {
            if !trained {
                *score = f64::NEG_INFINITY;
            }
        }
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return vec![0.0; self.classes];
        }
        let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// The probability of each class and, last, of none. Without any example every class is equally
    /// likely.
    pub(crate) fn probabilities(&self, features: &[Feature]) -> Vec<f64> {
        let rows: Vec<usize> = core::iter::once(feature("bias", &[]))
            .chain(features.iter().copied())
            .filter_map(|f| self.weights.known(f))
            .collect();
        let even = 1.0 / real(self.classes.max(1));
        let sure = if self.trained.iter().any(|t| *t) { 1.0 - DOUBT } else { 0.0 };
        let spread = (1.0 - sure) * even;
        self.softmax(&rows).into_iter().map(|p| p * sure + spread).collect()
    }
}
