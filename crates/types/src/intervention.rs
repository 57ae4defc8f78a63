//! What an operator does to a message.

use alloc::string::ToString;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// What an operator does to a message. Doing the same again changes nothing and is answered in the
/// same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intervention {
    /// Ends it, whatever it waits for: it is not handled any more. A run of it is given up.
    Cancel,
    /// Lets one that was set aside run again, with all its attempts before it, behind what its
    /// entity has in hand.
    Redrive {
        /// The argument to run with from now on; `None` for the one that it has.
        payload: Option<Bytes>,
    },
    /// Ends one that was set aside.
    Drop,
}

impl Intervention {
    /// The outcome of a message that it ends.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let (code, message) = match self {
            Self::Cancel => ("cancelled", "an operator cancelled the message"),
            Self::Drop => ("dropped", "an operator dropped the message, which was set aside"),
            Self::Redrive { .. } => return None,
        };
        Some(Failure { code: code.to_string(), message: message.to_string() })
    }
}
