//! `quarry bench takeover`: a process finds a backlog that one before it left when it was killed.

mod entity;
mod fill;
mod process;
mod report;
mod run;
mod serve;

pub(crate) use process::run as node;
pub(crate) use run::run;
