//! Sparse rows of weights, trained with `AdaGrad`.

use std::collections::HashMap;

use crate::reading::Feature;

/// Step size of `AdaGrad`.
const STEP: f64 = 0.3;
/// Pull towards the starting weight at each touch (L2).
const DECAY: f64 = 1e-3;

/// A table of weights: one row per feature, one column per output.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    width: usize,
    rows: HashMap<Feature, usize>,
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Weights {
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// The row of a feature, made if it is new.
    pub(super) fn row(&mut self, feature: Feature) -> usize {
        let next = self.rows.len();
        let row = *self.rows.entry(feature).or_insert(next);
        let size = self.rows.len() * self.width;
        if self.values.len() < size {
            self.values.resize(size, 0.0);
            self.squares.resize(size, 1e-2);
        }
        row
    }

    /// The row of a feature that was seen in training.
    pub(super) fn known(&self, feature: Feature) -> Option<usize> {
        self.rows.get(&feature).copied()
    }

    pub(super) fn set(&mut self, row: usize, column: usize, value: f64) {
        if let Some(weight) = self.values.get_mut(row * self.width + column) {
            *weight = value;
        }
    }

    pub(super) fn get(&self, row: usize, column: usize) -> f64 {
        self.values.get(row * self.width + column).copied().unwrap_or_default()
    }

    /// Adds a row to a vector of outputs.
    pub(super) fn add_row(&self, row: usize, outputs: &mut [f64]) {
        let start = row * self.width;
        let values = self.values.get(start..start + self.width).unwrap_or_default();
        for (output, value) in outputs.iter_mut().zip(values) {
            *output += value;
        }
    }

    /// One step against a gradient.
    pub(super) fn step(&mut self, row: usize, column: usize, gradient: f64) {
        let at = row * self.width + column;
        if let (Some(value), Some(square)) = (self.values.get_mut(at), self.squares.get_mut(at)) {
            let gradient = gradient + DECAY * *value;
            *square += gradient * gradient;
            *value -= STEP * gradient / square.sqrt();
        }
    }
}

/// The logistic function.
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Is a feature left out of this step? A fixed hash decides, so training is reproducible.
pub(super) fn is_dropped(epoch: u64, sample: u64, row: u64, percent: u64) -> bool {
    let mut hash = epoch
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(sample.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(row.wrapping_mul(0x94d0_49bb_1331_11eb));
    hash ^= hash >> 31;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    hash % 100 < percent
}

/// A count as a number to compute with; counts here are far below 2^32.
pub(super) fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A position as a hash input.
pub(super) fn wide(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
