//! `quarry ontology …`: packs listed, shown, checked and measured, without a server unless one is
//! named.

mod check;
mod eval;
mod load;
mod run;
mod show;

pub(crate) use load::{is_file, load};
pub(crate) use run::run;
