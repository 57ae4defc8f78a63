//! The two ways to a node: in its process, and over HTTP.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use quarry::prelude::{Address, Node};
use quarry_client::{Client, Json, SendOptions};
use quarry_types::{
    Answer, Callers, Due, EntityId, EntityType, Envelope, Keep, KeyOrigin, MessageId, Method,
    Outcome, ReplyMode, Tenant,
};

use serde_json::value::{RawValue, to_raw_value};

use super::load::Target;
use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A text of `length` bytes.
pub(crate) fn text(length: u32) -> Json {
    Json::String("x".repeat(usize::try_from(length).unwrap_or(0)))
}

/// What is called: the addresses, and one method with one payload.
pub(crate) struct Calls {
    addresses: Vec<Address>,
    method: Method,
    payload: Option<Box<RawValue>>,
}

impl Calls {
    /// Calls of `method` with `payload` to `keys` entities of the bench's own type.
    pub(crate) fn new(keys: u32, method: &str, payload: Option<&Json>) -> Result<Self, Failure> {
        Self::to("BenchProbe", 0..keys, method, payload)
    }

    /// Calls of `method` with `payload` to entities of a type, from the one of a number on.
    pub(crate) fn to(
        entity_type: &str,
        keys: Range<u32>,
        method: &str,
        payload: Option<&Json>,
    ) -> Result<Self, Failure> {
        let payload = payload.map(to_raw_value).transpose();
        let address = |key: u32| -> anyhow::Result<Address> {
            Ok(Address {
                tenant: Tenant::default_tenant(),
                entity_type: EntityType::new(entity_type)?,
                id: EntityId::new(&format!("p{key}"))?,
            })
        };
        Ok(Self {
            addresses: keys.map(address).collect::<anyhow::Result<_>>()?,
            method: Method::new(method).map_err(anyhow::Error::from)?,
            payload: payload.map_err(anyhow::Error::from)?,
        })
    }

    fn address(&self, key: u32) -> Result<&Address, String> {
        let index = usize::try_from(key).map_err(|error| error.to_string())?;
        self.addresses.get(index).ok_or_else(|| format!("no entity {key}"))
    }
}

/// Calls in the node's own process.
pub(crate) struct InProcess {
    node: Node,
    calls: Arc<Calls>,
    body: Bytes,
    reply: ReplyMode,
}

impl InProcess {
    /// Calls of `node` that wait for the outcome.
    pub(crate) fn new(node: Node, calls: Arc<Calls>) -> Self {
        let body = calls.payload.as_ref();
        let body = body.map_or_else(Bytes::new, |json| json.get().to_owned().into());
        Self { node, calls, body, reply: ReplyMode::Outcome }
    }

    /// The same one-way: answered when the message is stored.
    pub(crate) fn one_way(self) -> Self {
        Self { reply: ReplyMode::Accepted, ..self }
    }

    /// One call to the entity with this number; the id of its message.
    pub(crate) async fn send(&self, key: u32) -> Result<MessageId, String> {
        let address = self.calls.address(key)?;
        let envelope = Envelope {
            message_id: self.node.new_message_id(address),
            address: address.clone(),
            method: self.calls.method.clone(),
            payload: self.body.clone(),
            key: self.node.new_key(),
            key_origin: KeyOrigin::Gateway,
            send_count: 0,
            reply: self.reply,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        };
        match self.node.call(envelope, TIMEOUT).await {
            Ok(
                Answer::Accepted { message_id, .. }
                | Answer::Handled { message_id, outcome: Outcome::Success(_), .. },
            ) => Ok(message_id),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Target for InProcess {
    async fn call(&self, key: u32) -> Result<(), String> {
        self.send(key).await.map(drop)
    }
}

/// Calls over HTTP, from the same process.
pub(crate) struct OverHttp {
    client: Client,
    calls: Arc<Calls>,
}

impl OverHttp {
    /// Calls of the node at `url`.
    pub(crate) fn new(url: &str, calls: Arc<Calls>) -> Result<Self, Failure> {
        Ok(Self { client: Client::new([url], None)?, calls })
    }
}

impl Target for OverHttp {
    async fn call(&self, key: u32) -> Result<(), String> {
        let address = self.calls.address(key)?;
        let options = SendOptions { timeout: TIMEOUT, ..SendOptions::default() };
        let payload = self.calls.payload.as_deref();
        let sent = self.client.send(address, &self.calls.method, payload, options).await;
        sent.map(drop).map_err(|error| error.to_string())
    }
}
