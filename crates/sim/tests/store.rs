//! The in-memory store keeps the promises of the port.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use async_trait::async_trait;
use quarry_ports::{CommitError, Host, Store};
use quarry_sim::{
    LostCommit, MemoryDatabase, MemoryStore,
    contract::store::{Broken, OpenStore, Owner, message},
};

struct Memory(Arc<MemoryDatabase>);

#[async_trait]
impl OpenStore for Memory {
    async fn open(&self) -> Result<Arc<dyn Store>, Broken> {
        Ok(MemoryStore::open(&self.0, Host::system().clock))
    }
}

fn memory(_check: &str) -> Ready<Result<Memory, Broken>> {
    ready(Ok(Memory(MemoryDatabase::new())))
}

quarry_sim::store_contract!(memory);

#[tokio::test]
async fn an_unavailable_store_writes_nothing_and_comes_back() -> Result<(), Broken> {
    let memory = Memory(MemoryDatabase::new());
    let owner = Owner::start(&memory, 1, 1).await?;
    let row = message(&owner.address("a")?, "k")?;
    memory.0.faults().set_unavailable("away");
    let away = owner.write(owner.accept(&row)).await;
    assert_eq!(away, Err(CommitError::Unavailable { reason: "away".to_owned() }));
    assert!(owner.store.message(row.message_id).await.is_err());
    memory.0.faults().set_available();
    owner.write(owner.accept(&row)).await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_loses_the_shard_whatever_became_of_the_commit() -> Result<(), Broken> {
    for (lost, there) in [(LostCommit::Written, true), (LostCommit::NotWritten, false)] {
        let memory = Memory(MemoryDatabase::new());
        let owner = Owner::start(&memory, 1, 1).await?;
        let row = message(&owner.address("a")?, "k")?;
        memory.0.faults().lose_answers([lost]);
        let first = owner.write(owner.accept(&row)).await;
        assert!(matches!(first, Err(CommitError::Undecided { .. })));
        let second = owner.write(owner.accept(&message(&row.address, "k2")?)).await;
        assert!(matches!(second, Err(CommitError::Undecided { .. })));
        assert_eq!(owner.store.message(row.message_id).await?.is_some(), there);
        let anew = Owner::load(owner.store.clone(), 1, 2, 1).await?;
        assert_eq!(anew.loaded.sequence.0, u64::from(there));
    }
    Ok(())
}
