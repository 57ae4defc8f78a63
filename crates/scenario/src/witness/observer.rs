//! Tells the checks what the database does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use quarry_ports::{Commit, FenceRequest, LoadedShard};
use quarry_sim::{Entered, Witness};
use quarry_types::{Division, Epoch, MessageId, Sequence, SlotRange};

use super::{grants::Grants, messages::Messages, sends::Sends, streams::Streams};
use crate::{
    chronicle::{Chronicle, Point},
    world::World,
};

#[derive(Default)]
struct Seen {
    grants: Grants,
    messages: Messages,
    streams: Streams,
    sends: Sends,
}

/// See the module.
pub(crate) struct Observer {
    chronicle: Arc<Chronicle>,
    world: Weak<World>,
    seen: Mutex<Seen>,
}

impl Observer {
    pub(crate) fn new(chronicle: Arc<Chronicle>, world: Weak<World>) -> Self {
        Self { chronicle, world, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// D1: a client is told of a message.
    pub(crate) fn told(&self, id: MessageId) {
        let stands = self.seen().messages.has(id);
        self.chronicle.expect(stands, || format!("D1: success is answered without a row of {id}"));
    }
}

impl Witness for Observer {
    fn loaded(&self, request: &FenceRequest, loaded: &LoadedShard) {
        let FenceRequest { shard, range, epoch, boot } = *request;
        self.chronicle.note(&format!("load {shard} epoch {epoch} boot {:x}", boot.0));
        self.seen().grants.loaded(&self.chronicle, request, loaded);
        if let Some(world) = self.world.upgrade() {
            world.check_leases(Division { id: shard, range }, epoch, boot);
        }
    }

    /// L4: the fence first.
    fn read(&self, range: SlotRange, is_loaded: bool) {
        self.chronicle.expect(is_loaded, || {
            let SlotRange { first, last } = range;
            format!("L4: slots {} to {} are read before their shard is loaded", first.0, last.0)
        });
    }

    fn left(&self, commit: &Commit) {
        self.seen().grants.left(commit.shard);
    }

    fn committed(&self, commit: &Commit, sequence: Sequence, entered: &[Entered]) {
        self.chronicle.committed();
        self.chronicle.note(&format!(
            "commit {} epoch {} sequence {sequence}: {} in, {} out, {} open, {} sends",
            commit.shard,
            commit.epoch,
            commit.messages.len(),
            commit.outcomes.len(),
            commit.open.len(),
            commit.sends.len(),
        ));
        let Seen { grants, messages, streams, sends } = &mut *self.seen();
        grants.committed(&self.chronicle, commit, sequence);
        messages.committed(&self.chronicle, commit);
        streams.committed(&self.chronicle, commit, entered);
        sends.committed(&self.chronicle, commit, messages);
    }

    fn fenced(&self, commit: &Commit, recorded: Epoch) {
        self.chronicle
            .note(&format!("fenced {} epoch {} by {recorded}", commit.shard, commit.epoch));
        if recorded > commit.epoch {
            self.chronicle.reach(Point::ZombieRefused);
        }
    }

    fn arrived(&self, commit: &Commit, is_lost: bool) {
        self.seen().grants.arrived(commit.shard);
        if is_lost {
            self.chronicle.note(&format!("no answer to {} epoch {}", commit.shard, commit.epoch));
            self.chronicle.reach(Point::LostCommitAnswer);
        }
    }
}
