//! `quarry bench …`: calls measured against a baseline of the same run.

mod baseline;
mod conditions;
mod database;
mod entity;
mod load;
mod report;
mod run;
mod surface;

pub(crate) use run::run;
