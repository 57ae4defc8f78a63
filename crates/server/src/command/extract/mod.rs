//! `quarry extract`: texts to graphs, by a server or in this process.

mod extractor;
mod print;
mod run;

pub(crate) use run::run;
