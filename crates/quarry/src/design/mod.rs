//! Design notes: why the parts are as they are.

#[doc = include_str!("delivery.md")]
pub mod delivery {}
