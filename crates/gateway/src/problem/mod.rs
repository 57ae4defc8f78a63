//! Errors of the interface: what they are ([`Code`]), what is known of this one ([`Problem`]),
//! where they come from (`from`), and how they are written (`render`).

mod code;
mod from;
mod render;
mod value;

pub use code::Code;
pub(crate) use from::payload_field;
pub(crate) use render::{render, write};
pub use value::Problem;
