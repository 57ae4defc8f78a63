//! `quarry bench …`: calls measured against a baseline of the same run, and takeovers.

mod baseline;
mod conditions;
mod database;
mod entity;
mod load;
mod mesh;
mod meter;
mod plan;
mod report;
mod run;
mod snapshot;
mod store;
mod surface;
mod sweep;
mod takeover;

pub(crate) use run::run;
