//! Performs what the machine decided.

use quarry_core::delivery::{Check, Effect, RunKind, Work};
use quarry_ports::crash;
use quarry_types::{Address, Answer, CallError, RefusalCode};

use super::{
    End,
    io::Claim,
    rest::Leaving,
    task::{Serving, refused},
};
use std::sync::Arc;

use crate::{
    Context,
    actor::{Run, gone},
    inbox::Waiter,
    sends::Sends,
    transaction::Statements,
    window::Window,
    wire::Response,
};

impl Serving {
    /// Performs all effects, in order; questions of one kind go to the store together.
    pub(super) fn perform(&mut self) {
        let (mut questions, mut activations, mut claims) = (Vec::new(), Vec::new(), Vec::new());
        let mut passing = Vec::new();
        while !self.out.is_empty() {
            for effect in std::mem::take(&mut self.out) {
                match effect {
                    Effect::Lookup(question) => questions.push(question),
                    Effect::Fetch(message_id) => self.fetch(message_id),
                    Effect::Activate(address, number) => activations.push((address, number)),
                    Effect::Run(address, work) => self.run(&address, work),
                    Effect::Commit(batch) => self.commit(batch),
                    Effect::Answer { waiter, result, check: Check::Nothing } => {
                        self.tell(waiter, result);
                    }
                    Effect::Answer { waiter, result, check: Check::Lease } => {
                        self.tell_local(waiter, result);
                    }
                    Effect::Answer { waiter, result, check: Check::Fence } => {
                        claims.push(Claim { waiter, result });
                    }
                    Effect::Readable(waiter) | Effect::Settled(waiter) => {
                        waiter.tell(Response::Readable);
                    }
                    Effect::PassOn(send) => passing.push(send),
                    Effect::ReadSends { after, limit } => self.read_sends(after, limit),
                    Effect::ReadOpen(read) => self.read_open(read),
                    Effect::ReadChunks(read) => self.read_chunks(read),
                    Effect::Passivate(address) => self.passivate(&address, Leaving::Failed),
                    Effect::AskAside(address, number) => self.ask_aside(address, number),
                    Effect::AskTurn => self.ask_turn(),
                    Effect::EndTurn => self.turn = None,
                    Effect::Closed => self.end = Some(End::Closed),
                    Effect::Lost => self.end = self.end.or(Some(End::Lost)),
                }
            }
        }
        self.ask_keys(questions);
        self.activate(activations);
        self.check_fence(claims);
        self.pass_on(passing);
        self.rest();
    }

    fn run(&mut self, address: &Address, work: Work) {
        if let Some(since) = work.queued_since.filter(|_| work.attempt == 1) {
            let waited = u32::try_from(self.now().0.saturating_sub(since.0)).unwrap_or_default();
            self.shared.metrics.queue_seconds.observe(f64::from(waited) / 1_000.0);
        }
        let context = Context {
            envelope: work.envelope,
            attempt: work.attempt,
            epoch: self.epoch,
            owner: self.shared.node,
            now: self.now(),
            run: work.run,
            caller: self.shared.caller.clone(),
            calls: Arc::default(),
            sends: Sends::default(),
            statements: Statements::default(),
            shard: (work.kind == RunKind::Command).then(|| self.said.clone()),
            window: Window::of(work.repeats),
            repeats: work.repeats,
        };
        let run = Run { id: work.run, kind: work.kind, context };
        if !self.hand_over(address, run) {
            let now = self.now();
            self.machine.ran(now, address, work.run, gone(), &mut self.out);
        }
    }

    fn tell_local(&self, waiter: Waiter, result: Result<Answer, CallError>) {
        if self.shared.lease.is_held() {
            self.tell(waiter, result);
        } else {
            waiter.answer(Err(refused(RefusalCode::LeaseOver, "the lease of this node is over")));
        }
    }

    fn tell(&self, waiter: Waiter, result: Result<Answer, CallError>) {
        if matches!(
            result,
            Ok(Answer::Handled { replayed: true, .. } | Answer::Accepted { replayed: true, .. })
        ) {
            self.shared.metrics.dedupe_hits.inc();
        }
        waiter.answer(result);
        crash::point("replied");
    }
}
