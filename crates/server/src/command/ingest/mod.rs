//! `quarry ingest`: many documents to a server, stopped and resumed at will.

mod document;
mod run;

pub(crate) use run::run;
