//! Registers, to which clients append.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    caller::{ANSWERED_WITHIN, Asked, Caller},
    load::{Load, LoadRun},
};
use crate::{
    client::{Answer, Client, Message},
    history::{Breach, End, Entry, Recorder, around, check},
    wait::Looks,
};

/// Registers, the addresses through which they are reached, and what was done to them.
#[derive(Debug, Clone)]
pub struct Registers {
    pub(super) caller: Caller,
    pub(super) recorder: Arc<Recorder>,
    done: Arc<AtomicU32>,
    prefix: String,
}

/// What `append` answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Appended {
    /// Number in the register.
    pub seq: u64,
    /// Epoch of the commit.
    pub epoch: u64,
    /// Who committed it.
    pub owner: Value,
}

impl Appended {
    /// The owner as a node's number.
    pub fn owner_node(&self) -> Result<u16> {
        let text = self.owner.to_string();
        text.trim_matches('"').parse().with_context(|| format!("{text} is no node"))
    }
}

#[derive(Deserialize)]
struct Values {
    values: Vec<Entry>,
    count: usize,
}

/// The append of `value` under a key of its own.
fn append_to<'a>(register: &'a str, value: &'a str, body: &'a Value) -> Message<'a> {
    let (entity_type, method) = ("Register", "append");
    Message { entity_type, id: register, method, key: Some(value), body }
}

fn acknowledged(Appended { seq, epoch, owner }: Appended) -> End {
    End::Acknowledged { seq, epoch, owner }
}

impl Registers {
    /// Registers behind `urls`, with nothing done yet.
    pub fn new(client: Client, urls: Vec<String>) -> Self {
        let (recorder, done) = (Arc::default(), Arc::default());
        Self { caller: Caller::new(client, urls), recorder, done, prefix: "r".to_owned() }
    }

    /// These registers, with ids that begin with `prefix` in their loads.
    #[must_use]
    pub fn named(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// The same registers and their history, reached through `urls` only.
    #[must_use]
    pub fn through(&self, urls: Vec<String>) -> Self {
        Self { caller: self.caller.through(urls), ..self.clone() }
    }

    /// What notes all that is done.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Appends of [`Registers::load`] that ended so far.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// The attempts so far that a node answered, and not with success; their calls go on.
    pub fn failed(&self) -> Vec<String> {
        self.caller.failed()
    }

    /// A value that nobody has appended yet.
    pub fn next_value(&self, client: u32) -> String {
        format!("c{client}-p{}", self.recorder.stamp())
    }

    /// Appends a new value through the first address, once, and records it.
    pub async fn append_once(&self, client: u32, register: &str) -> Result<Answer> {
        let value = self.next_value(client);
        let call = self.recorder.begin(client, register, &value, &value);
        let body = json!({ "value": value });
        let message = append_to(register, &value, &body);
        let answer = self.caller.client.send(self.caller.url(0), &message).await?;
        let end = match &answer {
            Answer::Done { body, .. } => acknowledged(serde_json::from_value(body.clone())?),
            Answer::Refused(_) | Answer::Failed(_) => End::Refused,
            Answer::Unknown(_) => End::Unknown,
        };
        self.recorder.end(call, end);
        Ok(answer)
    }

    /// Appends once, under one key, at each address in turn from `first` on, until it is answered
    /// with success; records it. `None` if it was not answered in time.
    pub async fn append(
        &self,
        client: u32,
        register: &str,
        value: &str,
        first: usize,
    ) -> Result<Option<Appended>> {
        let call = self.recorder.begin(client, register, value, value);
        let body = json!({ "value": value });
        let message = append_to(register, value, &body);
        let asked = match self.caller.ask(&message, first).await? {
            Asked::Done(body) => body,
            not_answered => {
                let is_refused = not_answered == Asked::Refused;
                self.recorder.end(call, if is_refused { End::Refused } else { End::Unknown });
                return Ok(None);
            }
        };
        let appended: Appended = serde_json::from_value(asked)?;
        self.recorder.end(call, acknowledged(appended.clone()));
        Ok(Some(appended))
    }

    /// Reads a register through one address after the other, from `first` on, until it is
    /// answered; records it.
    pub async fn read(&self, register: &str, first: usize) -> Result<Vec<Entry>> {
        let body = json!({});
        let message = Message {
            entity_type: "Register",
            id: register,
            method: "read",
            key: None,
            body: &body,
        };
        let mut looks = Looks::during(ANSWERED_WITHIN);
        let mut attempt = first;
        while looks.next().await {
            let called = self.recorder.stamp();
            let answer = self.caller.client.send(self.caller.url(attempt), &message).await?;
            attempt += 1;
            match answer {
                Answer::Done { body, .. } => {
                    let Values { values, count } = serde_json::from_value(body)?;
                    ensure!(values.len() == count, "{} values, count {count}", values.len());
                    self.recorder.read(register, called, values.clone());
                    return Ok(values);
                }
                Answer::Failed(problem) => bail!("read of Register/{register}: {problem:?}"),
                Answer::Refused(_) | Answer::Unknown(_) => {}
            }
        }
        bail!("a read of Register/{register} was not answered within {ANSWERED_WITHIN:?}")
    }

    /// Starts `load`. Each client sends one append after the other, to registers in turn. Ends with
    /// the number of appends that were not answered.
    pub fn load(&self, load: Load) -> LoadRun {
        let registers = self.clone();
        load.start(move |client, number| {
            let registers = registers.clone();
            async move {
                let register = format!("{}{}", registers.prefix, number % load.registers);
                let value = format!("c{client}-{number}");
                let first = load.first_address(client, number)?;
                let appended = registers.append(client, &register, &value, first).await?;
                registers.done.fetch_add(1, Ordering::Relaxed);
                Ok(appended.is_some())
            }
        })
    }

    /// Starts `load` of current reads, of registers in turn: each client reads one `every` so often. What
    /// they saw is checked with all else.
    pub fn reads(&self, load: Load, every: Duration) -> LoadRun {
        let registers = self.clone();
        load.start(move |client, number| {
            let registers = registers.clone();
            async move {
                // The first tick comes at once.
                let mut ticks = tokio::time::interval(every);
                ticks.tick().await;
                let register = format!("{}{}", registers.prefix, number % load.registers);
                registers.read(&register, load.first_address(client, number)?).await?;
                ticks.tick().await;
                Ok(true)
            }
        })
    }

    /// Reads every register that was used, through every address, and checks the history.
    pub async fn verify(&self) -> Result<Verified> {
        let history = self.recorder.history();
        let reads = history.reads.len();
        let used: BTreeSet<String> = history.calls.into_iter().map(|call| call.register).collect();
        let mut finals = BTreeMap::new();
        for register in used {
            for address in 0..self.caller.addresses() {
                finals.insert(register.clone(), self.read(&register, address).await?);
            }
        }
        let history = self.recorder.history();
        let breaches = check(&history, &finals);
        if !breaches.is_empty() {
            let lines: Vec<String> = breaches.iter().take(20).map(Breach::to_string).collect();
            let shown = breaches.first().map(|breach| around(&history, breach)).unwrap_or_default();
            let (count, lines) = (breaches.len(), lines.join("\n"));
            bail!("{count} breaches:\n{lines}\nwhat happened around the first:\n{shown}");
        }
        let acknowledged = |end: &End| matches!(end, End::Acknowledged { .. });
        Ok(Verified {
            registers: finals.len(),
            acknowledged: history.calls.iter().filter(|call| acknowledged(&call.end)).count(),
            stored: finals.values().map(Vec::len).sum(),
            reads,
            epochs_most: finals.values().map(|entries| epochs(entries)).max().unwrap_or_default(),
        })
    }
}

fn epochs(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.epoch).collect::<BTreeSet<_>>().len()
}

/// What a history without a breach holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Registers that were used.
    pub registers: usize,
    /// Appends that were answered with success.
    pub acknowledged: usize,
    /// Values that stand in the registers.
    pub stored: usize,
    /// Current reads that were answered before.
    pub reads: usize,
    /// The largest number of epochs that one register went through; 1 means that none moved.
    pub epochs_most: usize,
}
