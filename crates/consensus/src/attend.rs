//! The leader's watch over processes: one that is gone is noticed before its lease has run out.
//!
//! The leader keeps a stream to every process that has a lease. When the stream ends, and then three
//! connections over at least 150 ms are refused by the kernel at the process's address, the lease is
//! ended early. That is no proof of death, since a firewall can look so: durable work is safe by the
//! store's fence, and a process that lives joins again at once. So it is done once per process and
//! leadership; after that only time counts. A process that is frozen is not found so, because its
//! kernel still takes connections. What follows from what is seen, [`Vigil`] decides.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quarry_core::lease::{Vigil, Watching};
use quarry_ports::{Host, Task};
use quarry_types::{BootId, ClusterView, NodeId, NodeState};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use crate::control::{AttendRequest, CallError, Links};

/// How long a process may take to accept the stream.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(2);
/// A process says something every second.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(3);

/// The watchers of one leadership. Dropping it ends them.
pub(crate) struct Attendance {
    links: Arc<Links>,
    host: Host,
    leader: NodeId,
    gone: mpsc::Sender<(NodeId, BootId)>,
    /// One per process; also of those that were found gone, so that each is found so once.
    watchers: BTreeMap<(NodeId, BootId), Task>,
}

impl Attendance {
    /// Watches for `leader`, and tells `gone` who is gone.
    pub(crate) const fn new(
        links: Arc<Links>,
        host: Host,
        leader: NodeId,
        gone: mpsc::Sender<(NodeId, BootId)>,
    ) -> Self {
        Self { links, host, leader, gone, watchers: BTreeMap::new() }
    }

    /// Watches the processes of `view` that are new, and no longer those that were replaced.
    pub(crate) fn attend(&mut self, view: &ClusterView) {
        self.watchers.retain(|(node, boot), task| {
            let stays = view.nodes.get(node).is_some_and(|known| known.boot == *boot);
            if !stays {
                task.abort();
            }
            stays
        });
        for node in view.nodes.values() {
            let process = (node.id, node.boot);
            if node.id == self.leader
                || node.state == NodeState::Down
                || self.watchers.contains_key(&process)
            {
                continue;
            }
            let request = AttendRequest { leader: self.leader };
            let (links, host, gone) =
                (Arc::clone(&self.links), self.host.clone(), self.gone.clone());
            let address = node.control.clone();
            let watcher = async move {
                until_gone(&links, &host, process.0, &address, request).await;
                if gone.send(process).await.is_err() {
                    tracing::debug!(node = %process.0, "a process is gone, and so is the leader");
                }
            };
            self.watchers.insert(process, self.host.spawn("coordinator attendance", watcher));
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        for watcher in self.watchers.values() {
            watcher.abort();
        }
    }
}

/// Returns when the process at `address` seems to be gone.
async fn until_gone(
    links: &Links,
    host: &Host,
    node: NodeId,
    address: &str,
    request: AttendRequest,
) {
    let mut vigil = Vigil::new();
    loop {
        let (held, error) = attend(links, host, node, address, request).await;
        tracing::debug!(%node, %error, ?held, "a process is attended no more");
        vigil.ended(held);
        let pause = loop {
            let next = if links.is_refused(node, address).await {
                vigil.refused(host.now())
            } else {
                vigil.not_refused()
            };
            match next {
                Watching::Gone => return,
                Watching::Probe(pause) => tokio::time::sleep(pause).await,
                Watching::Attend(pause) => break pause,
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Holds a stream to the process for as long as it says something: for how long that was, and how it
/// ended.
async fn attend(
    links: &Links,
    host: &Host,
    node: NodeId,
    address: &str,
    request: AttendRequest,
) -> (Duration, CallError) {
    let mut items = match links.attend(node, address, &request, ACCEPT_TIMEOUT).await {
        Ok(items) => items,
        Err(error) => return (Duration::ZERO, error),
    };
    let accepted = host.now();
    let error = loop {
        match tokio::time::timeout(SILENCE_TIMEOUT, items.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => break error,
            Ok(None) => break CallError::Unreachable("the stream ended".to_owned()),
            Err(_) => break CallError::TimedOut(SILENCE_TIMEOUT),
        }
    };
    (host.now().since(accepted), error)
}

#[cfg(test)]
#[path = "attend_tests.rs"]
mod tests;
