//! What guards both planes of a cluster, the control plane and the message plane: who may speak
//! there, and what becomes of those who may not.
//!
//! * [`Cookie`]: the secret that all nodes share; each plane asks for it in its own protocol.
//! * [`Credentials`]: a node's certificate of the cluster's authority, checked as it is read.
//! * [`Authority`]: makes such certificates.
//! * [`Security`]: makes a connection what it is to be: as it came, or mutual TLS where each side
//!   has proved which node of the cluster it is.
//! * [`Protocol`]: which versions a node speaks, so that neighbours of a release run side by side.
//! * [`Refusals`]: counts what is refused, and says it once per peer.

mod authority;
mod cookie;
mod credentials;
mod fault;
mod names;
mod protocol;
mod refusal;
mod security;
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

pub use authority::{Authority, AuthorityError, Issued, Validity};
pub use cookie::{Cookie, CookieError};
pub use credentials::{Credentials, Files};
pub use fault::{Fault, FileFault};
pub use names::{is_cluster_label, node_name};
pub use protocol::Protocol;
pub use refusal::{Refusal, Refusals};
pub use security::{Secured, Security, SecurityError};
pub use stream::Stream;
