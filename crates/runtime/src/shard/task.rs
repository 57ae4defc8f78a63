//! The loop: receive, step, perform.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quarry_core::{
    delivery::{Effect, Emission, Limits, Shard},
    placement::SteadyLoad,
};
use quarry_ports::{Host, LeaseGuard, LoadedShard, Metrics, Store, crash};
use quarry_types::{
    Address, BootId, CallError, Epoch, Monotonic, NodeId, Refusal, RefusalCode, ShardAge, ShardId,
    SlotRange, Timestamp,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{
    clock::{Clocks, ShardClock},
    closing::{Closing, Step},
    io::Io,
    loads::Loads,
    rest::Resident,
};
use crate::{
    Registry,
    actor::{RunEnd, Said, Saying},
    inbox::{Ask, Call, Lanes, Waiter},
    node::Inner,
    residence::{Asked, Door, Residence},
    wire::Response,
};

/// How often a shard that closes looks whether it can.
const CLOSING: Duration = Duration::from_millis(10);
/// How many requests are taken in one turn.
const TURN: usize = 256;
/// What all handlers of a shard said and was not taken yet; a handler that says more waits.
const SAID: usize = 256;
/// Steps that may wait for a commit while handlers make more chunks.
const BACKLOG: usize = 1_024;
/// How often idle entities, and what nothing would wake, are looked for: what is found was found
/// within 10 s (G9).
const SWEEP: Duration = Duration::from_secs(5);
/// Every so many sweeps the store of a shard that committed nothing is looked through too.
const THOROUGH: u32 = 12;
/// What the message of a handler that was stopped when the drain time was over keeps as its error.
const CUT_OFF: &str = "stopped: the shard had to move, and the drain time was over";

/// What the runner asks of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Serve.
    Serve,
    /// Finish what runs and close, so that the next owner can take over; within the drain time.
    Close,
    /// The same, by this time.
    CloseBy(Monotonic),
    /// Stop now: the lease or the grant is gone.
    Abandon,
}

/// How the task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Closed: nothing is left in flight.
    Closed,
    /// Lost: nothing more will be committed under this epoch by this process.
    Lost,
    /// The store recorded this epoch: a newer one than the grant's, or the same of another process.
    Refused(Epoch),
    /// The store holds the shard in parts.
    Split,
}

/// A task that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// How.
    pub(crate) end: End,
    /// Since when it began nothing more, where it was asked to close.
    pub(crate) silent_since: Option<Monotonic>,
}

/// What all shards of a node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lease: LeaseGuard,
    pub(crate) host: Host,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// Who is in memory.
    pub(crate) residence: Residence,
    pub(crate) drain_time: Duration,
    /// The clocks of the shards that are served.
    pub(crate) clocks: Clocks,
    /// What they cost.
    pub(crate) loads: Loads,
    /// The turn of the process, which a message takes to run alone among suspects.
    pub(crate) turn: Arc<Semaphore>,
    /// The node, for calls that handlers make.
    pub(crate) caller: std::sync::Weak<Inner>,
}

pub(crate) struct ShardTask {
    pub(crate) shared: Shared,
    pub(crate) shard: ShardId,
    pub(crate) range: SlotRange,
    pub(crate) epoch: Epoch,
    pub(crate) lanes: Lanes,
    pub(crate) control: watch::Receiver<Control>,
    /// What it cost whoever served it last.
    pub(crate) load: u32,
}

/// The task while it serves.
pub(super) struct Serving {
    pub(super) shared: Shared,
    pub(super) shard: ShardId,
    pub(super) range: SlotRange,
    pub(super) epoch: Epoch,
    pub(super) machine: Shard<Waiter>,
    pub(super) residents: BTreeMap<Address, Resident>,
    /// The way to this task for whoever needs room.
    pub(super) door: Door,
    pub(super) io: FuturesUnordered<Io>,
    pub(super) ends: mpsc::UnboundedSender<RunEnd>,
    pub(super) said: mpsc::Sender<Said>,
    pub(super) clock: ShardClock,
    pub(super) out: Vec<Effect<Waiter>>,
    pub(super) end: Option<End>,
    /// The turn of the process, where this shard has it.
    pub(super) turn: Option<OwnedSemaphorePermit>,
    closing: Closing,
    load: SteadyLoad,
    sweeps: u32,
    counted: (usize, usize, usize),
    /// Mailboxes that were full when it was looked last.
    full: usize,
}

/// What the shard's actors say, and which of them are to make room.
struct News {
    ended: mpsc::UnboundedReceiver<RunEnd>,
    said: mpsc::Receiver<Said>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// The other ends of [`News`].
type Ways = (mpsc::UnboundedSender<RunEnd>, mpsc::Sender<Said>, Door);

impl News {
    /// What waits. What a run said is here before its end is.
    fn said(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.said.try_recv().ok()).take(SAID).collect()
    }
}

impl ShardTask {
    /// Takes the shard over and serves it until it is closed, lost or refused.
    pub(crate) async fn run(mut self) -> Ended {
        crash::point("fence-wanted");
        let granted = self.shared.host.now();
        self.shared.loads.set(self.shard, self.epoch, self.load);
        let loaded = match self.load().await {
            Ok(loaded) => loaded,
            Err(end) => return Ended { end: self.end(end).await, silent_since: None },
        };
        crash::point("fence-loaded");
        let (ends, ended) = mpsc::unbounded_channel();
        let (sayings, said) = mpsc::channel(SAID);
        let (door, asked) = mpsc::unbounded_channel();
        let mut news = News { ended, said, asked };
        let mut serving = self.serving(loaded, (ends, sayings, door));
        serving.start();
        let loading = self.shared.host.now().since(granted);
        self.shared.metrics.load_seconds.observe(loading.as_secs_f64());
        crash::point("recovered");
        self.shared.metrics.active_shards.inc();
        self.shared.clocks.insert(self.shard, self.epoch, serving.clock);
        let end = self.serve(&mut serving, &mut news).await;
        self.shared.clocks.remove(self.shard, self.epoch);
        self.shared.metrics.active_shards.dec();
        serving.stop();
        Ended { end: self.end(end).await, silent_since: serving.closing.silent_since() }
    }

    fn serving(&self, loaded: LoadedShard, (ends, said, door): Ways) -> Serving {
        let clock = ShardClock::of(&loaded);
        Serving {
            shared: self.shared.clone(),
            shard: self.shard,
            range: self.range,
            epoch: self.epoch,
            machine: Shard::new(
                self.shared.limits.clone(),
                self.epoch,
                (loaded.sequence, loaded.low_water),
                loaded.now,
            )
            .with_clock_behind(clock.lag()),
            residents: BTreeMap::new(),
            door,
            io: FuturesUnordered::new(),
            ends,
            said,
            clock,
            out: Vec::new(),
            end: None,
            turn: None,
            closing: Closing::default(),
            load: SteadyLoad::of(self.load),
            sweeps: 0,
            counted: (0, 0, 0),
            full: 0,
        }
    }

    async fn serve(&mut self, serving: &mut Serving, news: &mut News) -> End {
        let mut asks = Vec::with_capacity(TURN);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut closing = tokio::time::interval(CLOSING);
        closing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut close_by: Option<Monotonic> = None;
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        let mut set_for: Option<Timestamp> = None;
        loop {
            let due = serving.next_wake(close_by.is_some());
            if due.is_some_and(|at| serving.until(at).is_zero()) {
                serving.tick();
            }
            serving.perform();
            if let Some(end) = serving.end {
                return end;
            }
            let wake = serving.next_wake(close_by.is_some());
            // One that rings too early costs a look; most are put off again and again before they ring.
            if let Some(at) = wake.filter(|at| set_for.is_none_or(|set| *at < set)) {
                alarm.set(tokio::time::sleep(serving.until(at)));
                set_for = wake;
            }
            tokio::select! {
                biased;
                changed = self.control.changed() => {
                    let control = if changed.is_ok() { *self.control.borrow() } else { Control::Abandon };
                    serving.told(control, &mut close_by);
                }
                // Before whatever else comes: traffic must not keep a shard from closing.
                _ = closing.tick(), if close_by.is_some() => {
                    serving.tick();
                    serving.close_when_quiet(close_by);
                }
                Some(ask) = self.lanes.control.recv() => serving.ask(ask),
                Some(asked) = news.asked.recv() => serving.make_room(&asked),
                Some(end) = news.ended.recv() => {
                    serving.said(news.said());
                    serving.ran(end);
                }
                Some(said) = news.said.recv(), if serving.machine.backlog() < BACKLOG => {
                    serving.said(vec![said]);
                }
                Some(done) = serving.io.next(), if !serving.io.is_empty() => serving.done(done),
                () = &mut alarm, if set_for.is_some() => {
                    set_for = None;
                    serving.tick();
                }
                _ = sweep.tick() => {
                    // The alarm's clock stands still while the machine sleeps.
                    set_for = None;
                    serving.sweep();
                }
                taken = self.lanes.messages.recv_many(&mut asks, TURN) => {
                    if taken == 0 {
                        serving.give_up();
                    }
                    for ask in asks.drain(..) {
                        serving.ask(ask);
                    }
                }
            }
        }
    }

    /// Tells everyone who still waits in the inbox that the shard is not here any more.
    async fn end(&mut self, end: End) -> End {
        self.shared.loads.remove(self.shard, self.epoch);
        for ask in self.lanes.close().await {
            ask.refuse(&not_owner(self.epoch));
        }
        crash::point("shard-closed");
        end
    }
}

impl Serving {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now(&self.shared.host)
    }

    /// Store time and the shard's age.
    pub(super) fn moment(&self) -> (Timestamp, ShardAge) {
        (self.now(), self.clock.age(&self.shared.host))
    }

    /// Takes what the runner asks for; a shard that is to close does so by `close_by`.
    fn told(&mut self, control: Control, close_by: &mut Option<Monotonic>) {
        match control {
            Control::Serve => {}
            Control::Close => {
                *close_by = Some(self.shared.host.now().after(self.shared.drain_time));
                self.close_when_quiet(*close_by);
            }
            Control::CloseBy(by) => {
                *close_by = Some(close_by.map_or(by, |before| before.min(by)));
                self.close_when_quiet(*close_by);
            }
            Control::Abandon => self.give_up(),
        }
    }

    /// When the machine wants to be told that time has come; a shard that closes looks by itself.
    fn next_wake(&self, is_closing: bool) -> Option<Timestamp> {
        self.machine.next_wake().filter(|_| !is_closing)
    }

    fn until(&self, at: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(at.0.saturating_sub(self.now().0)).unwrap_or(0))
    }

    fn ask(&mut self, ask: Ask) {
        let now = self.now();
        match ask {
            ask @ (Ask::Call(_) | Ask::CallInOrder(_) | Ask::Intervene { .. })
                if !self.shared.lease.is_held() =>
            {
                ask.refuse(&refused(RefusalCode::LeaseOver, "the lease of this node is over"));
            }
            Ask::Call(call) => self.admit(now, call),
            Ask::CallInOrder(calls) => calls.into_iter().for_each(|call| self.admit(now, call)),
            Ask::Intervene { message_id, tenant, intervention, waiter } => {
                let out = &mut self.out;
                self.machine.intervene(now, message_id, tenant, intervention, waiter, out);
            }
            Ask::Look { address, told } => {
                // Who looks may be gone: nothing depends on it.
                let _ = told.send(self.machine.look(&address));
            }
            Ask::AwaitChunks { message_id, have, waiter } => {
                let awaited = self.machine.await_chunks(message_id, have, waiter, &mut self.out);
                if let Err(waiter) = awaited {
                    waiter.tell(Response::NotHere);
                }
            }
            Ask::Await { message_id, waiter } => {
                if let Err(waiter) = self.machine.await_outcome(message_id, waiter) {
                    waiter.tell(Response::NotHere);
                }
            }
        }
    }

    fn admit(&mut self, now: Timestamp, call: Call) {
        // Who routed it may have known the shard from before a split.
        if !self.range.contains(call.envelope.address.slot()) {
            return call.waiter.answer(Err(not_owner(self.epoch)));
        }
        self.machine.admit(now, call.envelope, call.delivery, call.waiter, &mut self.out);
        crash::point("admitted");
    }

    fn said(&mut self, said: Vec<Said>) {
        let now = self.now();
        for Said { address, run, what } in said {
            match what {
                Saying::Chunk(chunk, waiter) => {
                    let made = vec![Emission { chunk, waiter: Some(waiter) }];
                    self.machine.emitted(now, &address, run, made, &mut self.out);
                }
                Saying::CatchUp(waiter) => {
                    let told = self.machine.catch_up(&address, run, waiter, &mut self.out);
                    if let Err(waiter) = told {
                        waiter.tell(Response::NotHere);
                    }
                }
                Saying::Settle(waiter) => {
                    if let Err(waiter) = self.machine.settle(&address, run, waiter, &mut self.out) {
                        waiter.tell(Response::NotHere);
                    }
                }
            }
        }
    }

    fn ran(&mut self, end: RunEnd) {
        crash::point("handled");
        let now = self.now();
        self.machine.ran(now, &end.address, end.run, end.ran, &mut self.out);
    }

    fn tick(&mut self) {
        let now = self.now();
        self.machine.tick(now, &mut self.out);
    }

    fn sweep(&mut self) {
        let now = self.now();
        self.passivate_idle();
        self.sweeps = self.sweeps.wrapping_add(1);
        self.machine.audit(now, self.sweeps.is_multiple_of(THOROUGH), &mut self.out);
        self.count_stalls();
        let clock = self.shared.host.now();
        self.machine.forget_callers(|waiter| waiter.is_gone(clock));
        let load = self.load.see(self.machine.burden(now).load());
        self.shared.loads.set(self.shard, self.epoch, load);
        self.count();
        self.count_full(self.machine.full_mailboxes());
    }

    /// Closes once no handler runs, for which nothing new begins for a moment where none runs long; by
    /// `close_by` at the latest: then what runs is stopped, which is a failed attempt of its message.
    fn close_when_quiet(&mut self, close_by: Option<Monotonic>) {
        let Some(close_by) = close_by else { return };
        let now = self.now();
        let since = self.machine.longest_run_since();
        let longest = since.map(|since| {
            Duration::from_millis(now.0.saturating_sub(since.0).max(0).unsigned_abs())
        });
        match self.closing.step(self.shared.host.now(), close_by, longest) {
            Step::Wait => {}
            Step::Pause => self.machine.pause(),
            Step::GoOn => self.machine.go_on(now, &mut self.out),
            Step::Close => self.machine.close(&mut self.out),
            Step::CutOff => self.machine.cut_off(now, CUT_OFF, &mut self.out),
            Step::GiveUp => self.give_up(),
        }
    }

    pub(super) fn give_up(&mut self) {
        self.machine.give_up(&mut self.out);
    }

    /// Brings this shard's part of the node's gauges up to date.
    pub(super) fn count(&mut self) {
        let sends = self.machine.held_sends();
        let now = (self.machine.pending_messages(), self.residents.len(), sends);
        let difference = |new: usize, old: usize| {
            i64::try_from(new).unwrap_or(0).saturating_sub(i64::try_from(old).unwrap_or(0))
        };
        self.shared.metrics.pending_messages.add(difference(now.0, self.counted.0));
        self.shared.metrics.residents.add(difference(now.1, self.counted.1));
        self.shared.metrics.open_sends.add(difference(now.2, self.counted.2));
        self.counted = now;
    }

    /// Brings this shard's part of the full mailboxes up to date.
    fn count_full(&mut self, full: usize) {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.shared.metrics.full_mailboxes.add(signed(full) - signed(self.full));
        self.full = full;
    }

    /// Ends all actors, also those in a handler, and takes this shard out of the gauges.
    fn stop(&mut self) {
        self.give_up();
        self.perform();
        self.residents.clear();
        self.count();
        self.count_full(0);
    }
}

pub(super) fn refused(code: RefusalCode, message: &str) -> CallError {
    CallError::Refused(Refusal { code, message: message.to_owned(), retry_after_ms: Some(100) })
}

pub(super) fn not_owner(epoch: Epoch) -> CallError {
    refused(RefusalCode::NotOwner(epoch), "the shard has moved to another node")
}
