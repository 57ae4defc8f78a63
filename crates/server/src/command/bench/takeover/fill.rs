//! Messages to the entities of the backlog.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quarry::prelude::{Address, Node};
use quarry_ports::Host;
use quarry_types::{
    Answer, CallError, Callers, Due, EntityId, EntityType, Envelope, Keep, KeyOrigin, Method,
    ReplyMode, Tenant,
};
use tokio::sync::mpsc;

use super::entity::Pile;
use crate::failure::{Exit, Failure};

/// How long one message may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Callers that fill.
const CALLERS: u32 = 256;

/// Sends to the entities of the backlog.
#[derive(Clone)]
pub(super) struct Sender {
    node: Node,
    method: Method,
    payload: Bytes,
}

impl Sender {
    /// One through `node`, with payloads of `length` bytes.
    pub(super) fn new(node: &Node, length: usize) -> Result<Self, Failure> {
        let payload = serde_json::Value::String("x".repeat(length)).to_string().into();
        let method = Method::new("take").map_err(anyhow::Error::from)?;
        Ok(Self { node: node.clone(), method, payload })
    }

    /// Sends one message to the entity `name`.
    pub(super) async fn send(&self, name: &str, reply: ReplyMode) -> Result<Answer, Failure> {
        let address = Address {
            tenant: Tenant::default_tenant(),
            entity_type: EntityType::new(Pile::NAME).map_err(anyhow::Error::from)?,
            id: EntityId::new(name).map_err(anyhow::Error::from)?,
        };
        let envelope = Envelope {
            message_id: self.node.new_message_id(&address),
            address,
            method: self.method.clone(),
            payload: self.payload.clone(),
            key: self.node.new_key(),
            key_origin: KeyOrigin::Gateway,
            send_count: 0,
            reply,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        };
        let failed = |error: CallError| Failure::new(Exit::Failed, error.to_string());
        self.node.call(envelope, TIMEOUT).await.map_err(failed)
    }

    /// Sends `backlog` messages to `entities` entities, in turn, each answered once it is stored.
    pub(super) async fn fill(
        &self,
        backlog: u32,
        entities: u32,
        host: &Host,
    ) -> Result<(), Failure> {
        let (results, mut ended) = mpsc::channel(1);
        let sender = Arc::new(self.clone());
        for caller in 0..CALLERS {
            let (sender, results) = (Arc::clone(&sender), results.clone());
            host.spawn("bench-fill", async move {
                let mut result = Ok(());
                let mut number = caller;
                while number < backlog && result.is_ok() {
                    let name = format!("e{}", number % entities);
                    result = sender.send(&name, ReplyMode::Accepted).await.map(drop);
                    number = number.saturating_add(CALLERS);
                }
                // The receiver waits for every caller.
                drop(results.send(result).await);
            });
        }
        drop(results);
        while let Some(result) = ended.recv().await {
            result?;
        }
        Ok(())
    }
}
