//! One sentence as the relation model reads it: candidates, coordination, context, features.

mod feature;
mod group;
mod pair;
mod spelling;

pub(crate) use feature::{Feature, feature};
pub(crate) use group::{Reading, Side};
pub(crate) use pair::{PairFeatures, label_hits, pair_features};
pub(crate) use spelling::spelling_features;
