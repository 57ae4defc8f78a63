//! Checks of fences, epochs and leases: L1, L2, L3, L5.

use std::time::Duration;

use quarry_ports::{Commit, CommitError, FenceError};
use quarry_types::{ClusterId, Epoch, Sequence, ShardId, Timestamp};

use super::{Broken, OpenStore, Owner, holds, message, same, success};

/// The first load of a shard reads zero and a time.
pub async fn a_fresh_shard_starts_before_its_first_commit(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    same("sequence", owner.loaded.sequence, Sequence(0))?;
    same("low water", owner.loaded.low_water, Sequence(0))?;
    holds("store time is a time", owner.loaded.now > Timestamp(1_600_000_000_000))?;
    same("open", owner.unfinished(0).await?.len(), 0)
}

/// A lost answer to a load may be repeated.
pub async fn loading_again_from_one_process_changes_nothing(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 7).await?;
    owner.write(owner.accept(&message(&owner.address("a")?, "k1")?)).await?;
    let again = Owner::load(owner.store.clone(), 3, 7, 7).await?;
    same("sequence", again.loaded.sequence, Sequence(1))?;
    let done = again.write(again.accept(&message(&owner.address("a")?, "k2")?)).await?;
    same("next sequence", done.sequence, Sequence(2))
}

/// L1: epochs of a shard only grow.
pub async fn an_older_epoch_gets_no_fence(database: &dyn OpenStore) -> Result<(), Broken> {
    Owner::start(database, 3, 7).await?;
    let older = Owner::load(database.open().await?, 3, 6, 60).await.err();
    same("older", older, Some(FenceError::Refused { recorded: Epoch(7) }))?;
    Owner::load(database.open().await?, 3, 8, 80).await?;
    Owner::load(database.open().await?, 4, 6, 60).await?;
    Ok(())
}

/// L5: a restarted process needs a new epoch.
pub async fn a_grant_is_good_for_one_process(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 7).await?;
    let other = Owner::load(database.open().await?, 3, 7, 70).await.err();
    same("same epoch, other boot", other, Some(FenceError::Refused { recorded: Epoch(7) }))?;
    owner.write(owner.accept(&message(&owner.address("a")?, "k")?)).await?;
    Ok(())
}

/// Who never loaded a shard cannot write to it, even under the epoch that stands.
pub async fn a_commit_without_a_load_is_fenced(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 7).await?;
    let stranger = database.open().await?;
    let commit = owner.accept(&message(&owner.address("a")?, "k")?);
    let refused = stranger.commit(commit, &owner.lease).await;
    holds("fenced", matches!(refused, Err(CommitError::Fenced { .. })))
}

/// L3 and G3: nothing of an older epoch is committed once a newer one is loaded.
pub async fn a_stale_owner_is_fenced_until_it_loads_anew(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let old = Owner::start(database, 3, 7).await?;
    let address = old.address("a")?;
    old.write(old.accept(&message(&address, "k1")?)).await?;
    let new = Owner::start(database, 3, 8).await?;
    same("loaded", new.loaded.sequence, Sequence(1))?;
    let late = message(&address, "k2")?;
    let fenced = Err(CommitError::Fenced { recorded: Epoch(8) });
    same("stale", old.write(old.accept(&late)).await, fenced.clone())?;
    same("stale again", old.write(old.accept(&late)).await, fenced)?;
    same("late message", new.store.message(late.message_id).await?, None)?;
    new.write(new.accept(&message(&address, "k3")?)).await?;
    let anew = Owner::load(old.store.clone(), 3, 9, 7).await?;
    same("loaded anew", anew.loaded.sequence, Sequence(2))?;
    anew.write(anew.accept(&late)).await?;
    let fenced = Err(CommitError::Fenced { recorded: Epoch(9) });
    same("the other", new.write(new.accept(&message(&address, "k4")?)).await, fenced)
}

/// A commit names the epoch under which it was made.
pub async fn a_commit_of_another_epoch_is_fenced(database: &dyn OpenStore) -> Result<(), Broken> {
    let old = Owner::start(database, 3, 7).await?;
    let new = Owner::load(old.store.clone(), 3, 8, 7).await?;
    let address = old.address("a")?;
    let fenced = Err(CommitError::Fenced { recorded: Epoch(8) });
    same("old", old.write(old.accept(&message(&address, "k1")?)).await, fenced)?;
    new.write(new.accept(&message(&address, "k2")?)).await?;
    Ok(())
}

/// Sequence and mark of the last commit are what the next owner starts from.
pub async fn a_takeover_reads_what_was_recorded_last(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let old = Owner::start(database, 3, 1).await?;
    let address = old.address("a")?;
    for (key, low_water) in [("k1", 0), ("k2", 1), ("k3", 2)] {
        let row = message(&address, key)?;
        let outcomes = vec![success(&row)];
        let commit = Commit { low_water: Sequence(low_water), outcomes, ..old.accept(&row) };
        old.write(commit).await?;
    }
    let new = Owner::start(database, 3, 2).await?;
    same("sequence", new.loaded.sequence, Sequence(3))?;
    same("low water", new.loaded.low_water, Sequence(2))
}

/// A new owner's time is never below what an earlier one recorded.
pub async fn store_time_never_falls(database: &dyn OpenStore) -> Result<(), Broken> {
    let old = Owner::start(database, 3, 1).await?;
    let ahead = old.loaded.now.after(Duration::from_hours(5));
    let commit = old.accept(&message(&old.address("a")?, "k")?);
    old.write(Commit { now: ahead, ..commit }).await?;
    let new = Owner::start(database, 3, 2).await?;
    holds("the later time stands", new.loaded.now >= ahead)
}

/// L2: the lease is asked right before the commit is sent, and the shard is lost with it.
pub async fn a_lease_that_is_over_refuses_until_the_next_load(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 3, 1).await?;
    let address = owner.address("a")?;
    let row = message(&address, "k")?;
    owner.lease.end();
    same("over", owner.write(owner.accept(&row)).await, Err(CommitError::LeaseOver))?;
    let again = Owner::start(database, 3, 2).await?;
    owner.lease.renew(again.lease.deadline());
    same("still over", owner.write(owner.accept(&row)).await, Err(CommitError::LeaseOver))?;
    same("not there", owner.store.message(row.message_id).await?, None)?;
    let anew = Owner::load(owner.store.clone(), 3, 3, 1).await?;
    anew.write(anew.accept(&row)).await?;
    Ok(())
}

/// The first cluster that adopts a store keeps it.
pub async fn a_store_belongs_to_one_cluster(database: &dyn OpenStore) -> Result<(), Broken> {
    let store = database.open().await?;
    same("before", store.identity().await?, None)?;
    let cluster = ClusterId(u64::MAX - 5);
    same("adopted", store.adopt(cluster).await?, cluster)?;
    same("again", store.adopt(cluster).await?, cluster)?;
    same("another", store.adopt(ClusterId(9)).await?, cluster)?;
    same("reopened", database.open().await?.identity().await?, Some(cluster))
}

/// Which fences stand is answered in the order asked.
pub async fn fences_are_checked_together(database: &dyn OpenStore) -> Result<(), Broken> {
    let store = database.open().await?;
    for shard in 0..4 {
        Owner::load(store.clone(), shard, 10, 1).await?;
    }
    Owner::start(database, 2, 11).await?;
    let asked = [(3, 10), (2, 10), (2, 11), (7, 10), (0, 9), (0, 10)];
    let asked = asked.map(|(shard, epoch)| (ShardId(shard), Epoch(epoch)));
    let seen = store.check_fences(asked.to_vec()).await?;
    same("fences", seen, vec![true, false, true, false, false, true])?;
    same("none", store.check_fences(Vec::new()).await?, Vec::new())
}
