//! Checks of what is kept, and for how long.

use std::sync::Arc;

use quarry_ports::{
    ChunkBody, ChunkRow, Commit, KeyQuery, MessageRow, OpenRow, OpenState, Retired, Retiring,
};
use quarry_types::{Sequence, ShardAge};

use super::{Broken, OpenStore, Owner, holds, message, same, success};

/// Messages removed at once by the checks.
const LIMIT: u32 = 1_000;

impl Owner {
    /// Removes what is past its retention at this age, without recording it.
    async fn retire_at(&self, age: u64) -> Result<Retired, Broken> {
        self.retire(age, LIMIT, false).await
    }

    pub(crate) async fn retire(
        &self,
        age: u64,
        limit: u32,
        record: bool,
    ) -> Result<Retired, Broken> {
        let (shard, epoch, age) = (self.shard, self.epoch, ShardAge(age));
        let shards = vec![Retiring { shard, epoch, age, record }];
        Ok(self.store.retire(shards, limit, &self.lease).await?)
    }

    /// Accepts and finishes a message whose outcome is kept until this age.
    async fn finished(&self, key: &str, keep_until: u64) -> Result<MessageRow, Broken> {
        let row = message(&self.address("a")?, key)?;
        let keep_until = ShardAge(keep_until);
        let outcomes = vec![quarry_ports::OutcomeRow { keep_until, ..success(&row) }];
        let low_water = Sequence(u64::MAX / 4);
        self.write(Commit { outcomes, low_water, ..self.accept(&row) }).await?;
        Ok(row)
    }

    pub(crate) async fn knows(&self, row: &MessageRow) -> Result<bool, Broken> {
        let MessageRow { address, method, key, .. } = row.clone();
        let by_key = self.store.find_keys(vec![KeyQuery { address, method, key }]).await?;
        let by_id = self.store.message(row.message_id).await?;
        same("by key and by id", by_key.first().cloned().flatten(), by_id.clone())?;
        Ok(by_id.is_some())
    }
}

fn removed(messages: u64) -> Retired {
    Retired { messages, more: false }
}

/// An outcome is kept until its age, and its message and chunks go with it.
pub async fn what_is_past_its_retention_goes_and_no_earlier(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let rows = [
        owner.finished("a", 1_000).await?,
        owner.finished("b", 5_000).await?,
        owner.finished("c", 2_000).await?,
    ];
    let chunks = vec![ChunkBody::Made("1".into())];
    let chunk = |row: &MessageRow| ChunkRow {
        message_id: row.message_id,
        address: row.address.clone(),
        first: 0,
        chunks: chunks.clone(),
    };
    let chunks = rows.iter().map(chunk).collect();
    owner.write(Commit { chunks, ..owner.commit() }).await?;
    same("before", owner.retire_at(999).await?, removed(0))?;
    for (age, gone, left) in [(1_000, 1, [false, true, true]), (4_999, 1, [false, true, false])] {
        same("removed", owner.retire_at(age).await?, removed(gone))?;
        for (row, left) in rows.iter().zip(left) {
            same("known", owner.knows(row).await?, left)?;
            let chunks = owner.store.chunks(row.message_id, 0, 10).await?;
            same("chunks", chunks.len(), usize::from(left))?;
        }
    }
    same("the last", owner.retire_at(u64::MAX / 4).await?, removed(1))?;
    // The key may be used again, now that nothing is known of it.
    owner.finished("b", 9_000).await.map(drop)
}

/// A message that is open or set aside stays, and its key with it, however old it is; its outcome
/// is kept for its time.
pub async fn what_is_open_is_never_retired(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let mut rows = Vec::new();
    for (key, state) in
        [("plain", None), ("open", Some(OpenState::Waiting)), ("set", Some(OpenState::Quarantined))]
    {
        let row = message(&owner.address("a")?, key)?;
        let (message, due) = (row.clone(), row.accepted_at);
        let errors = Vec::new();
        let open = state.map(|state| OpenRow {
            message,
            position: None,
            attempts: 1,
            lost: 0,
            due,
            state,
            errors,
        });
        owner.write(Commit { open: open.into_iter().collect(), ..owner.accept(&row) }).await?;
        rows.push(row);
    }
    for number in 0..300 {
        owner.finished(&format!("k{number}"), 10).await?;
    }
    let mut removed_so_far = 0;
    while removed_so_far < 300 {
        let retired = owner.retire_at(u64::MAX / 4).await?;
        holds("what is due goes", retired.messages > 0)?;
        removed_so_far += retired.messages;
    }
    same("removed", removed_so_far, 300)?;
    for row in &rows {
        holds("it is known", owner.knows(row).await?)?;
    }
    same("open", owner.unfinished(0).await?.len(), 2)?;
    let outcomes = vec![quarry_ports::OutcomeRow {
        keep_until: ShardAge(u64::MAX / 2),
        ..success(rows.first().ok_or_else(|| Broken::new("no row"))?)
    }];
    owner.write(Commit { outcomes, ..owner.commit() }).await?;
    same("its outcome is young", owner.retire_at(u64::MAX / 4).await?, removed(0))?;
    same("then it goes", owner.retire_at(u64::MAX / 2).await?, removed(1))
}

/// What is due goes in steps.
pub async fn retirement_goes_in_small_steps(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    for number in 0..25 {
        owner.finished(&format!("k{number}"), number).await?;
    }
    let (mut steps, mut messages) = (0, 0);
    loop {
        let retired = owner.retire(100, 10, false).await?;
        holds("a small step", retired.messages <= 10)?;
        messages += retired.messages;
        steps += 1;
        if !retired.more {
            break;
        }
        holds("it ends", steps < 10)?;
    }
    same("all", messages, 25)?;
    holds("several steps", steps >= 3)
}

/// L3 stands on the newest commit, which stays; and the sequence goes on.
pub async fn commits_go_on_behind_retired_ones(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    let mut last = 0;
    for round in 0..4 {
        for number in 0..200 {
            owner.finished(&format!("k{round}-{number}"), 0).await?;
            last += 1;
        }
        owner.retire_at(1).await?;
    }
    let next = owner.write(owner.commit()).await?;
    same("sequence", next.sequence, Sequence(last + 1))?;
    let new = Owner::start(database, 2, 2).await?;
    same("loaded", new.loaded.sequence, Sequence(last + 1))?;
    same("next", new.write(new.commit()).await?.sequence, Sequence(last + 2))
}

/// G3: who has lost the shard, or its lease, removes nothing.
pub async fn only_the_owner_retires(database: &dyn OpenStore) -> Result<(), Broken> {
    let old = Owner::start(database, 2, 1).await?;
    let row = old.finished("a", 10).await?;
    let new = Owner::start(database, 2, 2).await?;
    same("stale", old.retire(100, LIMIT, true).await?.messages, 0)?;
    holds("it is there", new.knows(&row).await?)?;
    new.lease.end();
    same("no lease", new.retire(100, LIMIT, true).await?.messages, 0)?;
    holds("it is still there", new.knows(&row).await?)?;
    let next = Owner::start(database, 2, 3).await?;
    same("the age is as it was", next.loaded.age, ShardAge(0))?;
    same("removed", next.retire_at(100).await?, removed(1))
}

/// A shard's age goes on where it was recorded last, and never falls.
pub async fn the_age_of_a_shard_never_falls(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 2, 1).await?;
    same("new", owner.loaded.age, ShardAge(0))?;
    owner.retire(500, LIMIT, true).await?;
    let idle = Owner::load(Arc::clone(&owner.store), 2, 2, 1).await?;
    same("a shard that keeps nothing needs none", idle.loaded.age, ShardAge(0))?;
    idle.finished("a", 9_000).await?;
    for (age, record, wanted) in [(700, true, 700), (650, true, 700), (800, false, 700)] {
        idle.retire(age, LIMIT, record).await?;
        let again = Owner::load(Arc::clone(&idle.store), 2, 2, 1).await?;
        same("recorded", again.loaded.age, ShardAge(wanted))?;
    }
    Ok(())
}
