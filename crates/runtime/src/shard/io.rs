//! What the shard's task asks of the store, and what comes back.

use std::{pin::Pin, sync::Arc};

use quarry_core::{
    delivery::{ActivationFailure, Batch, Chunk, Fetched, KeyQuestion, OpenPage},
    outbox::Place,
};
use quarry_ports::{
    Commit, CommitError, Committed, KeyQuery, MessageRecord, SendPage, Store, StoreError, crash,
};
use quarry_types::{
    Address, Answer, CallError, MessageId, RefusalCode, ShardAge,
    planted::{Bug, is_planted},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    rest::Resident,
    task::{Serving, not_owner, refused},
};
use crate::{convert, inbox::Waiter, journal};

/// A question under way.
pub(super) type Io = Pin<Box<dyn Future<Output = Done> + Send>>;

/// An answer of a read that hangs on the fence.
pub(super) struct Claim {
    pub(super) waiter: Waiter,
    pub(super) result: Result<Answer, CallError>,
}

/// What a question came to.
pub(super) enum Done {
    Keys(Vec<MessageId>, Result<Vec<Option<MessageRecord>>, StoreError>),
    Activated(Vec<(Address, u64, Result<Resident, ActivationFailure>)>),
    Fetched(MessageId, Result<Option<Fetched>, CallError>),
    Committed(u64, Failed, Result<Committed, CommitError>),
    FenceChecked(Vec<Claim>, Result<bool, StoreError>),
    PassedOn(Vec<(Place, Result<Answer, CallError>)>),
    SendsRead(Result<SendPage, StoreError>),
    OpenRead(u64, Result<OpenPage, StoreError>),
    ChunksRead(MessageId, u64, Vec<Chunk>),
    Turn(Option<OwnedSemaphorePermit>),
    Aside(Address, u64, Result<Option<MessageId>, StoreError>),
}

/// How much of a commit is of attempts that failed.
#[derive(Clone, Copy)]
pub(super) struct Failed {
    retries: u32,
    quarantined: u32,
}

impl Serving {
    /// What the owner before left open is read while the shard serves.
    pub(super) fn start(&mut self) {
        let now = self.now();
        self.machine.start(now, &mut self.out);
    }

    pub(super) fn ask_keys(&mut self, questions: Vec<KeyQuestion>) {
        if questions.is_empty() {
            return;
        }
        let store = Arc::clone(&self.shared.store);
        let ids = questions.iter().map(|question| question.message_id).collect();
        let queries = questions
            .into_iter()
            .map(|KeyQuestion { address, method, key, .. }| KeyQuery { address, method, key })
            .collect();
        self.io.push(Box::pin(async move { Done::Keys(ids, store.find_keys(queries).await) }));
    }

    /// Asks for a message that an operator acts on.
    pub(super) fn fetch(&mut self, message_id: MessageId) {
        let store = Arc::clone(&self.shared.store);
        let (node, space, epoch) = (self.shared.caller.clone(), self.shard.space(), self.epoch);
        self.io.push(Box::pin(async move {
            let found = match fetched(&*store, message_id).await {
                // Who asked knew the message by its id only.
                Ok(Some((address, _)))
                    if node.upgrade().is_some_and(|node| node.space_of(&address) != space) =>
                {
                    Err(not_owner(epoch))
                }
                Ok(found) => Ok(found.map(|(_, fetched)| fetched)),
                Err(error) => Err(refused(RefusalCode::StoreUnavailable, &error.to_string())),
            };
            Done::Fetched(message_id, found)
        }));
    }

    /// Waits for the turn of the process behind the other shards that asked for it.
    pub(super) fn ask_turn(&mut self) {
        let turn = Arc::clone(&self.shared.turn);
        // It is never closed.
        self.io.push(Box::pin(async move { Done::Turn(turn.acquire_owned().await.ok()) }));
    }

    pub(super) fn commit(&mut self, batch: Batch) {
        self.count_sends(&batch);
        let ticket = batch.ticket;
        let failed = Failed { retries: batch.retries, quarantined: batch.quarantined };
        self.states_change(&batch.states);
        let (now, age) = self.moment();
        let journal = journal::rows(&batch.chunks, now, &*self.shared.host.random);
        let mut commit = convert::commit(self.shard, self.epoch, (now, age), batch, journal);
        let store = Arc::clone(&self.shared.store);
        let lease = self.shared.lease.clone();
        self.io.push(Box::pin(async move {
            let closes = !commit.sent.is_empty();
            let accepts = commit.messages.len() > commit.outcomes.len();
            let later = split(&mut commit);
            let result = store.commit(commit, &lease).await;
            if let Some(later) = later.filter(|_| result.is_ok()) {
                drop(store.commit(later, &lease).await);
            }
            if accepts && result.is_ok() {
                crash::point("accepted");
            }
            if closes && result.is_ok() {
                crash::point("send-closed");
            }
            Done::Committed(ticket, failed, result)
        }));
    }

    pub(super) fn check_fence(&mut self, claims: Vec<Claim>) {
        if claims.is_empty() {
            return;
        }
        if is_planted(Bug::StaleRead) {
            return self.settle_claims(claims, &Ok(true));
        }
        let store = Arc::clone(&self.shared.store);
        let question = vec![(self.shard, self.epoch)];
        self.io.push(Box::pin(async move {
            let stands =
                store.check_fences(question).await.map(|fences| fences.first() == Some(&true));
            Done::FenceChecked(claims, stands)
        }));
    }

    pub(super) fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Keys(ids, Ok(records)) => {
                for (message_id, record) in ids.into_iter().zip(records) {
                    let found = record.map(convert::found);
                    self.machine.looked_up(now, message_id, Ok(found), &mut self.out);
                }
            }
            Done::Keys(ids, Err(error)) => {
                let error = refused(RefusalCode::StoreUnavailable, &error.to_string());
                for message_id in ids {
                    self.machine.looked_up(now, message_id, Err(error.clone()), &mut self.out);
                }
            }
            Done::Activated(activated) => {
                crash::point("activated");
                for (address, number, result) in activated {
                    self.activated(&address, number, result);
                }
            }
            Done::Fetched(message_id, found) => {
                self.machine.fetched(now, message_id, &found, &mut self.out);
            }
            Done::Committed(ticket, failed, Ok(committed)) => {
                crash::point("committed");
                self.shared.metrics.retries.inc_by(failed.retries.into());
                self.shared.metrics.quarantined.inc_by(failed.quarantined.into());
                let Committed { sequence, first_ordinal } = committed;
                self.machine.committed(now, ticket, sequence, first_ordinal, &mut self.out);
            }
            Done::Committed(ticket, _, Err(error)) => {
                let (shard, epoch) = (self.shard, self.epoch);
                if matches!(error, CommitError::Unavailable { .. }) {
                    // The store says when it begins to refuse commits, and when it takes them again.
                    tracing::debug!(%shard, %epoch, %error, "a commit was refused");
                } else {
                    tracing::warn!(%shard, %epoch, %error, "a commit failed");
                }
                self.machine.commit_failed(now, ticket, convert::failure(error), &mut self.out);
            }
            Done::FenceChecked(claims, stands) => self.settle_claims(claims, &stands),
            Done::PassedOn(answers) => self.passed_on(answers),
            Done::SendsRead(page) => self.sends_read(page),
            Done::OpenRead(number, page) => self.open_read(number, page),
            Done::ChunksRead(message_id, number, page) => {
                self.machine.chunks_read(message_id, number, &page, &mut self.out);
            }
            Done::Aside(address, number, first) => {
                let first = first.map_err(|error| error.to_string());
                self.machine.aside_read(now, &address, number, first, &mut self.out);
            }
            Done::Turn(turn) => {
                self.turn = turn;
                self.machine.turn_given(now, &mut self.out);
            }
        }
        self.count();
    }

    fn settle_claims(&mut self, claims: Vec<Claim>, stands: &Result<bool, StoreError>) {
        let is_lost = *stands == Ok(false);
        for claim in claims {
            claim.waiter.answer(match stands {
                Ok(true) => claim.result,
                Ok(false) => Err(not_owner(self.epoch)),
                Err(error) => Err(refused(RefusalCode::StoreUnavailable, &error.to_string())),
            });
        }
        if is_lost {
            self.give_up();
        }
    }
}

/// What a planted bug takes out of `commit`, to be written by itself.
fn split(commit: &mut Commit) -> Option<Commit> {
    let take_sends = is_planted(Bug::OutboxOutsideTransaction) && !commit.sends.is_empty();
    let take_states = is_planted(Bug::StateOutsideTransaction) && !commit.states.is_empty();
    if !take_sends && !take_states {
        return None;
    }
    let sends = if take_sends { std::mem::take(&mut commit.sends) } else { Vec::new() };
    let states = if take_states { std::mem::take(&mut commit.states) } else { Vec::new() };
    let (now, age) = (commit.now, ShardAge::default());
    let nothing =
        convert::commit(commit.shard, commit.epoch, (now, age), Batch::default(), Vec::new());
    Some(Commit { sends, states, low_water: commit.low_water, ..nothing })
}

async fn fetched(
    store: &dyn Store,
    message_id: MessageId,
) -> Result<Option<(Address, Fetched)>, StoreError> {
    let Some(record) = store.message(message_id).await? else { return Ok(None) };
    let address = record.message.address.clone();
    let chunks = store.chunk_counts(vec![message_id]).await?.pop().unwrap_or_default();
    Ok(Some((address, convert::fetched(record, chunks))))
}
