//! How many synchronous commits messages cost.

mod databases;

use databases::{postgres_database, sqlite_file};
use futures_util::future::join_all;
use quarry_ports::Commit;
use quarry_sim::contract::store::{Broken, OpenStore, Owner, message, success};

async fn finish_one(owner: &Owner, key: &str) -> Result<(), Broken> {
    let row = message(&owner.address("a")?, key)?;
    let outcomes = vec![success(&row)];
    owner.write(Commit { outcomes, ..owner.accept(&row) }).await?;
    Ok(())
}

/// One client pays one commit per message; 64 clients share theirs.
async fn commits_are_shared(database: &dyn OpenStore) -> Result<(), Broken> {
    let mut owners = Vec::new();
    let store = database.open().await?;
    for shard in 0..8 {
        owners.push(Owner::load(store.clone(), shard, 1, 1).await?);
    }
    let before = store.commits();
    for (number, owner) in owners.iter().cycle().take(50).enumerate() {
        finish_one(owner, &format!("alone{number}")).await?;
    }
    assert_eq!(store.commits() - before, 50, "one commit per message of one client");

    let before = store.commits();
    let clients = (0..64_usize).map(async |client| {
        for (number, owner) in owners.iter().cycle().skip(client).take(50).enumerate() {
            finish_one(owner, &format!("{client}.{number}")).await?;
        }
        Ok::<_, Broken>(())
    });
    for client in join_all(clients).await {
        client?;
    }
    let commits = store.commits() - before;
    assert!(commits <= 64 * 50 / 5, "{commits} commits for {} messages", 64 * 50);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_commits_are_shared_by_concurrent_clients() -> Result<(), Broken> {
    commits_are_shared(&sqlite_file()?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_commits_are_shared_by_concurrent_clients() -> Result<(), Broken> {
    commits_are_shared(&postgres_database("shared").await?).await
}
