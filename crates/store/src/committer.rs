//! The task of a lane: takes what waits, flushes it together, answers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quarry_ports::{
    Commit, CommitError, Committed, FenceRequest, Host, LeaseGuard, LoadedShard, Metrics,
    StoreError, crash::point,
};
use quarry_types::{Epoch, Sequence, ShardId, SlotRange, Space};
use tokio::sync::oneshot;

use crate::{
    check::{self, Encoded, check},
    database::{Database, Fate, Refused, WriteError},
    group::{Batch, Checked, Part},
    head::{Head, Standing},
    known::Known,
    queue::Queue,
    refusals::Refusals,
};

/// Commits that one transaction holds at most, by rows and by bytes of payload.
const GROUP_ROWS: usize = 2_048;
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// A commit that takes this long is logged.
const SLOW: Duration = Duration::from_secs(1);
/// A fate that is not decided within this time is given up.
const DECIDE_WITHIN: Duration = Duration::from_secs(10);
const DECIDE_AGAIN: Duration = Duration::from_millis(50);

/// A commit that waits to be flushed.
pub(crate) struct Request {
    pub(crate) commit: Commit,
    pub(crate) lease: LeaseGuard,
    pub(crate) answer: oneshot::Sender<Result<Committed, CommitError>>,
    /// Made when the commit is checked.
    pub(crate) encoded: Option<Encoded>,
}

impl Request {
    fn checked(&self) -> Option<Checked<'_>> {
        let encoded = self.encoded.as_ref()?;
        Some(Checked { commit: &self.commit, encoded, lease: &self.lease })
    }

    /// Checks the commit unless it was checked already.
    fn check(&mut self, range: SlotRange) -> Result<(), CommitError> {
        if self.encoded.is_none() {
            let checked = check(&self.commit, range);
            self.encoded = Some(checked.map_err(|reason| CommitError::Rejected { reason })?);
        }
        Ok(())
    }
}

/// What a lane is told, in order.
pub(crate) enum Job {
    Commit(Box<Request>),
    /// A load begins: nothing of the shard is sent until it is done. Answered when nothing of the
    /// shard is under way any more.
    BeginLoad {
        shard: ShardId,
        begun: oneshot::Sender<()>,
    },
    Loaded {
        request: FenceRequest,
        loaded: LoadedShard,
        done: oneshot::Sender<()>,
    },
    /// A message that the commit `sequence` of a shard of `range` in `space` accepted cannot be
    /// read: the mark of the shard stays below it.
    Hold {
        space: Space,
        range: SlotRange,
        sequence: Sequence,
    },
    Decided {
        decision: Decision,
        fate: Result<Fate, String>,
    },
}

/// The commits of one shard whose answer was lost.
pub(crate) struct Decision {
    part: Part,
    load: u64,
    requests: Vec<(u32, Request)>,
}

/// One lane: the shards that are on it, and the way to the database.
pub(crate) struct Committer<D> {
    pub(crate) lane: usize,
    pub(crate) database: Arc<D>,
    pub(crate) queue: Arc<Queue<Job>>,
    pub(crate) host: Host,
    pub(crate) metrics: Metrics,
    pub(crate) commits: Arc<AtomicU64>,
    pub(crate) refusals: Refusals,
    pub(crate) known: Known,
    pub(crate) heads: BTreeMap<ShardId, Head>,
    pub(crate) loads: u64,
}

impl<D: Database> Committer<D> {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        while let Some(mut jobs) = self.queue.take().await {
            while let Some(job) = next(&mut jobs) {
                match job {
                    Job::Commit(request) => {
                        let group = gather(*request, &mut jobs);
                        self.flush(group).await;
                    }
                    Job::BeginLoad { shard, begun } => {
                        self.heads.remove(&shard);
                        let _ = begun.send(());
                    }
                    Job::Loaded { request, loaded, done } => {
                        self.loads = self.loads.saturating_add(1);
                        self.heads.insert(request.shard, Head::new(request, loaded, self.loads));
                        let _ = done.send(());
                    }
                    Job::Hold { space, range, sequence } => {
                        let is_meant = |(shard, head): &(&ShardId, &mut Head)| {
                            shard.space() == space && head.range == range
                        };
                        let heads = self.heads.iter_mut().filter(is_meant);
                        heads.for_each(|(_, head)| head.hold_below(sequence));
                    }
                    Job::Decided { decision, fate } => self.decided(decision, &fate),
                }
                // What came while a group was flushed goes with the next, and a load waits for no
                // more than one.
                self.queue.take_more(&mut jobs);
            }
        }
    }

    /// Writes a group; on an error that is a commit's own, its halves, until the culprit is alone.
    async fn flush(&mut self, group: Vec<Request>) {
        let mut stack = vec![group];
        while let Some(group) = stack.pop() {
            point("commit-before-lease-check");
            let mut group = self.admit(group);
            if group.is_empty() {
                continue;
            }
            let commits = group.iter().filter_map(Request::checked);
            let batch = Batch::build(commits, &self.heads);
            let before = self.host.now();
            let written = self.database.write(self.lane, &batch).await;
            let ordinals = batch.first_ordinals.clone();
            let (parts, messages) = (batch.parts.clone(), batch.message_count());
            match written {
                Ok(refused) => {
                    point("committed");
                    self.refusals.written(&self.host);
                    let took = self.host.now().since(before);
                    self.metrics.commit_seconds.observe(took.as_secs_f64());
                    if took >= SLOW {
                        tracing::warn!(?took, messages, "a commit of the store was slow");
                    }
                    self.count(messages);
                    self.settle(group, &ordinals, &parts, &refused);
                }
                Err(WriteError::LeaseOver) => stack.push(group),
                Err(WriteError::Unavailable(reason)) => {
                    self.refusals.refused(self.host.now(), group.len(), &reason);
                    for request in group {
                        self.refuse(request, CommitError::Unavailable { reason: reason.clone() });
                    }
                }
                Err(WriteError::Culprit(reason)) if group.len() == 1 => {
                    for request in group.drain(..) {
                        self.refuse(request, CommitError::Rejected { reason: reason.clone() });
                    }
                }
                Err(WriteError::Culprit(_)) => {
                    let second = group.split_off(group.len() / 2);
                    stack.push(second);
                    stack.push(group);
                }
                Err(WriteError::Lost(reason)) => self.lost(group, &ordinals, &parts, &reason),
            }
        }
    }

    /// Answers the commits that must not be sent and returns the others.
    fn admit(&mut self, group: Vec<Request>) -> Vec<Request> {
        let mut admitted = Vec::with_capacity(group.len());
        for mut request in group {
            let Some(head) = self.heads.get_mut(&request.commit.shard) else {
                self.refuse(request, CommitError::Fenced { recorded: Epoch(0) });
                continue;
            };
            let refusal = if let Some(refusal) = head.refusal(request.commit.epoch) {
                Some(refusal)
            } else if !request.lease.is_held() {
                head.standing = Standing::Lost(CommitError::LeaseOver); // L2
                Some(CommitError::LeaseOver)
            } else {
                request.check(head.range).err()
            };
            match refusal {
                Some(error) => self.refuse(request, error),
                None => admitted.push(request),
            }
        }
        admitted
    }

    /// A batch is durable but for the `refused` parts.
    fn settle(
        &mut self,
        group: Vec<Request>,
        ordinals: &[u32],
        parts: &[Part],
        refused: &[Refused],
    ) {
        let refused: BTreeMap<ShardId, Epoch> =
            refused.iter().map(|refused| (refused.shard, refused.recorded)).collect();
        let written: BTreeMap<ShardId, Sequence> = parts
            .iter()
            .filter(|part| !refused.contains_key(&part.shard))
            .map(|part| (part.shard, part.sequence))
            .collect();
        for part in parts {
            let Some(head) = self.heads.get_mut(&part.shard) else { continue };
            let Some(recorded) = refused.get(&part.shard) else {
                advance(head, part);
                self.known.written(part);
                continue;
            };
            if *recorded <= part.epoch {
                // The shard is given up, and loaded as it stands under a new epoch.
                tracing::error!(
                    shard = %part.shard, epoch = %part.epoch, sequence = %part.sequence, %recorded,
                    "the store holds less than it acknowledged: was it set back to an older state?"
                );
                self.metrics.invariant_violations.with_label_values(&["L3"]).inc();
                self.known.gone(part);
            }
            head.standing = Standing::Lost(CommitError::Fenced { recorded: *recorded });
        }
        for (request, first_ordinal) in group.into_iter().zip(ordinals) {
            let shard = request.commit.shard;
            if let Some(sequence) = written.get(&shard) {
                let done = Committed { sequence: *sequence, first_ordinal: *first_ordinal };
                drop(request.answer.send(Ok(done)));
            } else {
                let recorded = refused.get(&shard).copied().unwrap_or_default();
                self.refuse(request, CommitError::Fenced { recorded });
            }
        }
    }

    /// The answer of a batch was lost: its shards wait until their fate is decided, the others of
    /// the lane go on.
    fn lost(&mut self, group: Vec<Request>, ordinals: &[u32], parts: &[Part], reason: &str) {
        let mut requests: BTreeMap<ShardId, Vec<(u32, Request)>> = BTreeMap::new();
        for (request, ordinal) in group.into_iter().zip(ordinals) {
            requests.entry(request.commit.shard).or_default().push((*ordinal, request));
        }
        for part in parts {
            let Some(head) = self.heads.get_mut(&part.shard) else { continue };
            head.standing = Standing::Deciding;
            let requests = requests.remove(&part.shard).unwrap_or_default();
            let decision = Decision { part: *part, load: head.load, requests };
            tracing::warn!(shard = %part.shard, sequence = %part.sequence, reason, "the answer of a commit was lost");
            self.host.spawn(
                "store-decision",
                decide(
                    Arc::clone(&self.database),
                    Arc::clone(&self.queue),
                    self.host.clone(),
                    decision,
                ),
            );
        }
    }

    fn decided(&mut self, decision: Decision, fate: &Result<Fate, String>) {
        let Decision { part, load, requests } = decision;
        let error = match fate {
            Ok(Fate::Written | Fate::Fenced { written: true, .. }) => None,
            Ok(Fate::Voided) => Some(CommitError::Unavailable {
                reason: "the connection was lost before the commit; it was cancelled".to_owned(),
            }),
            Ok(Fate::Fenced { recorded, .. }) => Some(CommitError::Fenced { recorded: *recorded }),
            Ok(Fate::Forgotten { recorded }) => Some(CommitError::Undecided {
                reason: format!(
                    "epoch {recorded} stands, and the commits of that time are retired"
                ),
            }),
            Err(reason) => Some(CommitError::Undecided { reason: reason.clone() }),
        };
        if let Some(head) = self.heads.get_mut(&part.shard).filter(|head| head.load == load) {
            match (fate, &error) {
                (Ok(Fate::Fenced { recorded, .. } | Fate::Forgotten { recorded }), _) => {
                    head.standing = Standing::Lost(CommitError::Fenced { recorded: *recorded });
                }
                (Err(_), Some(error)) => head.standing = Standing::Lost(error.clone()),
                _ => {
                    advance(head, &part);
                    head.standing = Standing::Serving;
                }
            }
        }
        if error.is_none() {
            self.known.written(&part);
            let messages = requests.iter().map(|(_, request)| request.commit.messages.len());
            self.count(u64::try_from(messages.sum::<usize>()).unwrap_or(u64::MAX));
        }
        for (first_ordinal, request) in requests {
            match &error {
                None => {
                    let done = Committed { sequence: part.sequence, first_ordinal };
                    drop(request.answer.send(Ok(done)));
                }
                Some(error) => self.refuse(request, error.clone()),
            }
        }
    }

    fn count(&self, messages: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.metrics.commits.inc();
        self.metrics.commit_messages.inc_by(messages);
    }

    fn refuse(&self, request: Request, error: CommitError) {
        let reason = match &error {
            CommitError::Fenced { .. } => "fence",
            CommitError::LeaseOver => "lease_over",
            CommitError::Rejected { .. } => "rejected",
            CommitError::Unavailable { .. } => "unavailable",
            CommitError::Undecided { .. } => "undecided",
        };
        self.metrics.commit_refused.with_label_values(&[reason]).inc();
        drop(request.answer.send(Err(error)));
    }
}

fn advance(head: &mut Head, part: &Part) {
    head.sequence = part.sequence;
    head.low_water = part.low_water;
    head.now = part.now;
}

/// Takes the next job: first what the lane itself must hear, unless a commit of its shard came before
/// it. So a load waits for no commits of other shards, and their groups are not cut up.
fn next(jobs: &mut VecDeque<Job>) -> Option<Job> {
    let mut shards = BTreeSet::new();
    let is_free = |job: &Job| match job {
        Job::Commit(request) => {
            shards.insert(request.commit.shard);
            false
        }
        Job::BeginLoad { shard, .. } => !shards.contains(shard),
        Job::Loaded { request, .. } => !shards.contains(&request.shard),
        Job::Hold { .. } | Job::Decided { .. } => true,
    };
    let place = jobs.iter().position(is_free).unwrap_or(0);
    jobs.remove(place)
}

/// Takes the commits behind `first`, up to the next other job or the size of a group.
fn gather(first: Request, jobs: &mut VecDeque<Job>) -> Vec<Request> {
    let (mut rows, mut bytes) = (check::rows(&first.commit), check::bytes(&first.commit));
    let is_alone = |request: &Request| !request.commit.statements.is_empty();
    let mut group = vec![first];
    while let Some(Job::Commit(next)) = jobs.front() {
        if is_alone(next) || group.first().is_some_and(is_alone) {
            break;
        }
        rows = rows.saturating_add(check::rows(&next.commit));
        bytes = bytes.saturating_add(check::bytes(&next.commit));
        if rows > GROUP_ROWS || bytes > GROUP_BYTES {
            break;
        }
        if let Some(Job::Commit(next)) = jobs.pop_front() {
            group.push(*next);
        }
    }
    group
}

/// Asks for a part's fate while a lease is held and some time is left, then tells the lane.
async fn decide<D: Database>(
    database: Arc<D>,
    queue: Arc<Queue<Job>>,
    host: Host,
    decision: Decision,
) {
    let until = host.now().after(DECIDE_WITHIN);
    let fate = loop {
        let deciding = database.decide(decision.part);
        let reason = match tokio::time::timeout(until.since(host.now()), deciding).await {
            Ok(Ok(fate)) => break Ok(fate),
            Ok(Err(StoreError::Corrupt { reason })) => break Err(reason),
            Ok(Err(StoreError::Unavailable { reason })) => reason,
            Err(_) => format!("no decision within {DECIDE_WITHIN:?}"),
        };
        let held = decision.requests.iter().all(|(_, request)| request.lease.is_held());
        if !held || host.now() >= until {
            break Err(reason);
        }
        tokio::time::sleep(DECIDE_AGAIN).await;
    };
    queue.push_control(Job::Decided { decision, fate });
}
