//! How a node gets its views that is not a voter, or not yet.

use std::{sync::Arc, time::Duration};

use quarry_ports::{Host, Metrics};
use quarry_types::Monotonic;
use tokio_stream::StreamExt;

use crate::{
    ask::Asker,
    control::{CallError, FollowItem, FollowRequest, Links, decode},
    view::Views,
};

/// How long a voter may take to accept a follower.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(2);
/// A voter says something every second; one that is silent for longer is left.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(3);
/// A voter that has not said for so long what the leader had applied before is left: it may not hear the
/// leader.
const BEHIND_LIMIT: Duration = Duration::from_millis(900);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the views that a voter tells lag behind what the leader has applied.
#[derive(Debug, Default)]
struct Lag(Option<(u64, Monotonic)>);

impl Lag {
    /// Whether it has for too long. `awaited` is the index of a view that is known to come, if one is,
    /// and `applied` that of the newest that came.
    fn is_too_long(&mut self, applied: u64, awaited: Option<u64>, now: Monotonic) -> bool {
        match self.0 {
            Some((index, since)) if applied < index => now.since(since) >= BEHIND_LIMIT,
            _ => {
                self.0 = awaited.map(|index| (index, now));
                false
            }
        }
    }
}

/// Follows the views of one voter after the other, for as long as the node runs.
pub(crate) async fn follow(
    request: FollowRequest,
    links: Arc<Links>,
    asker: Arc<Asker>,
    views: Arc<Views>,
    (host, metrics): (Host, Metrics),
) {
    loop {
        let voter = asker.next();
        if voter == request.node {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let ended = async {
            let mut items = links.follow(voter, &request, ACCEPT_TIMEOUT).await?;
            let mut lag = Lag::default();
            loop {
                let item = tokio::time::timeout(SILENCE_TIMEOUT, items.next())
                    .await
                    .map_err(|_| CallError::TimedOut(SILENCE_TIMEOUT))?
                    .ok_or_else(|| CallError::Unreachable("the stream ended".to_owned()))??;
                let item: FollowItem = decode(&item)?;
                if let Some((cluster, view, voters)) = item.view() {
                    metrics.raft_applied.set(i64::try_from(view.applied).unwrap_or(i64::MAX));
                    views.follow(request.node, cluster, view, voters);
                }
                if lag.is_too_long(views.newest().applied, views.awaited(), host.now()) {
                    return Err(CallError::Unreachable("its view is behind the leader's".into()));
                }
            }
        };
        let ended: Result<std::convert::Infallible, CallError> = ended.await;
        let Err(error) = ended;
        tracing::debug!(%voter, %error, "following another voter");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_is_left_that_does_not_tell_in_time_what_the_leader_has_applied() {
        let at = |millis: u64| Monotonic(millis * 1_000_000);
        let mut lag = Lag::default();
        assert!(!lag.is_too_long(5, None, at(0)));
        assert!(!lag.is_too_long(5, Some(7), at(100)));
        assert!(!lag.is_too_long(6, Some(9), at(999)), "more is to come, and some came");
        assert!(lag.is_too_long(6, Some(9), at(1_000)));
        assert!(!lag.is_too_long(7, Some(9), at(1_200)), "7 came, 9 is awaited from now on");
        assert!(!lag.is_too_long(8, Some(9), at(2_099)));
        assert!(lag.is_too_long(8, Some(9), at(2_100)));
        assert!(!lag.is_too_long(9, None, at(2_300)));
        assert!(!lag.is_too_long(9, None, at(9_000)), "nothing is awaited");
    }
}
