//! How a node gets its views that is not a voter, or not yet.

use std::{sync::Arc, time::Duration};

use quarry_ports::Metrics;
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
const PAUSE: Duration = Duration::from_millis(100);

/// Follows the views of one voter after the other, for as long as the node runs.
pub(crate) async fn follow(
    request: FollowRequest,
    links: Arc<Links>,
    asker: Arc<Asker>,
    views: Arc<Views>,
    metrics: Metrics,
) {
    loop {
        let voter = asker.next();
        if voter == request.node {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let ended = async {
            let mut items = links.follow(voter, &request, ACCEPT_TIMEOUT).await?;
            loop {
                let item = tokio::time::timeout(SILENCE_TIMEOUT, items.next())
                    .await
                    .map_err(|_| CallError::TimedOut(SILENCE_TIMEOUT))?
                    .ok_or_else(|| CallError::Unreachable("the stream ended".to_owned()))??;
                let item: FollowItem = decode(&item)?;
                if let Some((cluster, view, voters)) = item.view() {
                    metrics.raft_applied.set(i64::try_from(view.applied).unwrap_or(i64::MAX));
                    views.follow(cluster, view, voters);
                }
            }
        };
        let ended: Result<std::convert::Infallible, CallError> = ended.await;
        let Err(error) = ended;
        tracing::debug!(%voter, %error, "following another voter");
        tokio::time::sleep(PAUSE).await;
    }
}
