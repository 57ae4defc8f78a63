//! What a node is told: defaults, a file, environment variables, flags; the later wins.
//!
//! [`catalogue`] names every key with its kind and default. Each layer is checked against it by
//! itself, so that every mistake is reported at once with its own place; the layers are then laid
//! over one another by the `config` crate, which keeps where each value came from, and read into
//! [`Settings`].

mod bytes;
mod catalogue;
mod environment;
mod file;
mod kind;
mod layer;
mod load;
mod mistake;
mod named;
mod rules;
mod secret;
mod settings;

pub(crate) use catalogue::template;
#[cfg(test)]
pub(crate) use file::parse as parse_file;
pub(crate) use layer::Layer;
pub(crate) use load::{Loaded, Shown, Sources, load};
#[cfg(test)]
pub(crate) use mistake::Mistake;
pub(crate) use mistake::Mistakes;
pub(crate) use secret::{Secret, mask_url};
pub(crate) use settings::{
    AfterQuarantine, Listen, LogFormat, NodeSettings, Settings, TypeSettings,
};
