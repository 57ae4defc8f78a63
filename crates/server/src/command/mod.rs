//! What the commands do, one file each.

mod batch;
mod bench;
mod cluster;
mod completions;
mod config;
mod connection;
mod dev;
mod dispatch;
mod doctor;
mod entity;
mod extract;
mod ingest;
mod journal;
mod message;
mod ontology;
mod operate;
mod payload;
mod placement;
mod send;
mod serve;
mod sim;
mod status;

pub(crate) use dispatch::run;
