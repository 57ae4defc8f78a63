//! `quarry bench volatile --nodes N`: volatile calls from a node that owns nothing to nodes in processes
//! of their own, beside a plain framed echo over TCP in as many processes.

mod cluster;
mod echo;
mod echo_server;
mod figures;
mod processes;
mod report;
mod run;

pub(crate) use echo_server::run as echo_server;
pub(crate) use run::run;
