//! Checks with many callers at once.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, future::join_all, stream};
use quarry_ports::{Commit, CommitError, Position};
use quarry_types::Sequence;

use super::{Broken, OpenStore, Owner, holds, message, same, success};

/// L3 under load: two shards, 64 callers, every sequence taken by somebody and no ordinal twice.
pub async fn many_committers_get_gapless_sequences(database: &dyn OpenStore) -> Result<(), Broken> {
    let first = Owner::start(database, 1, 1).await?;
    let second = Owner::load(first.store.clone(), 2, 1, 1).await?;
    let owners = [&first, &second];
    let callers = (0..64_u32).map(async |caller| {
        let mut places = Vec::new();
        for number in 0..20 {
            for owner in owners {
                let address = owner.address(&format!("e{}", caller % 8))?;
                let row = message(&address, &format!("{caller}.{number}"))?;
                let outcomes = vec![success(&row)];
                let done = owner.write(Commit { outcomes, ..owner.accept(&row) }).await?;
                places.push((owner.shard, done.sequence, done.first_ordinal));
            }
        }
        Ok::<_, Broken>(places)
    });
    let mut places = Vec::new();
    for caller in join_all(callers).await {
        places.extend(caller?);
    }
    for owner in owners {
        let mut own: Vec<(Sequence, u32)> = places
            .iter()
            .filter(|(shard, ..)| *shard == owner.shard)
            .map(|(_, sequence, ordinal)| (*sequence, *ordinal))
            .collect();
        own.sort_unstable();
        same("commits", own.len(), 64 * 20)?;
        let mut wanted = Position::default();
        for (sequence, ordinal) in own {
            let next_in_group = sequence == wanted.sequence && ordinal == wanted.ordinal;
            let next_group = sequence == wanted.sequence.next() && ordinal == 0;
            holds(&format!("{sequence}.{ordinal} follows"), next_in_group || next_group)?;
            wanted = Position { sequence, ordinal: ordinal + 1 };
        }
        let again = Owner::load(owner.store.clone(), owner.shard.0, 2, 1).await?;
        same("last", again.loaded.sequence, wanted.sequence)?;
        same("open", again.unfinished(0).await?.len(), 0)?;
    }
    Ok(())
}

/// Calls that are polled one after the other commit in that order, whatever is flushed together.
pub async fn the_order_of_calls_is_the_order_of_commits(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let address = owner.address("a")?;
    let rows = (0..500).map(|number| message(&address, &format!("k{number}")));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let calls: Vec<_> = rows.iter().map(|row| owner.write(owner.accept(row))).collect();
    // `buffered` polls each call for the first time in the order of the list.
    let answers: Vec<_> = stream::iter(calls).buffered(200).collect().await;
    let mut last = Position::default();
    for answer in answers {
        let done = answer?;
        let place = Position { sequence: done.sequence, ordinal: done.first_ordinal };
        holds("places grow", place > last)?;
        last = place;
    }
    let read: Vec<_> = owner.unfinished(0).await?.into_iter().map(|open| open.message).collect();
    holds("read in that order", read == rows)
}

/// A commit that breaks a rule does not take others of its group along.
pub async fn a_culprit_fails_alone(database: &dyn OpenStore) -> Result<(), Broken> {
    let owner = Owner::start(database, 1, 1).await?;
    let address = owner.address("a")?;
    owner.write(owner.accept(&message(&address, "taken")?)).await?;
    let culprits = [3, 17, 18, 40];
    let mut calls = Vec::new();
    for number in 0..48 {
        let key = if culprits.contains(&number) { "taken".to_owned() } else { format!("{number}") };
        let row = message(&address, &key)?;
        calls.push(owner.write(owner.accept(&row)));
    }
    let mut sequences = Vec::new();
    for (number, answer) in join_all(calls).await.into_iter().enumerate() {
        match answer {
            Ok(done) => {
                holds(&format!("{number} is not a culprit"), !culprits.contains(&number))?;
                sequences.push(done.sequence);
            }
            Err(CommitError::Rejected { .. }) => {
                holds(&format!("{number} is a culprit"), culprits.contains(&number))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    sequences.dedup();
    let wanted: Vec<_> = (2..).map(Sequence).take(sequences.len()).collect();
    same("sequences", sequences, wanted)
}

/// G3: an owner that never learns of its loss writes on, and nothing of it is there behind what the
/// new owner loaded.
pub async fn nothing_of_the_old_owner_follows_a_takeover(
    database: &dyn OpenStore,
) -> Result<(), Broken> {
    let old = Owner::start(database, 1, 1).await?;
    let address = old.address("a")?;
    let taken_over = AtomicBool::new(false);
    let under_way = tokio::sync::Notify::new();
    let writing = async {
        let (mut last, mut number) = (Sequence(0), 0_u32);
        loop {
            let row = message(&address, &format!("old{number}"))?;
            match old.write(old.accept(&row)).await {
                Ok(done) => last = done.sequence,
                Err(CommitError::Fenced { .. }) => return Ok::<_, Broken>(last),
                Err(error) => return Err(error.into()),
            }
            number += 1;
            if number == 20 {
                under_way.notify_one();
            }
            holds("the old owner is stopped", number < 50_000)?;
            if taken_over.load(Ordering::Acquire) {
                // The load has returned: this very call must be refused.
                let row = message(&address, &format!("late{number}"))?;
                let late = old.write(old.accept(&row)).await;
                holds("fenced", matches!(late, Err(CommitError::Fenced { .. })))?;
                return Ok(last);
            }
        }
    };
    let taking = async {
        under_way.notified().await;
        let new = Owner::start(database, 1, 2).await;
        taken_over.store(true, Ordering::Release);
        new
    };
    let (last, new) = tokio::join!(writing, taking);
    let (last, new) = (last?, new?);
    holds("nothing follows what was loaded", last <= new.loaded.sequence)?;
    let done = new.write(new.accept(&message(&address, "new")?)).await?;
    same("the new owner goes on", done.sequence, new.loaded.sequence.next())
}

/// Two processes on one database, each with a shard of its own: neither starves, and each sees its
/// own gapless sequences.
pub async fn two_processes_write_side_by_side(database: &dyn OpenStore) -> Result<(), Broken> {
    let first = Owner::start(database, 1, 1).await?;
    let second = Owner::start(database, 2, 1).await?;
    let write = async |owner: &Owner| {
        let address = owner.address("a")?;
        for number in 1..=100_u64 {
            let row = message(&address, &format!("k{number}"))?;
            let done = owner.write(owner.accept(&row)).await?;
            same("sequence", done.sequence, Sequence(number))?;
        }
        Ok::<_, Broken>(())
    };
    let (one, two) = tokio::join!(write(&first), write(&second));
    one.and(two)
}
