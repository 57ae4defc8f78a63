//! What memory holds of an entity, for people who ask its owner.

use std::time::Duration;

use quarry_core::delivery::InMemory;
use quarry_types::Address;
use tokio::sync::oneshot;

use super::owner::Owner;
use crate::{Node, inbox::Ask};

impl Node {
    /// What the memory of this node holds of an entity. None where this node does not serve its shard,
    /// or does not say so within `timeout`.
    pub async fn look(&self, address: &Address, timeout: Duration) -> Option<InMemory> {
        let spot = self.0.spot_of(address)?;
        let Owner::Here(inbox) = self.0.owner(spot) else { return None };
        let (told, answer) = oneshot::channel();
        self.0.push(spot, &inbox, Ask::Look { address: address.clone(), told }).ok()?;
        tokio::time::timeout(timeout, answer).await.ok()?.ok()
    }
}
