//! Clients: each does one thing after the other, and asks again until it is answered.

use std::{sync::Arc, time::Duration};

use quarry_types::{
    Address, Answer, CallError, Callers, Due, Envelope, IdempotencyKey, Keep, KeyOrigin, MessageId,
    Method, Outcome, RefusalCode, ReplyMode, Tenant, UnknownCode,
};

use crate::{chronicle::Point, history::History, world::World};

/// How long a node may take for one try.
const TRY: Duration = Duration::from_secs(5);
/// A client gives a node up that says nothing for so long; it may be gone.
const SILENCE: Duration = Duration::from_secs(6);

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) entity: String,
    pub(crate) method: &'static str,
    pub(crate) payload: String,
    pub(crate) key: String,
    pub(crate) reply: ReplyMode,
}

impl Ask {
    pub(crate) fn new(entity: String, method: &'static str, payload: String, key: &str) -> Self {
        Self { entity, method, payload, key: key.to_owned(), reply: ReplyMode::Outcome }
    }

    /// Whether it leaves a row behind.
    fn is_durable(&self) -> bool {
        !matches!(self.method, "read" | "told")
    }
}

/// What it is told in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The message was handled; whether its outcome stood before.
    Reply { message_id: MessageId, reply: String, replayed: bool },
    /// The message is kept, and will be handled.
    Accepted { message_id: MessageId },
    /// It is set aside.
    Quarantined { message_id: MessageId },
    /// The key stands for another payload.
    KeyReused,
}

/// One client.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) history: Arc<History>,
    pub(crate) id: u64,
}

impl Client {
    /// Does one thing after the other until `end`, and ends what it has begun.
    pub(crate) async fn run(self, end: quarry_types::Monotonic) {
        let mut number = 0;
        while self.world.host.now() < end && !self.world.chronicle.is_broken() {
            number += 1;
            let name = format!("{}-{number:04}", self.id);
            match self.world.random.below(100) {
                0..30 => self.append(&name).await,
                30..45 => self.look(&name).await,
                45..60 => self.add(&name).await,
                60..72 => self.publish(&name).await,
                72..84 => self.tell(&name).await,
                84..94 => self.count(&name).await,
                94..96 => self.annoy(&name).await,
                _ => tokio::time::sleep(self.world.random.milliseconds(1, 500)).await,
            }
            tokio::time::sleep(self.world.random.milliseconds(0, 100)).await;
        }
    }

    /// Asks until it is answered.
    pub(crate) async fn ask(&self, ask: &Ask) -> Option<Told> {
        let Some(envelope) = self.envelope(ask) else {
            self.world.chronicle.violation(&format!("{ask:?} cannot be asked"));
            return None;
        };
        let mut send_count = 0;
        while !self.world.chronicle.is_broken() {
            let envelope = Envelope { send_count, ..envelope.clone() };
            if let Some(told) = self.ask_once(envelope).await {
                if send_count > 0 {
                    self.world.chronicle.reach(Point::Resend);
                }
                self.world.chronicle.acknowledged();
                self.check_row(ask, &told);
                return Some(told);
            }
            send_count += 1;
            tokio::time::sleep(self.world.random.milliseconds(10, 100)).await;
        }
        None
    }

    /// D1: a row stands when success is answered.
    fn check_row(&self, ask: &Ask, told: &Told) {
        match told {
            Told::Reply { message_id, .. } | Told::Accepted { message_id } if ask.is_durable() => {
                self.world.observer.told(*message_id);
            }
            _ => {}
        }
    }

    fn envelope(&self, ask: &Ask) -> Option<Envelope> {
        let address = Address::parse(Tenant::default_tenant(), &ask.entity).ok()?;
        let (wall, random) = (self.world.host.clock.wall(), self.world.random.next());
        Some(Envelope {
            message_id: MessageId::new(wall, address.slot(), random),
            address,
            method: Method::new(ask.method).ok()?,
            payload: ask.payload.clone().into(),
            key: IdempotencyKey::new(&ask.key).ok()?,
            key_origin: KeyOrigin::Client,
            send_count: 0,
            reply: ask.reply,
            due: Due::Now,
            keep: Keep::Everything,
            trace_parent: None,
            callers: Callers::none(),
        })
    }

    async fn ask_once(&self, envelope: Envelope) -> Option<Told> {
        let (node, process) = self.world.any_node()?;
        let (through, message_id) = (node.id(), envelope.message_id);
        // The part of the call that is the node's runs, stops and ends with its process.
        let (tell, told) = tokio::sync::oneshot::channel();
        let host = process.host(&self.world.host);
        drop(host.spawn("call", async move { drop(tell.send(node.call(envelope, TRY).await)) }));
        let chronicle = &self.world.chronicle;
        match tokio::time::timeout(SILENCE, told).await {
            Err(_) | Ok(Err(_)) => None,
            Ok(Ok(Ok(Answer::Handled { message_id, outcome, replayed }))) => match outcome {
                Outcome::Success(reply) => {
                    let reply = String::from_utf8_lossy(&reply).into_owned();
                    Some(Told::Reply { message_id, reply, replayed })
                }
                Outcome::Failure(failure) => {
                    chronicle.violation(&format!("a failure that nothing asked for: {failure}"));
                    None
                }
            },
            Ok(Ok(Ok(Answer::Accepted { message_id, .. }))) => Some(Told::Accepted { message_id }),
            Ok(Ok(Err(CallError::Unknown(unknown)))) => {
                chronicle.note(&format!("unknown from {through}: {}", unknown.code.as_str()));
                let is_aside = unknown.code == UnknownCode::Quarantined;
                is_aside.then_some(Told::Quarantined { message_id })
            }
            Ok(Ok(Err(CallError::Refused(refusal)))) => {
                chronicle.note(&format!("refused by {through}: {}", refusal.code.as_str()));
                if refusal.code == RefusalCode::KeyReused {
                    return Some(Told::KeyReused);
                }
                chronicle.expect(refusal.code.is_retryable(), || {
                    format!("a refusal that nothing asked for: {refusal}")
                });
                None
            }
        }
    }

    /// Asks the same again, or under the same key for something else: the first stands (G5).
    pub(crate) async fn ask_again(&self, ask: &Ask, first: &str) {
        if !self.world.random.hits(15) {
            return;
        }
        let is_other = self.world.random.hits(30);
        let mut again = ask.clone();
        if is_other {
            again.payload = again.payload.replacen('"', " \"", 1);
        }
        let told = self.ask(&again).await;
        let chronicle = &self.world.chronicle;
        match told {
            Some(Told::KeyReused) if is_other => {}
            Some(Told::Reply { reply, replayed: true, .. }) if !is_other && reply == first => {}
            None => {}
            Some(other) => chronicle.violation(&format!("G5: {again:?} after {first}: {other:?}")),
        }
    }

    async fn add(&self, name: &str) {
        let counter = self.world.random.below(3);
        let amount = self.world.random.below(1_000);
        let entity = format!("Counter/c{counter}");
        let floor = self.history.counted(counter);
        let ask = Ask::new(entity, "add", amount.to_string(), name);
        if let Some(Told::Reply { reply, .. }) = self.ask(&ask).await {
            self.history.added(counter, amount, floor, &reply);
            self.world.chronicle.note(&format!("added {amount} to c{counter}: {reply}"));
        }
    }

    async fn count(&self, name: &str) {
        let brief = self.world.random.below(3);
        let ask = Ask::new(format!("Brief/b{brief}"), "count", String::new(), name);
        if let Some(Told::Reply { reply, .. }) = self.ask(&ask).await {
            self.history.briefly_counted();
            self.world.chronicle.note(&format!("counted b{brief}: {reply}"));
        }
    }

    async fn annoy(&self, name: &str) {
        let ask = Ask::new(format!("Grump/g{}", self.id), "smile", String::new(), name);
        let told = self.ask(&ask).await;
        self.world.chronicle.expect(matches!(told, None | Some(Told::Quarantined { .. })), || {
            format!("{ask:?} cannot end as {told:?}")
        });
    }
}
