//! The joint choice of classes, references and facts over one chunk.
//!
//! First every sentence is scored by itself and votes for the classes of its names. With those,
//! pronouns and descriptions get their antecedents. Then all hypotheses of the chunk are taken in
//! the order of their score, as long as domain, range and functional relations allow.

mod antecedent;
mod cluster;
mod fact;
mod hypothesis;
mod passage;

pub(crate) use passage::Passage;
