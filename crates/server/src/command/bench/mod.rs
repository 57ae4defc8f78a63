//! `quarry bench …`: calls and what else a node does, measured against a baseline of the same run.

mod activation;
mod baseline;
mod child;
mod chunks;
mod conditions;
mod database;
mod device;
mod entity;
mod load;
mod memory;
mod mesh;
mod meter;
mod plan;
mod report;
mod run;
mod sends;
mod snapshot;
mod store;
mod surface;
mod sweep;
mod takeover;
mod wait;

pub(crate) use run::run;
