//! Design notes: why the parts are as they are.

#[doc = include_str!("cluster.md")]
pub mod cluster {}

#[doc = include_str!("delivery.md")]
pub mod delivery {}

#[doc = include_str!("store.md")]
pub mod store {}

#[doc = include_str!("mesh.md")]
pub mod mesh {}

#[doc = include_str!("extraction.md")]
pub mod extraction {}

#[doc = include_str!("proof.md")]
pub mod proof {}

#[doc = include_str!("changes.md")]
pub mod changes {}
