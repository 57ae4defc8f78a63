//! `quarry ontology …`: packs checked and measured in this process, ontologies of a server listed,
//! shown, put and removed.

mod check;
mod eval;
mod load;
mod put;
mod remove;
mod run;
mod show;

pub(crate) use load::{is_file, load, server};
pub(crate) use run::run;
