//! `quarry bench activation`: calls to dormant entities, whose states are read from the store.

mod process;
mod run;

pub(crate) use process::run as process;
pub(crate) use run::run;
