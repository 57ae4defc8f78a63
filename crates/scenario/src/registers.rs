//! What clients do with registers and publishers.

use quarry_types::ReplyMode;
use serde::Deserialize;

use crate::{
    clients::{Ask, Client, Told},
    history::Appended,
};

/// How many registers clients append to.
pub(crate) const REGISTERS: u64 = 4;
/// How many publishers there are, and to which registers they send.
pub(crate) const PUBLISHERS: u64 = 2;
pub(crate) const SUBSCRIBED: [&str; 3] = ["x0", "x1", "x2"];

/// What an append answers.
#[derive(Deserialize)]
struct Place {
    seq: usize,
    epoch: u64,
    owner: u64,
}

/// What a read answers.
#[derive(Deserialize)]
struct Values {
    values: Vec<Value>,
}

/// One of them.
#[derive(Deserialize)]
struct Value {
    #[serde(rename = "value")]
    text: String,
    epoch: u64,
    owner: u64,
}

/// The values in the answer of a read.
pub(crate) fn values(reply: &str) -> Option<Vec<Appended>> {
    let values: Values = serde_json::from_str(reply).ok()?;
    let appended = |Value { text, epoch, owner }| Appended { text, epoch, owner };
    Some(values.values.into_iter().map(appended).collect())
}

impl Client {
    pub(crate) async fn append(&self, name: &str) {
        let register = self.world.random.below(REGISTERS);
        let payload = format!("{{\"value\":\"{name}\"}}");
        let mut ask = Ask::new(format!("Register/r{register}"), "append", payload, name);
        if self.world.random.hits(20) {
            ask.reply = ReplyMode::Accepted;
        }
        match self.ask(&ask).await {
            Some(Told::Reply { reply, .. }) => {
                let Ok(place) = serde_json::from_str::<Place>(&reply) else {
                    return self.world.chronicle.violation(&format!("{ask:?} answers {reply}"));
                };
                let Place { seq, epoch, owner } = place;
                let appended = Appended { text: name.to_owned(), epoch, owner };
                self.history.appended(register, seq, &appended);
                self.world.chronicle.note(&format!("appended {name} to r{register}: {reply}"));
                if ask.reply == ReplyMode::Outcome {
                    self.ask_again(&ask, &reply).await;
                }
            }
            Some(Told::Accepted { .. }) => {
                self.history.accepted(register, name);
                self.world.chronicle.note(&format!("r{register} takes {name}"));
            }
            other => self.world.chronicle.expect(other.is_none(), || format!("{ask:?}: {other:?}")),
        }
    }

    /// A current read misses nothing that was acknowledged before it began.
    pub(crate) async fn look(&self, name: &str) {
        let register = self.world.random.below(REGISTERS);
        let floor = self.history.length(register);
        let ask = Ask::new(format!("Register/r{register}"), "read", String::new(), name);
        if let Some(Told::Reply { reply, .. }) = self.ask(&ask).await {
            match values(&reply) {
                Some(values) => self.history.read(register, floor, values),
                None => self.world.chronicle.violation(&format!("{ask:?} answers {reply}")),
            }
        }
    }

    pub(crate) async fn publish(&self, name: &str) {
        let publisher = self.world.random.below(PUBLISHERS);
        let payload = serde_json::json!({ "value": name, "to": SUBSCRIBED }).to_string();
        let ask = Ask::new(format!("Publisher/p{publisher}"), "publish", payload, name);
        if let Some(Told::Reply { reply, .. }) = self.ask(&ask).await {
            self.history.published(publisher, name);
            self.world.chronicle.note(&format!("published {name} by p{publisher}: {reply}"));
            self.ask_again(&ask, &reply).await;
        }
    }
}
