//! `quarry extract`: texts to graphs, by a server or in this process.

mod extractor;
mod print;
mod run;
mod source;

pub(crate) use run::run;
pub(crate) use source::read_text;
