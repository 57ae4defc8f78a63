//! What a pack's examples teach: spans, classes of names, relations.
//!
//! Induction is deterministic: the same pack gives the same model, weight for weight.

mod class_model;
mod example;
mod gold;
mod grounds;
mod model;
mod relation_model;
mod weights;

pub(crate) use model::{Model, lessons, may_be_object, may_be_subject};
pub(crate) use relation_model::sigmoid;
