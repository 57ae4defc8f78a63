//! Joins the parts into a running node.
//!
//! `running` is the one place that knows the order: listeners, store, mesh, coordinator, identity,
//! runner, HTTP; and the reverse one at the end.

mod addresses;
mod directory;
mod guard;
mod limits;
mod listen;
mod mark;
mod parts;
mod phases;
mod ready;
mod recover;
mod registry;
mod running;
mod signal;
mod telemetry;

pub(crate) use directory::{create as create_directory, ensure_cookie, read_cookie};
pub(crate) use guard::protection;
pub(crate) use listen::{Port, free_port, is_free};
pub(crate) use phases::Phases;
pub(crate) use quarry_consensus::Recovery;
pub(crate) use ready::until_all_ready;
pub(crate) use registry::Hosted;
pub(crate) use running::RunningNode;
pub(crate) use signal::Signals;
pub(crate) use telemetry::{LogDefaults, start_telemetry};
