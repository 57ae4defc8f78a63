//! The whole: coordinator, processes, store, network; and what was promised.

use quarry_types::{BootId, Epoch, NodeId, Sequence};

use super::{
    message::{Answer, Messages, Request},
    process::{Phase, Process, Sending, Serving, Told},
    rules::{Network, Requests, Rules, Setting},
    storage::{Fence, Storage, Writes},
};

/// As many nodes as the coordinator may grant the shard to.
pub(crate) const NODES: usize = 3;

/// Something that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A fence got an older epoch (L1 in the store).
    FenceWentBack,
    /// An epoch committed after a newer one was loaded (L3, G3).
    OlderEpochCommitted,
    /// One grant was loaded by two processes (L5).
    LoadedTwice,
    /// A commit is there whose client was told that it surely is not (G6).
    RefusedIsCommitted,
}

/// What happened of that, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Breaches(u8);

impl Breaches {
    pub(crate) const fn holds(self, breach: Breach) -> bool {
        self.0 & 1 << breach as u8 != 0
    }

    const fn add_if(&mut self, happened: bool, breach: Breach) {
        if happened {
            self.0 |= 1 << breach as u8;
        }
    }
}

/// One state of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The coordinator: whom it granted the shard to. The epoch of a grant is its place, from 1; a
    /// grant ends whatever the one before it was, at any moment.
    pub(crate) grants: Vec<NodeId>,
    pub(crate) processes: [Process; NODES],
    pub(crate) storage: Storage,
    pub(crate) requests: Messages<Request>,
    pub(crate) answers: Messages<Answer>,
    /// How many of the writes were asked for.
    pub(crate) asked: u8,
    /// The writes whose clients were told that they are done.
    pub(crate) acknowledged: Writes,
    /// The newest epoch that was loaded.
    pub(crate) newest_load: Epoch,
    pub(crate) breaches: Breaches,
}

/// A step of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The coordinator ends the lease of the present owner, if any, and grants the shard.
    Grant(NodeId),
    /// A process ends, and the next one of its node starts.
    Restart(NodeId),
    /// A process follows a grant that it sees. It may be an old one.
    BeginLoad(NodeId, Epoch),
    /// A process reads the rows.
    Read(NodeId),
    /// A client asks for a write, perhaps again.
    Ask(NodeId, u8),
    /// A process waits no longer for the answer to its commit.
    LoseAnswer(NodeId),
    /// A process drops the shard, as when its lease is over; what it waited for stays unknown.
    GiveUp(NodeId),
    /// The network delivers to the store.
    Execute(Request),
    /// The network delivers to a process.
    Hear(NodeId, Answer),
}

impl World {
    /// Nodes are alike until the coordinator grants them something, so they are numbered in the
    /// order in which it does: no two states differ by the names of nodes only.
    pub(crate) fn known_nodes(&self) -> u64 {
        self.grants.iter().map(|node| node.0 + 1).max().unwrap_or(0)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Process)> {
        (0..).map(NodeId).zip(&self.processes)
    }

    /// The world after a step, which may be as it was.
    pub(crate) fn after(&self, setting: Setting, step: Step) -> Self {
        let Setting { rules, network, requests } = setting;
        let mut next = self.clone();
        match step {
            Step::Grant(node) => next.grants.push(node),
            Step::Restart(node) => next.restart(node),
            Step::BeginLoad(node, epoch) => next.begin_load(node, epoch),
            Step::Read(node) => next.read(node),
            Step::Ask(node, write) => next.ask(node, write),
            Step::LoseAnswer(node) => next.lose_answer(rules, node),
            Step::GiveUp(node) => next.process_mut(node).phase = Phase::Idle,
            Step::Execute(request) => {
                if network == Network::AtMostOnce {
                    next.requests.remove(&request);
                }
                next.execute(rules, request);
            }
            Step::Hear(node, answer) => next.hear(node, &answer),
        }
        next.forget_unawaited();
        if requests == Requests::KeptWhileLive {
            next.forget_dead();
        }
        next
    }

    #[expect(clippy::indexing_slicing, reason = "no node is granted beyond the last")]
    fn process_mut(&mut self, node: NodeId) -> &mut Process {
        &mut self.processes[usize::try_from(node.0).unwrap_or(NODES)]
    }

    fn restart(&mut self, node: NodeId) {
        let process = self.process_mut(node);
        *process = Process { restarts: process.restarts + 1, ..Process::default() };
    }

    fn begin_load(&mut self, node: NodeId, epoch: Epoch) {
        let process = self.process_mut(node);
        process.spent = epoch;
        process.phase = Phase::Loading { epoch };
        let boot = process.boot(node);
        self.requests.insert(Request::Load { epoch, boot });
    }

    fn read(&mut self, node: NodeId) {
        let known = self.storage.state;
        let process = self.process_mut(node);
        if let Phase::Loaded { epoch, sequence } = process.phase {
            process.phase = Phase::Serving(Serving { epoch, sequence, known, sending: None });
        }
    }

    /// A write that the owner knows is answered with its outcome (G5); another is committed first.
    fn ask(&mut self, node: NodeId, write: u8) {
        self.asked = self.asked.max(write + 1);
        let process = self.process_mut(node);
        let boot = process.boot(node);
        let Phase::Serving(serving) = &mut process.phase else { return };
        if serving.known.holds(write) {
            self.acknowledged = self.acknowledged.with(write);
            return;
        }
        serving.sending = Some(Sending { write, is_lost: false });
        let Serving { epoch, sequence, known, .. } = *serving;
        self.requests.insert(Request::commit(epoch, boot, sequence.next(), write, known));
    }

    fn lose_answer(&mut self, rules: Rules, node: NodeId) {
        let process = self.process_mut(node);
        let boot = process.boot(node);
        let Phase::Serving(serving) = &mut process.phase else { return };
        let Serving { epoch, sequence, known, .. } = *serving;
        let Some(sending) = &mut serving.sending else { return };
        if rules == Rules::NoWriteSequence {
            // The answer of either copy will do.
            let again = Request::commit(epoch, boot, sequence.next(), sending.write, known);
            self.requests.insert(again.copied());
            return;
        }
        sending.is_lost = true;
        self.requests.insert(Request::Decide { epoch, boot, sequence: sequence.next() });
    }

    fn execute(&mut self, rules: Rules, request: Request) {
        let fence_before = self.storage.fence;
        let commits_before = self.storage.commits.len();
        match request {
            Request::Load { epoch, boot } => {
                if let Some(sequence) = self.storage.load(rules, Fence { epoch, boot }) {
                    self.newest_load = self.newest_load.max(epoch);
                    self.answers.insert(Answer::Loaded { boot, epoch, sequence });
                }
            }
            Request::Commit { commit, is_refused, .. } => {
                let written = self.storage.write(rules, &commit);
                self.breaches.add_if(written && is_refused, Breach::RefusedIsCommitted);
                self.answer_commit(commit.boot, commit.epoch, commit.sequence, written);
            }
            Request::Decide { epoch, boot, sequence } => {
                let fate = self.storage.decide(rules, Fence { epoch, boot }, sequence);
                self.answers.insert(Answer::Decided { boot, epoch, sequence, fate });
            }
        }
        self.check_fence(fence_before);
        let newer = self.newest_load;
        let has_older =
            self.storage.commits.iter().skip(commits_before).any(|row| row.epoch < newer);
        self.breaches.add_if(has_older, Breach::OlderEpochCommitted);
    }

    fn answer_commit(&mut self, boot: BootId, epoch: Epoch, sequence: Sequence, written: bool) {
        let answer = |written| Answer::Committed { boot, epoch, sequence, written };
        let is_answered = [true, false].into_iter().any(|either| {
            let known = answer(either);
            self.answers.iter().any(|answer| *answer == known)
        });
        if !is_answered {
            self.answers.insert(answer(written));
        }
    }

    fn check_fence(&mut self, before: Option<Fence>) {
        let (Some(before), Some(now)) = (before, self.storage.fence) else { return };
        self.breaches.add_if(now.epoch < before.epoch, Breach::FenceWentBack);
        let is_shared = now.epoch == before.epoch && now.boot != before.boot;
        self.breaches.add_if(is_shared, Breach::LoadedTwice);
    }

    fn hear(&mut self, node: NodeId, answer: &Answer) {
        match self.process_mut(node).hear(answer) {
            Some(Told::Acknowledged(write)) => self.acknowledged = self.acknowledged.with(write),
            Some(Told::Refused(epoch, sequence)) => self.refuse(epoch, sequence),
            None => {}
        }
    }

    /// The client is told that this commit is surely not done.
    fn refuse(&mut self, epoch: Epoch, sequence: Sequence) {
        let (storage, breaches) = (&self.storage, &mut self.breaches);
        self.requests.change(|request| {
            if let Request::Commit { commit, is_refused, .. } = request
                && (commit.epoch, commit.sequence) == (epoch, sequence)
            {
                *is_refused = true;
                breaches.add_if(storage.holds(commit), Breach::RefusedIsCommitted);
            }
        });
    }

    /// Drops the answers that no process awaits: none ever awaits them again.
    fn forget_unawaited(&mut self) {
        let processes = &self.processes;
        self.answers.retain(|answer| is_awaited(processes, answer));
    }

    /// Drops the requests that the store would refuse, now and for ever, and whose answer no
    /// process awaits.
    fn forget_dead(&mut self) {
        let Self { processes, storage, requests, .. } = self;
        requests.retain(|request| {
            is_awaited(processes, &request.any_answer()) || storage.may_take(request)
        });
    }
}

fn is_awaited(processes: &[Process; NODES], answer: &Answer) -> bool {
    (0..)
        .map(NodeId)
        .zip(processes)
        .any(|(node, process)| process.boot(node) == answer.boot() && process.awaits(answer))
}
