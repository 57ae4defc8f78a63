//! Random histories, on the adapter and on the in-memory store at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quarry_ports::{
    Commit, CommitError, EntityFilter, Host, JournalRow, KeyQuery, LoadedShard, MessageFilter,
    MessageRow, OpenOf, OpenQuery, OpenRow, OpenState, Position, StateRow, Store,
};
use quarry_types::{Sequence, Tenant, Timestamp};

use super::{Broken, OpenStore, Owner, journal, message, range_of, same, success};
use crate::{MemoryDatabase, MemoryStore, host::SeededRandom};

/// A message of the history that is not finished.
#[derive(Clone)]
struct Pending {
    row: MessageRow,
    position: Position,
}

struct History {
    random: SeededRandom,
    pending: Vec<Pending>,
    accepted: Vec<MessageRow>,
    number: u32,
}

impl History {
    fn chance(&self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        let length = u64::try_from(from.len()).unwrap_or(0);
        from.get(usize::try_from(self.random.below(length)).unwrap_or(0)).cloned()
    }

    fn open_row(&self, row: &MessageRow, position: Option<Position>) -> OpenRow {
        let quarantined = self.chance(30);
        OpenRow {
            message: row.clone(),
            position,
            attempts: 1,
            lost: self.number % 4,
            due: row.accepted_at.after(Duration::from_secs(self.random.below(9))),
            state: if quarantined { OpenState::Quarantined } else { OpenState::Waiting },
            errors: vec![format!("error {}", self.number)],
        }
    }

    /// A commit that mostly keeps the rules, and sometimes uses a key or an outcome twice.
    fn commit(&mut self, owner: &Owner) -> Result<Commit, Broken> {
        let mut commit = owner.commit();
        commit.now = Timestamp(owner.loaded.now.0 + i64::from(self.number));
        for _ in 0..self.random.below(4) {
            self.accept(owner, &mut commit)?;
        }
        if self.chance(60)
            && let Some(pending) = self.pick(&self.pending)
        {
            if self.chance(50) {
                commit.outcomes.push(success(&pending.row));
            } else {
                commit.open.push(self.open_row(&pending.row, Some(pending.position)));
            }
        }
        if self.chance(3)
            && let Some(row) = self.pick(&self.accepted)
        {
            commit.outcomes.push(success(&row));
        }
        if self.chance(50) {
            let address = owner.address(&format!("e{}", self.random.below(5)))?;
            let state = (!self.chance(20)).then(|| format!("s{}", self.number).into());
            commit.states.push(StateRow { address, state });
        }
        for row in self.accepted.iter().rev().take(3) {
            if self.chance(40) {
                let clears = self.chance(5);
                let entry = journal::entry(row, u64::from(self.number), "made");
                commit.journal.push(JournalRow { clears, ..entry });
            }
        }
        Ok(commit)
    }

    fn accept(&mut self, owner: &Owner, commit: &mut Commit) -> Result<(), Broken> {
        self.number += 1;
        let address = owner.address(&format!("e{}", self.random.below(5)))?;
        let mut row = message(&address, &format!("k{}", self.number))?;
        if self.chance(5)
            && let Some(other) = self.pick(&self.accepted)
        {
            row = message(&other.address, other.key.as_str())?;
        }
        if self.chance(25) {
            commit.open.push(self.open_row(&row, None));
        } else if self.chance(50) {
            commit.outcomes.push(success(&row));
        }
        commit.messages.push(row);
        Ok(())
    }

    fn committed(&mut self, commit: &Commit, sequence: Sequence) {
        for (ordinal, row) in (0_u32..).zip(&commit.messages) {
            let position = Position { sequence, ordinal };
            self.accepted.push(row.clone());
            self.pending.push(Pending { row: row.clone(), position });
        }
        self.pending.retain(|pending| {
            let id = pending.row.message_id;
            !commit.outcomes.iter().any(|row| row.message_id == id)
        });
    }
}

/// Whatever a naive model answers, the adapter answers, to every read.
pub async fn random_histories_read_as_those_of_the_model(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let model = MemoryStore::open(&MemoryDatabase::new(), Host::system().clock);
    let mut seen = Owner::start(database, 1, 1).await?;
    let mut wanted = Owner::load(model, 1, 1, 1).await?;
    let random = SeededRandom::new(20_261_121);
    let mut history = History { random, pending: Vec::new(), accepted: Vec::new(), number: 0 };
    let mut rejected = 0;
    for step in 1..=240_u64 {
        let commit = history.commit(&seen)?;
        let done = seen.write(commit.clone()).await;
        let modelled = wanted.write(commit.clone()).await;
        match (&done, &modelled) {
            (Ok(done), Ok(modelled)) => {
                same("committed", done, modelled)?;
                history.committed(&commit, done.sequence);
            }
            (Err(CommitError::Rejected { .. }), Err(CommitError::Rejected { .. })) => rejected += 1,
            _ => return Err(Broken::new(format!("step {step}: {done:?}, model {modelled:?}"))),
        }
        if step % 60 == 0 {
            compare(&history, &seen, &wanted).await?;
            let epoch = 1 + step / 60;
            seen = Owner::start(database, 1, epoch).await?;
            wanted = Owner::load(Arc::clone(&wanted.store), 1, epoch, epoch).await?;
            let told = |loaded: LoadedShard| (loaded.sequence, loaded.low_water);
            same("loaded", told(seen.loaded), told(wanted.loaded))?;
        }
    }
    super::holds("some commits were rejected", rejected > 0)
}

async fn compare(history: &History, seen: &Owner, wanted: &Owner) -> Result<(), Broken> {
    let (space, range) = (seen.shard.space(), range_of(seen.shard));
    let (seen, wanted): (&dyn Store, &dyn Store) = (&*seen.store, &*wanted.store);
    let entity = history.accepted.first().map(|row| OpenOf::Entity(row.address.clone()));
    for of in [OpenOf::Waiting, OpenOf::Delayed].into_iter().chain(entity) {
        for low_water in [0, 40, 1_000].map(Sequence) {
            let query = OpenQuery { space, range, low_water, after: None, of: of.clone() };
            let page = seen.open_messages(query.clone(), 10_000).await?;
            same("open", page, wanted.open_messages(query, 10_000).await?)?;
        }
    }
    let query = |row: &MessageRow| KeyQuery {
        address: row.address.clone(),
        method: row.method.clone(),
        key: row.key.clone(),
    };
    let queries: Vec<_> = history.accepted.iter().map(query).collect();
    same("keys", seen.find_keys(queries.clone()).await?, wanted.find_keys(queries).await?)?;
    let addresses: Vec<_> = history.accepted.iter().map(|row| row.address.clone()).collect();
    for address in addresses.iter().collect::<BTreeSet<_>>() {
        let (seen, wanted) =
            (journal::read(seen, address).await?, journal::read(wanted, address).await?);
        same("journal", seen, wanted)?;
    }
    same("states", seen.states(addresses.clone()).await?, wanted.states(addresses).await?)?;
    let filter = MessageFilter::default();
    let listed = seen.messages(filter.clone(), None, 10_000).await?;
    same("messages", listed, wanted.messages(filter, None, 10_000).await?)?;
    let filter = EntityFilter { tenant: Tenant::default_tenant(), entity_type: None };
    let listed = seen.entities(filter.clone(), None, 100).await?;
    same("entities", listed, wanted.entities(filter, None, 100).await?)
}
