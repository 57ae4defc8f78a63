//! One message over all tries to route it.

use std::{sync::Arc, time::Duration};

use quarry_ports::watch;
use quarry_types::{
    Answer, CallError, ClusterView, Delivery, Envelope, Monotonic, Refusal, RefusalCode,
    UnknownCode,
};

use super::answer::{refused, unknown};
use crate::{node::Inner, patience::Patience};

/// Pauses between looks for an owner: doubling between these.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A message, and what its tries came to so far.
pub(super) struct Tries {
    pub(super) envelope: Envelope,
    pub(super) delivery: Delivery,
    /// An earlier try may have done it.
    is_unknown: bool,
    last: Option<CallError>,
}

impl Tries {
    pub(super) const fn new(envelope: Envelope, delivery: Delivery) -> Self {
        Self { envelope, delivery, is_unknown: false, last: None }
    }

    /// Takes what a try came to; the answer, where it is one for good. A try that is not known to
    /// have failed is followed by others under the same key, and what they are refused then proves
    /// nothing.
    pub(super) fn take(
        &mut self,
        result: Result<Answer, CallError>,
    ) -> Option<Result<Answer, CallError>> {
        match result {
            Ok(answer) => return Some(Ok(answer)),
            Err(CallError::Unknown(unknown)) if unknown.code == UnknownCode::Quarantined => {
                return Some(Err(CallError::Unknown(unknown)));
            }
            Err(CallError::Unknown(unknown)) => {
                self.is_unknown = self.delivery == Delivery::Durable;
                self.envelope.send_count = self.envelope.send_count.saturating_add(1);
                self.last = Some(CallError::Unknown(unknown));
            }
            Err(CallError::Refused(refusal)) if refusal.code.is_misrouted() => {
                self.last = Some(CallError::Refused(refusal));
            }
            Err(CallError::Refused(refusal)) if self.is_unknown => {
                return Some(Err(self.unknown(&refusal)));
            }
            Err(error) => return Some(Err(error)),
        }
        None
    }

    fn unknown(&self, refusal: &Refusal) -> CallError {
        unknown(UnknownCode::Deadline, &refusal.message, self.envelope.message_id)
    }

    /// What is told where there is no time for another try.
    pub(super) fn over(&self) -> CallError {
        match &self.last {
            Some(CallError::Refused(refusal)) if self.is_unknown => self.unknown(refusal),
            Some(CallError::Refused(refusal)) => CallError::Refused(refusal.clone()),
            Some(CallError::Unknown(last)) if self.is_unknown => {
                unknown(last.code, &last.message, self.envelope.message_id)
            }
            Some(CallError::Unknown(last)) => refused(RefusalCode::Deadline, last.message.clone()),
            None => refused(RefusalCode::Deadline, "no time was left".to_owned()),
        }
    }
}

/// The wait between two tries.
pub(super) struct Pause<'a> {
    node: &'a Inner,
    view: watch::Receiver<Arc<ClusterView>>,
    next: Duration,
    patience: Patience,
}

impl<'a> Pause<'a> {
    pub(super) fn new(node: &'a Inner) -> Self {
        let view = node.ports.coordinator.view();
        Self { node, view, next: FIRST_PAUSE, patience: Patience::default() }
    }

    /// Waits a while before the next try; at once false where there is none: `deadline` has come, or
    /// this node has been cut off from the coordinator. A change of the view is what usually
    /// ends the wait; its length is for hints that lag.
    pub(super) async fn before(&mut self, deadline: Monotonic) -> bool {
        let left = deadline.since(self.node.ports.host.now());
        if left.is_zero() || self.node.gives_up(&mut self.patience) {
            return false;
        }
        let _ = tokio::time::timeout(self.next.min(left), self.view.changed()).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}
