//! One voter in the place of another.
//!
//! The new voter first learns: the leader sends it a snapshot and the log behind it. When it has what
//! was there at the beginning, openraft changes the membership in two entries, the joint one and the
//! final one. Each part looks at what is there already, so that whoever leads may be asked again.

use std::{collections::BTreeSet, time::Duration};

use openraft::{
    BasicNode, ChangeMembers,
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, RaftError},
};
use quarry_types::{NodeId, NodeState};

use crate::{
    control::{ReplaceAnswer, ReplaceRequest},
    group::{Group, StoredMembership},
    leader::Lead,
    quorum::Round,
};

/// How long one call waits for the new voter to catch up: less than a call may take.
const CATCH_UP: Duration = Duration::from_secs(2);

impl Lead {
    /// Goes as far as it gets in the time of one call; to be called again until it is done.
    pub(crate) async fn replace_voter(&self, request: ReplaceRequest) -> ReplaceAnswer {
        match self.round().await {
            Round::Confirmed { .. } => {}
            Round::NotLeader { leader } => return ReplaceAnswer::NotLeader { leader },
            Round::NoQuorum { reason } => return ReplaceAnswer::Unknown { reason },
        }
        let metrics = self.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config;
        let goal = match goal(&membership, request) {
            Ok(Goal::Reached { .. })
                if metrics.committed_membership_config.log_id() != membership.log_id() =>
            {
                let reason = "the change is on its way through the log".to_owned();
                return ReplaceAnswer::Unknown { reason };
            }
            Ok(Goal::Reached { .. }) if !self.views().newest().nodes.contains_key(&request.old) => {
                let reason = format!("node {} was never here", request.old);
                return ReplaceAnswer::Refused { reason };
            }
            Ok(Goal::Reached { index }) => return ReplaceAnswer::Replaced { index },
            Ok(Goal::Voters(voters)) => voters,
            Err(reason) => return ReplaceAnswer::Refused { reason },
        };
        let address = match self.fit(request) {
            Ok(address) => address,
            Err(reason) => return ReplaceAnswer::Refused { reason },
        };
        let new = request.new;
        if membership.membership().get_node(&new.0).is_none() {
            tracing::info!(node = %new, address, "a node learns, to vote in the place of another");
            let learner = self.raft().add_learner(new.0, BasicNode::new(address), false).await;
            if let Err(error) = learner {
                return failed(&error);
            }
        }
        if let Err(reason) = self.caught_up(new).await {
            return ReplaceAnswer::CatchingUp { reason };
        }
        let change = ChangeMembers::ReplaceAllVoters(goal);
        match self.raft().change_membership(change, false).await {
            Ok(changed) => {
                let ReplaceRequest { old, new } = request;
                tracing::info!(%old, %new, "a voter was replaced");
                ReplaceAnswer::Replaced { index: changed.log_id.index }
            }
            Err(error) => failed(&error),
        }
    }

    /// Where the new voter is, if it may become one in the place of the old one.
    fn fit(&self, ReplaceRequest { old, new }: ReplaceRequest) -> Result<String, String> {
        let view = self.views().newest();
        let is_up =
            |node: NodeId| view.nodes.get(&node).filter(|known| known.state != NodeState::Down);
        if is_up(old).is_some() {
            return Err(format!("node {old} is up: stop it first, it cannot vote and be replaced"));
        }
        let known = is_up(new).ok_or_else(|| {
            format!(
                "node {new} is not up: start it with an empty directory, and with itself among its \
                 --voters in the place of node {old}"
            )
        })?;
        Ok(known.control.clone())
    }

    /// Waits until `new` has what the log holds now.
    async fn caught_up(&self, new: NodeId) -> Result<(), String> {
        let mut metrics = self.raft().metrics();
        let target = metrics.borrow_watched().last_log_index.unwrap_or_default();
        let mut matched = None;
        let waiting = async {
            loop {
                let replication = metrics.borrow_watched().replication.clone();
                let known = replication.and_then(|all| all.get(&new.0).copied());
                matched = known.flatten().map(|matched| matched.index);
                if matched >= Some(target) || WatchReceiver::changed(&mut metrics).await.is_err() {
                    return;
                }
            }
        };
        // Late or not, what counts is how far it is.
        drop(tokio::time::timeout(CATCH_UP, waiting).await);
        if matched >= Some(target) {
            return Ok(());
        }
        let seen = matched.map_or_else(|| "nothing".to_owned(), |index| format!("index {index}"));
        Err(format!("node {new} has {seen} of the log, which ends at index {target}"))
    }
}

enum Goal {
    /// It is done, as of this index.
    Reached { index: u64 },
    /// These are to vote.
    Voters(BTreeSet<u64>),
}

/// Where the change leads, given what stands; a joint membership is the middle of a change.
fn goal(membership: &StoredMembership, request: ReplaceRequest) -> Result<Goal, String> {
    let configs = membership.membership().get_joint_config();
    let voters = configs.last().cloned().unwrap_or_default();
    let (old, new) = (request.old.0, request.new.0);
    if old == new {
        return Err(format!("node {old} cannot replace itself: a new voter needs a new number"));
    }
    match (voters.contains(&old), voters.contains(&new)) {
        (true, true) => Err(format!("nodes {old} and {new} are both voters")),
        (false, false) => {
            let known: Vec<String> = voters.iter().map(u64::to_string).collect();
            Err(format!("node {old} is not a voter; these are: {}", known.join(", ")))
        }
        (false, true) if configs.len() == 1 => {
            let index = membership.log_id().map_or(0, |at| at.index);
            Ok(Goal::Reached { index })
        }
        (false, true) => Ok(Goal::Voters(voters)),
        (true, false) => {
            Ok(Goal::Voters(voters.into_iter().filter(|id| *id != old).chain([new]).collect()))
        }
    }
}

fn failed(error: &RaftError<Group, ClientWriteError<Group>>) -> ReplaceAnswer {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            ReplaceAnswer::NotLeader { leader: forward.leader_id.map(NodeId) }
        }
        // Another change is under way, or the lead was lost: then it goes on from there.
        error => ReplaceAnswer::Unknown { reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::Membership;

    use super::*;

    fn membership(configs: &[&[u64]]) -> StoredMembership {
        let configs: Vec<BTreeSet<u64>> =
            configs.iter().map(|config| config.iter().copied().collect()).collect();
        let nodes: BTreeMap<u64, BasicNode> =
            (1..=5).map(|id| (id, BasicNode::new(id.to_string()))).collect();
        StoredMembership::new(None, Membership::new(configs, nodes).unwrap())
    }

    /// Who is to vote then; nothing where that is so already.
    fn leads_to(configs: &[&[u64]], old: u64, new: u64) -> Result<Option<Vec<u64>>, String> {
        let request = ReplaceRequest { old: NodeId(old), new: NodeId(new) };
        goal(&membership(configs), request).map(|goal| match goal {
            Goal::Reached { .. } => None,
            Goal::Voters(voters) => Some(voters.into_iter().collect()),
        })
    }

    #[test]
    fn a_change_that_was_broken_off_goes_on_and_one_that_is_done_stays_done() {
        assert_eq!(leads_to(&[&[1, 2, 3]], 2, 4), Ok(Some(vec![1, 3, 4])));
        assert_eq!(leads_to(&[&[1, 2, 3], &[1, 3, 4]], 2, 4), Ok(Some(vec![1, 3, 4])));
        assert_eq!(leads_to(&[&[1, 3, 4]], 2, 4), Ok(None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let refused = |configs, old, new| leads_to(configs, old, new).unwrap_err();
        assert!(refused(&[&[1, 2, 3]], 2, 2).contains("new number"));
        assert!(refused(&[&[1, 2, 3]], 2, 3).contains("both voters"));
        assert!(refused(&[&[1, 2, 3]], 4, 5).contains("these are: 1, 2, 3"));
    }
}
