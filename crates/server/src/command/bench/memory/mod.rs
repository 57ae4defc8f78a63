//! `quarry bench memory`: what entities that have nothing to do cost, in processes of their own.

mod process;
mod report;
mod run;

pub(crate) use process::run as process;
pub(crate) use run::run;
