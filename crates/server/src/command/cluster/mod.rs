//! `quarry cluster …`: looks at a running cluster and changes it; makes certificates for one.

mod certs;
mod drain;
mod moves;
mod run;
mod split;
mod voters;

pub(crate) use run::{run, seen_at};
