//! What is refused, counted, and said once per peer.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::IntCounterVec;
use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $text:literal;)*) => {
        /// Why a connection, a call or a frame is refused. Nodes tell it to one another: new ones
        /// come last.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
            thiserror::Error,
        )]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Refusal {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in metrics, and between nodes.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

refusals! {
    /// What came is no greeting, no call or no frame.
    Garbage = "garbage", "it does not speak the protocol of the plane";
    /// A greeting, a call or a frame is larger than any may be.
    Oversized = "oversized", "what it sent is over the size limit";
    /// The protocol version is unknown.
    Version = "version", "it speaks another version of the protocol";
    /// Another cluster's node.
    Cluster = "cluster", "it belongs to another cluster";
    /// The shared secret, or the proof of it, is wrong.
    Cookie = "cookie", "its cookie is another one";
    /// Not the node that was meant, or this node itself.
    Node = "node", "it is not the node that was meant";
    /// It took too long to prove who it is.
    Deadline = "deadline", "it did not prove in time who it is";
    /// Too many connections have not proved who they are.
    Busy = "busy", "too many connections have not proved who they are";
    /// A connection that came to the substrate of the mesh past our listener.
    Bypass = "bypass", "it came past the listener of the mesh";
    /// A frame for a link that is gone.
    Stale = "stale", "its link is gone";
    /// A chunk that does not fit, or too many at once.
    Chunk = "chunk", "its chunks do not fit together";
    /// More unanswered requests than one peer may have, or more replies than may wait.
    Overload = "overload", "too much of it waits already";
    /// It did not begin with TLS.
    Plaintext = "plaintext", "it does not speak TLS, and has to here";
    /// It began with TLS, and this node has none.
    Tls = "tls", "it speaks TLS, and this node is configured without";
    /// It showed no certificate.
    NoCertificate = "no_certificate", "it showed no certificate";
    /// Its certificate is of another authority.
    Authority = "authority", "its certificate is not of this cluster's authority";
    /// Its certificate is over, or not valid yet.
    Expired = "expired", "its certificate is not valid at this time";
    /// Its certificate cannot be used for anything else.
    Certificate = "certificate", "its certificate cannot be used";
    /// It ended before it had proved who it is.
    Unproven = "unproven", "it went before it had proved who it is";
}

impl Refusal {
    /// The refusal of this label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.label() == label)
    }

    /// A number from 1 on, under which nodes tell it to one another in one byte.
    pub(crate) fn code(self) -> u8 {
        let place = Self::ALL.iter().position(|refusal| *refusal == self);
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(u8::MAX)
    }

    /// The refusal under this number; one of a newer program is taken for the certificate's.
    pub(crate) fn of_code(code: u8) -> Self {
        let place = usize::from(code).checked_sub(1);
        place.and_then(|place| Self::ALL.get(place)).copied().unwrap_or(Self::Certificate)
    }
}

/// Counts the refusals of one plane, and logs each reason once per peer. A peer of another version is
/// counted once too: it asks again and again until somebody upgrades it.
#[derive(Debug)]
pub struct Refusals {
    plane: &'static str,
    counter: IntCounterVec,
    said: Mutex<BTreeSet<(String, Refusal, bool)>>,
}

/// More peers than this are not remembered one by one: the memory starts anew.
const REMEMBERED: usize = 1_024;

impl Refusals {
    /// The refusals of `plane`, as people call it, in a counter with the label `reason`.
    pub fn new(plane: &'static str, counter: IntCounterVec) -> Self {
        Self { plane, counter, said: Mutex::default() }
    }

    /// This node refused `peer`.
    pub fn record(&self, peer: &str, refusal: Refusal) {
        let plane = self.plane;
        if self.is_news(peer, refusal, true) {
            tracing::warn!(plane, peer, reason = %refusal, "refused a peer");
        } else {
            tracing::debug!(plane, peer, reason = %refusal, "refused a peer again");
        }
    }

    /// `peer` refused this node, and said why: of *it*, the reason speaks of this node.
    pub fn record_by_peer(&self, peer: &str, refusal: Refusal) {
        let plane = self.plane;
        if self.is_news(peer, refusal, false) {
            tracing::warn!(plane, peer, reason = %refusal, "refused by a peer");
        } else {
            tracing::debug!(plane, peer, reason = %refusal, "refused by a peer again");
        }
    }

    fn is_news(&self, peer: &str, refusal: Refusal, is_ours: bool) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.clear();
        }
        let is_news = said.insert((peer.to_owned(), refusal, is_ours));
        if is_news || refusal != Refusal::Version {
            self.counter.with_label_values(&[refusal.label()]).inc();
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    #[test]
    fn codes_and_labels_lead_back() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of_code(refusal.code()), *refusal);
            assert_eq!(Refusal::of_label(refusal.label()), Some(*refusal));
        }
        assert_eq!(Refusal::Garbage.code(), 1, "codes never change");
        assert_eq!(Refusal::Unproven.code(), 19, "codes never change");
        assert_eq!(Refusal::of_code(200), Refusal::Certificate);
    }

    #[test]
    fn every_refusal_is_counted_and_only_the_first_of_a_peer_is_news() {
        let counter = IntCounterVec::new(Opts::new("refused", "refused"), &["reason"]).unwrap();
        let refusals = Refusals::new("test", counter.clone());
        assert!(refusals.is_news("a", Refusal::Cookie, true));
        assert!(!refusals.is_news("a", Refusal::Cookie, true));
        assert!(refusals.is_news("a", Refusal::Cookie, false));
        assert!(refusals.is_news("b", Refusal::Cookie, true));
        assert_eq!(counter.with_label_values(&["cookie"]).get(), 4);
        for peer in ["a", "a", "b", "a"] {
            refusals.record(peer, Refusal::Version);
        }
        assert_eq!(counter.with_label_values(&["version"]).get(), 2, "once per peer");
    }
}
