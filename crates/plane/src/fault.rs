//! What is wrong with the files of a node's credentials.

use std::path::PathBuf;

use quarry_types::NodeId;

/// What is wrong with one file of a node's credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}", path = path.display())]
pub struct FileFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is there and cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It does not hold what it is to hold.
    #[error("it holds no {wanted} in PEM")]
    Empty {
        /// What it is to hold.
        wanted: &'static str,
    },
    /// It holds something that is no PEM or nothing that can be used.
    #[error("its {what} cannot be used: {reason}")]
    Malformed {
        /// What it holds.
        what: &'static str,
        /// What is wrong with that.
        reason: String,
    },
    /// The certificate is over.
    #[error(
        "the certificate expired {} ago; make another with `quarry cluster certs`",
        in_words(*for_seconds)
    )]
    Expired {
        /// How long ago, in seconds.
        for_seconds: u64,
    },
    /// The certificate's time has not come.
    #[error(
        "the certificate is valid in {} only; is the clock of this machine right?",
        in_words(*in_seconds)
    )]
    NotYet {
        /// How long until then, in seconds.
        in_seconds: u64,
    },
    /// The certificate is of another authority.
    #[error("the certificate is not of the authority in cluster.tls.ca")]
    OtherAuthority,
    /// The certificate names another node, or none.
    #[error(
        "the certificate is for {found}, and this is node {node} of cluster {cluster:?}, which needs \
         {wanted}"
    )]
    OtherNode {
        /// The names it has.
        found: String,
        /// This node.
        node: NodeId,
        /// This node's cluster.
        cluster: String,
        /// The name it needs.
        wanted: String,
    },
    /// The key is not the certificate's.
    #[error("the key is not that of the certificate in cluster.tls.cert")]
    OtherKey,
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
