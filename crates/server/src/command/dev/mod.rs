//! `quarry dev`: one node in this process, or several as processes of their own.

mod banner;
mod fleet;
mod layout;
mod run;
mod warden;

pub(crate) use fleet::{Fleet, Plan};
pub(crate) use layout::{DevNode, Layout};
pub(crate) use run::run;
