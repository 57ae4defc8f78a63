//! Candidate spans: the pieces of a sentence that may be subject or object of a fact.

mod candidate;
mod duration;
mod gazetteer;
mod generate;
mod joins;
mod literal;
mod names;
mod titles;

pub(crate) use candidate::{Candidate, Form, Value};
pub(crate) use gazetteer::Gazetteer;
pub(crate) use generate::{Lexicon, candidates};
pub(crate) use joins::{Joins, begins};
pub(crate) use literal::literal_at;
