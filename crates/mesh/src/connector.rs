//! Makes links: hands greeted connections to the substrate, and connects to peers again and again.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quarry_plane::{Refusal, Refusals, Security, SecurityError};
use quarry_ports::{Host, Peer, Random};
use quarry_types::NodeId;
use ractor::ActorRef;
use tokio_util::sync::CancellationToken;

use crate::{
    checked::Checked,
    config::Limits,
    frame::{Batch, Frame, MeshMessage},
    greeting::{self, Greeted, GreetingError, Identity},
    link::Link,
    socket::{self, Secured, Side},
    substrate::{Session, Substrate},
    switchboard::Switchboard,
};

/// A link that lived so long was a good one: the next failure starts with the shortest pause.
const SETTLED: Duration = Duration::from_secs(1);

/// What making a link needs.
pub(crate) struct Joiner {
    pub(crate) identity: Identity,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    pub(crate) host: Host,
    pub(crate) switchboard: Arc<Switchboard>,
    pub(crate) refusals: Arc<Refusals>,
    substrate: Arc<Substrate>,
    /// One at a time per peer, so that a second connection finds the first.
    joining: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why no link was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(transparent)]
    Insecure(#[from] SecurityError),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the substrate did not take the connection")]
    NotTaken,
}

impl Joiner {
    pub(crate) fn new(
        (identity, security): (Identity, Security),
        limits: Limits,
        host: Host,
        switchboard: Arc<Switchboard>,
        substrate: Arc<Substrate>,
        refusals: Arc<Refusals>,
    ) -> Self {
        let joining = Mutex::default();
        Self { identity, security, limits, host, switchboard, refusals, substrate, joining }
    }

    /// Makes a link of a greeted connection. It takes the place of an earlier one to the same peer:
    /// a peer that connects again has lost the other.
    pub(crate) async fn join(
        &self,
        stream: Secured,
        side: Side,
        greeted: Greeted,
    ) -> Result<Arc<Link>, JoinError> {
        let peer = greeted.node;
        let turn = {
            let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
            joining.entry(peer).or_default().clone()
        };
        let _turn = turn.lock().await;
        self.replace(peer).await;
        let is_bare = greeted.is_vouched_for() && !self.security.is_mutual();
        let stream = if is_bare { Box::new(Checked::new(stream)) } else { stream };
        let session =
            self.substrate.open(stream, side, &peer.to_string()).ok_or(JoinError::NotTaken)?;
        let link = Link::new(greeted.link, peer, session.end.clone(), greeted.window, self.limits);
        self.switchboard.announce(&link);
        // From here on the link is forgotten when it ends, also where this future is dropped.
        let ending = EndOnDrop(Some(session.end.clone()));
        self.watch(link.clone(), session.clone());
        let number = session.ready().await.ok_or(JoinError::NotTaken)?;
        let gateway = Substrate::gateway(peer, number).ok_or(JoinError::NotTaken)?;
        self.pump(link.clone(), gateway);
        if greeted.is_vouched_for() {
            let link = link.clone();
            self.host.spawn("mesh pings", async move { link.ask_for_life().await });
        }
        self.switchboard.ready(&link);
        ending.keep();
        tracing::info!(peer = peer.0, boot = greeted.boot.0, ?side, "linked");
        Ok(link)
    }

    /// Counts what `error` says of a refusal, ours or that of `peer`.
    pub(crate) fn tell(&self, peer: &str, error: &JoinError) {
        match error {
            JoinError::Greeting(GreetingError::Refused(refusal))
            | JoinError::Insecure(SecurityError::Refused(refusal)) => {
                self.refusals.record(peer, *refusal);
            }
            JoinError::Greeting(GreetingError::ByPeer(refusal))
            | JoinError::Insecure(SecurityError::ByPeer(refusal)) => {
                self.refusals.record_by_peer(peer, *refusal);
            }
            JoinError::Greeting(GreetingError::Broken(_))
            | JoinError::Insecure(SecurityError::Broken(_))
            | JoinError::Broken(_)
            | JoinError::NotTaken => {}
        }
    }

    /// Ends earlier links to `peer` and waits until they are gone: the substrate would hold an
    /// election between the sessions.
    async fn replace(&self, peer: NodeId) {
        for link in self.switchboard.links() {
            if link.peer == peer {
                link.end.cancel();
                link.gone.cancelled().await;
            }
        }
    }

    fn watch(&self, link: Arc<Link>, session: Arc<Session>) {
        let (switchboard, substrate) = (self.switchboard.clone(), self.substrate.clone());
        self.host.spawn("mesh link", async move {
            link.end.cancelled().await;
            // At once for those who wait, before the substrate has let go.
            switchboard.fail(&link);
            substrate.close(&session).await;
            switchboard.forget(&link);
            tracing::info!(peer = link.peer.0, "link ended");
        });
    }

    fn pump(&self, link: Arc<Link>, gateway: ActorRef<MeshMessage>) {
        let switchboard = self.switchboard.clone();
        self.host.spawn("mesh pump", async move {
            let cast = |frames: Vec<Frame>| {
                switchboard.leaving(&frames);
                let batch = Batch { link: link.number, frames };
                gateway.cast(MeshMessage::Batch(batch)).is_ok()
            };
            link.pump(cast).await;
        });
    }
}

/// Ends a link that did not become ready.
struct EndOnDrop(Option<CancellationToken>);

impl EndOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(end) = &self.0 {
            end.cancel();
        }
    }
}

/// Keeps a link with `peer` until `stop`.
pub(crate) async fn run(joiner: Arc<Joiner>, peer: Peer, stop: CancellationToken) {
    let (mut failures, mut linked_before) = (0_u32, false);
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = connect(&joiner, &peer) => connected,
        };
        match connected {
            Ok(link) => {
                if linked_before {
                    joiner.switchboard.reconnected();
                }
                linked_before = true;
                let since = joiner.host.now();
                // Closing a link that is not wanted any more is left to who says so.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = link.gone.cancelled() => {}
                }
                if joiner.host.now().since(since) >= SETTLED {
                    failures = 0;
                }
            }
            Err(error) if failures == 0 => {
                tracing::warn!(peer = peer.node.0, address = peer.mesh, %error, "no link yet");
            }
            Err(error) => {
                tracing::debug!(peer = peer.node.0, address = peer.mesh, %error, "still no link");
            }
        }
        let pause = pause(&joiner.limits, &*joiner.host.random, failures);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Doubles with every failure; between half of it and all of it, by chance, so that nodes that lost the
/// same peer do not come back to it together.
fn pause(limits: &Limits, random: &dyn Random, failures: u32) -> Duration {
    let Limits { backoff_min, backoff_max, .. } = *limits;
    let full = backoff_min.saturating_mul(1 << failures.min(16)).min(backoff_max);
    let half = full / 2;
    let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    let extra = random.next_u64().checked_rem(spread).unwrap_or(0);
    half.saturating_add(Duration::from_nanos(extra))
}

async fn connect(joiner: &Joiner, peer: &Peer) -> Result<Arc<Link>, JoinError> {
    let link = async {
        let Joiner { identity, security, host, .. } = joiner;
        let mut stream = socket::connect(&peer.mesh, peer.node, security).await?;
        let greeted = greeting::as_client(&mut stream, identity, peer.node, host).await?;
        joiner.join(stream, Side::Client, greeted).await
    };
    let linked = tokio::time::timeout(joiner.limits.handshake, link).await;
    let linked = linked.unwrap_or(Err(GreetingError::Refused(Refusal::Deadline).into()));
    if let Err(error) = &linked {
        joiner.tell(&peer.mesh, error);
    }
    linked
}

#[cfg(test)]
mod tests {
    use quarry_sim::host::SeededRandom;

    use super::*;

    const DRAWS: usize = 1_000;

    /// The shortest and the longest of many pauses after so many failures.
    fn drawn(limits: &Limits, failures: u32) -> (Duration, Duration) {
        let random = SeededRandom::new(failures.into());
        let pauses = || (0..DRAWS).map(|_| pause(limits, &random, failures));
        (pauses().min().unwrap(), pauses().max().unwrap())
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread_over_their_second_half() {
        let limits = Limits::default();
        let full = [50, 100, 200, 400, 800, 1_600, 2_000, 2_000].map(Duration::from_millis);
        for (full, failures) in full.into_iter().zip(0..) {
            let (shortest, longest) = drawn(&limits, failures);
            assert!(full / 2 <= shortest && shortest < full * 11 / 20, "{shortest:?} of {full:?}");
            assert!(full * 19 / 20 < longest && longest <= full, "{longest:?} of {full:?}");
        }
        let (shortest, longest) = drawn(&limits, u32::MAX);
        assert!(shortest >= limits.backoff_max / 2 && longest <= limits.backoff_max);
    }

    #[test]
    fn no_pause_may_be_asked_for() {
        let limits = Limits { backoff_min: Duration::ZERO, ..Limits::default() };
        assert_eq!(drawn(&limits, 9), (Duration::ZERO, Duration::ZERO));
    }
}
