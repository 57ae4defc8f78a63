//! The state machine: `quarry_core::coordinator::State`, its snapshot, and what is told of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use quarry_core::coordinator::{At, Command, Ownership, Response, State};
use quarry_ports::{
    codec::{self, schema},
    crash,
};
use quarry_types::{Bindings, NodeId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{log::stopped, writer::Write};
use crate::{
    group::{Group, LogId, Proposal, Snapshot, SnapshotMeta, StoredMembership},
    view::Views,
};

/// Sees each log entry at the instant at which a voter applies it.
pub trait Witness: Send + Sync + 'static {
    /// The entry at `index` was `command`: it was answered by `response`, and made `after` of
    /// `before`.
    fn applied(
        &self,
        index: u64,
        before: &Ownership,
        command: &Command,
        response: &Response,
        after: &State,
    );
}

/// A snapshot as it is stored and sent: what it covers, and the state.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) meta: SnapshotMeta,
    pub(super) state: State,
}

/// A snapshot of a state in which entity types are bound to groups, which programs before version 4 of
/// the planes' protocol do not know.
#[derive(Clone, Serialize, Deserialize)]
struct BoundPicture {
    picture: Picture,
    bindings: Bindings,
}

/// A snapshot of a state in which nodes do not count their leases with the usual time to live, which
/// programs before version 5 of the planes' protocol do not know.
#[derive(Clone, Serialize, Deserialize)]
struct LeasedPicture {
    bound: BoundPicture,
    lease_ttls: BTreeMap<NodeId, Duration>,
}

/// The state machine. It lives in memory; after a start openraft installs the stored snapshot and
/// applies the committed entries behind it again.
pub(crate) struct Machine {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
    shelf: Shelf,
    views: Arc<Views>,
    witness: Option<Arc<dyn Witness>>,
}

/// Keeps the newest snapshot, in memory and in the file. Machine and photographer share it.
#[derive(Clone)]
struct Shelf {
    newest: Arc<Mutex<Option<Snapshot>>>,
    writes: mpsc::Sender<Write>,
}

impl Shelf {
    fn newest(&self) -> Option<Snapshot> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores `snapshot` unless a newer one is kept already; returns when it is durable.
    async fn keep(&self, snapshot: Snapshot) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        let upto = snapshot.meta.last_log_id.map_or(0, |last| last.index);
        let write = Write::Snapshot { upto, frame: snapshot.snapshot.clone(), done };
        self.writes.send(write).await.map_err(|_| stopped())?;
        durable.await.map_err(|_| stopped())??;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|kept| kept.meta.last_log_id <= snapshot.meta.last_log_id) {
            *newest = Some(snapshot);
        }
        Ok(())
    }
}

/// Makes a snapshot of the state as it was when it was asked for.
pub(crate) struct Photographer {
    picture: Picture,
    shelf: Shelf,
}

impl RaftSnapshotBuilder<Group> for Photographer {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let frame = write(&self.picture).map_err(io::Error::other)?;
        let snapshot = Snapshot { meta: self.picture.meta.clone(), snapshot: frame };
        self.shelf.keep(snapshot.clone()).await?;
        Ok(snapshot)
    }
}

/// Reads a stored or received snapshot.
pub(super) fn read(frame: &Bytes) -> io::Result<Picture> {
    if let Ok(picture) = codec::decode(schema::RAFT_SNAPSHOT, frame) {
        return Ok(picture);
    }
    let leased = codec::decode(schema::RAFT_SNAPSHOT_LEASED, frame).or_else(|_| {
        let bound = codec::decode(schema::RAFT_SNAPSHOT_BOUND, frame)?;
        Ok(LeasedPicture { bound, lease_ttls: BTreeMap::new() })
    });
    let LeasedPicture { bound, lease_ttls } =
        leased.map_err(|error: codec::CodecError| io::Error::other(error))?;
    let Picture { meta, state } = bound.picture;
    Ok(Picture { meta, state: state.bound_by(bound.bindings).counting_by(lease_ttls) })
}

/// The snapshot as it is stored and sent: by the oldest schema that can hold it, so that older programs
/// read it too.
fn write(picture: &Picture) -> Result<Bytes, codec::CodecError> {
    let (bindings, lease_ttls) = (picture.state.bindings(), picture.state.lease_ttls());
    let (is_bound, is_leased) = (*bindings != Bindings::default(), !lease_ttls.is_empty());
    if !is_bound && !is_leased {
        return codec::encode(schema::RAFT_SNAPSHOT, picture);
    }
    let bound = BoundPicture { picture: picture.clone(), bindings: bindings.clone() };
    if !is_leased {
        return codec::encode(schema::RAFT_SNAPSHOT_BOUND, &bound);
    }
    let leased = LeasedPicture { bound, lease_ttls: lease_ttls.clone() };
    codec::encode(schema::RAFT_SNAPSHOT_LEASED, &leased)
}

impl Machine {
    pub(super) fn new(
        snapshot: Option<Snapshot>,
        writes: mpsc::Sender<Write>,
        views: Arc<Views>,
    ) -> Self {
        Self {
            state: State::default(),
            applied: None,
            membership: StoredMembership::default(),
            shelf: Shelf { newest: Arc::new(Mutex::new(snapshot)), writes },
            views,
            witness: None,
        }
    }

    /// The same, seen by `witness` where there is one.
    pub(crate) fn seen_by(self, witness: Option<Arc<dyn Witness>>) -> Self {
        Self { witness, ..self }
    }

    fn apply_one(&mut self, index: u64, proposal: Proposal) -> Response {
        let at = At { index, time: proposal.at };
        let Some(witness) = &self.witness else { return self.state.apply(at, proposal.command) };
        let (before, command) = (self.state.ownership(), proposal.command.clone());
        let response = self.state.apply(at, proposal.command);
        witness.applied(index, &before, &command, &response, &self.state);
        response
    }

    /// The applied state.
    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    fn publish(&self) {
        let applied = self.applied.map_or(0, |applied| applied.index);
        let voters: BTreeSet<u64> = self.membership.voter_ids().collect();
        let voters = self.membership.nodes().filter(|(node, _)| voters.contains(node));
        let voters = voters.map(|(node, at)| (NodeId(*node), at.addr.clone())).collect();
        self.views.publish(applied, &self.state, voters);
    }
}

impl RaftStateMachine<Group> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Photographer;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Group>, io::Error>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let answer = match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Normal(proposal) => {
                    Some(self.apply_one(entry.log_id.index, proposal))
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    None
                }
            };
            self.applied = Some(entry.log_id);
            crash::point("raft-applied");
            if let Some(responder) = responder {
                answers.push((responder, answer));
            }
        }
        // Published first: who hears that its command is applied finds it in the view.
        self.publish();
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Photographer {
        let meta =
            SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        let picture = Picture { meta, state: self.state.clone() };
        Photographer { picture, shelf: self.shelf.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Bytes,
    ) -> Result<(), io::Error> {
        let picture = read(&snapshot)?;
        if picture.meta != *meta {
            return Err(io::Error::other("the snapshot is not the one that its sender named"));
        }
        let stored = self.shelf.newest().is_some_and(|stored| stored.meta == *meta);
        if !stored {
            self.shelf.keep(Snapshot { meta: meta.clone(), snapshot }).await?;
        }
        self.state = picture.state;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.shelf.newest())
    }
}
