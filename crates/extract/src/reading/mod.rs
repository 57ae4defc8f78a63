//! One sentence as the relation model reads it: candidates, coordination, context, features.

mod denial;
mod feature;
mod group;
mod label;
mod pair;
mod spelling;
mod spread;

pub(crate) use feature::{Feature, feature};
pub(crate) use group::{Reading, Side};
pub(crate) use label::label_hits;
pub(crate) use pair::{PairFeatures, pair_features};
pub(crate) use spelling::{label_before, spelling_features};
pub(crate) use spread::Places;
