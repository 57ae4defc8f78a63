//! What every [`Store`] promises, as named checks over real adapters.
//!
//! A crate with an adapter implements [`OpenStore`] for a fresh database and calls
//! [`store_contract!`](crate::store_contract) with a function that makes one; each check becomes a
//! test of its own name.

mod broken;
mod chunks;
mod commits;
mod crowd;
mod discard;
mod every;
mod fence;
mod journal;
mod model;
mod open;
mod owner;
mod people;
mod retention;
mod sends;
mod split;

pub use broken::{Broken, OpenStore};
pub(crate) use broken::{holds, same};
pub use chunks::*;
pub use commits::*;
pub use crowd::*;
pub use discard::*;
pub use fence::*;
pub use journal::*;
pub use model::*;
pub use open::*;
pub use owner::{Owner, SHARDS, address_in, message, range_of, success};
pub use people::*;
pub use retention::*;
pub use sends::*;
pub use split::*;
