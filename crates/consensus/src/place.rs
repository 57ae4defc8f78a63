//! Whether a voter that starts again was replaced while it was away.
//!
//! Its own log says that it votes, and nobody sends it what came behind: it would be given shards of
//! which it never hears. So it asks the other voters who votes.

use std::{sync::Arc, time::Duration};

use openraft::async_runtime::watch::WatchReceiver;
use quarry_types::NodeId;
use tokio_stream::StreamExt;

use crate::{
    ask::Asker,
    control::{CallError, FollowItem, FollowRequest, Links, decode},
    leader::Lead,
    view::Voters,
};

/// How long a voter may take to say who votes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// A voter that looks for its place among the others.
pub(crate) struct Place {
    node: NodeId,
    lead: Arc<Lead>,
    links: Arc<Links>,
    asker: Arc<Asker>,
}

impl Place {
    /// That of voter `node`.
    pub(crate) fn of(
        node: NodeId,
        lead: &Arc<Lead>,
        links: Arc<Links>,
        asker: &Arc<Asker>,
    ) -> Self {
        Self { node, lead: Arc::clone(lead), links, asker: Arc::clone(asker) }
    }

    /// Returns when another voter shows that this one was replaced, and says so; never where it was not.
    pub(crate) async fn lost(self) -> String {
        loop {
            tokio::time::sleep(PAUSE).await;
            let voter = self.asker.next();
            if voter == self.node {
                continue;
            }
            match self.voters_of(voter).await {
                Ok(Some((applied, voters))) => match self.judge(applied, &voters) {
                    None => {}
                    Some(true) => std::future::pending::<()>().await,
                    Some(false) => return self.said(&voters),
                },
                Ok(None) => {}
                Err(error) => tracing::debug!(%voter, %error, "it does not say who votes"),
            }
        }
    }

    /// Whether this node has a place among these voters, which are those as of `applied`; nothing where
    /// its own log knows more.
    fn judge(&self, applied: u64, voters: &Voters) -> Option<bool> {
        let metrics = self.lead.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config;
        let known = membership.log_id().map(|known| known.index)?;
        let is_known = membership.voter_ids().any(|voter| voter == self.node.0);
        (is_known && applied >= known).then(|| voters.contains_key(&self.node))
    }

    async fn voters_of(&self, voter: NodeId) -> Result<Option<(u64, Voters)>, CallError> {
        let request = FollowRequest { node: self.node };
        let asked = async {
            let mut items = self.links.follow(voter, &request, ANSWER_TIMEOUT).await?;
            while let Some(item) = items.next().await {
                let item: FollowItem = decode(&item?)?;
                if let Some((_, view, voters)) = item.view() {
                    return Ok((!voters.is_empty()).then_some((view.applied, voters)));
                }
            }
            Ok(None)
        };
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        asked.unwrap_or(Err(CallError::TimedOut(ANSWER_TIMEOUT)))
    }

    fn said(&self, voters: &Voters) -> String {
        let voters: Vec<String> = voters.keys().map(ToString::to_string).collect();
        format!(
            "voter {} was replaced while it was down: nodes {} vote now; what it has is of no use any \
             more, start a node with a number that was never used and an empty data directory instead",
            self.node,
            voters.join(", ")
        )
    }
}
