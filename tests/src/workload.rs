//! Clients that append to registers, through all addresses, until they are answered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client, Message},
    history::{Breach, End, Entry, Recorder, check},
    wait::Looks,
};

/// How long one append may take, with all its attempts.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Registers, the addresses through which they are reached, and what was done to them.
#[derive(Debug, Clone)]
pub struct Registers {
    client: Client,
    urls: Arc<[String]>,
    recorder: Arc<Recorder>,
    done: Arc<AtomicU32>,
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

/// How many clients append how often.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Clients side by side; each waits for its answers.
    pub clients: u32,
    /// Registers, chosen in turn, `r0` and up.
    pub registers: u32,
    /// Appends of all clients together, unless the load is stopped before.
    pub appends: u32,
}

impl Load {
    /// A load that goes on until it is stopped.
    pub const fn endless(clients: u32, registers: u32) -> Self {
        Self { clients, registers, appends: u32::MAX }
    }
}

impl Registers {
    /// Registers behind `urls`, with nothing done yet.
    pub fn new(client: Client, urls: Vec<String>) -> Self {
        let (recorder, done) = (Arc::default(), Arc::default());
        Self { client, urls: urls.into(), recorder, done }
    }

    /// The same registers and their history, reached through `urls` only.
    #[must_use]
    pub fn through(&self, urls: Vec<String>) -> Self {
        Self { urls: urls.into(), ..self.clone() }
    }

    /// Appends of [`Registers::load`] that ended so far.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// A value that nobody has appended yet.
    pub fn next_value(&self, client: u32) -> String {
        format!("c{client}-p{}", self.recorder.stamp())
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
        let message = Message {
            entity_type: "Register",
            id: register,
            method: "append",
            key: Some(value),
            body: &body,
        };
        let mut perhaps_done = false;
        let mut looks = Looks::during(ANSWERED_WITHIN);
        let mut attempt = first;
        while looks.next().await {
            let answer = self.client.send(self.url(attempt), &message).await?;
            attempt += 1;
            match answer {
                Answer::Done { body, .. } => {
                    let appended: Appended = serde_json::from_value(body)?;
                    let Appended { seq, epoch, owner } = appended.clone();
                    self.recorder.end(call, End::Acknowledged { seq, epoch, owner });
                    return Ok(Some(appended));
                }
                Answer::Unknown(_) => perhaps_done = true,
                Answer::Refused(problem) if problem.retryable => {}
                Answer::Refused(problem) | Answer::Failed(problem) => {
                    bail!("append {value} to Register/{register}: {problem:?}");
                }
            }
        }
        self.recorder.end(call, if perhaps_done { End::Unknown } else { End::Refused });
        Ok(None)
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
            let answer = self.client.send(self.url(attempt), &message).await?;
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

    fn url(&self, attempt: usize) -> &str {
        let mut urls = self.urls.iter().cycle().skip(attempt % self.urls.len().max(1));
        urls.next().map(String::as_str).unwrap_or_default()
    }

    /// Starts `load`. Each client sends one append after the other, to all registers and through
    /// all addresses in turn. Ends with the number of appends that were not answered.
    pub fn load(&self, load: Load) -> LoadRun {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..load.clients {
            let (registers, stop) = (self.clone(), Arc::clone(&stop));
            clients.spawn(async move { registers.run_client(client, load, &stop).await });
        }
        LoadRun { clients, stop }
    }

    async fn run_client(self, client: u32, load: Load, stop: &AtomicBool) -> Result<u32> {
        let mut unanswered = 0;
        for number in (client..load.appends).step_by(usize::try_from(load.clients)?) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let register = format!("r{}", number % load.registers);
            let value = format!("c{client}-{number}");
            let first = usize::try_from(number / load.clients)?;
            unanswered += u32::from(self.append(client, &register, &value, first).await?.is_none());
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(unanswered)
    }

    /// Reads every register that was used, through every address, and checks the history.
    pub async fn verify(&self) -> Result<Verified> {
        let calls = self.recorder.history().calls;
        let used: std::collections::BTreeSet<String> =
            calls.into_iter().map(|call| call.register).collect();
        let mut finals = BTreeMap::new();
        for register in used {
            for address in 0..self.urls.len() {
                finals.insert(register.clone(), self.read(&register, address).await?);
            }
        }
        let history = self.recorder.history();
        let breaches = check(&history, &finals);
        if !breaches.is_empty() {
            let lines: Vec<String> = breaches.iter().take(20).map(Breach::to_string).collect();
            bail!("{} breaches:\n{}", breaches.len(), lines.join("\n"));
        }
        let acknowledged = |end: &End| matches!(end, End::Acknowledged { .. });
        Ok(Verified {
            registers: finals.len(),
            acknowledged: history.calls.iter().filter(|call| acknowledged(&call.end)).count(),
            stored: finals.values().map(Vec::len).sum(),
            epochs_most: finals.values().map(|entries| epochs(entries)).max().unwrap_or_default(),
        })
    }
}

fn epochs(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.epoch).collect::<std::collections::BTreeSet<_>>().len()
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
    /// The largest number of epochs that one register went through; 1 means that none moved.
    pub epochs_most: usize,
}

/// A load that runs; dropping it ends its clients.
#[derive(Debug)]
pub struct LoadRun {
    clients: JoinSet<Result<u32>>,
    stop: Arc<AtomicBool>,
}

impl LoadRun {
    /// Waits for all clients; the number of appends that were not answered.
    pub async fn finish(mut self) -> Result<u32> {
        let mut unanswered = 0;
        while let Some(client) = self.clients.join_next().await {
            unanswered += client.context("a client panicked")??;
        }
        Ok(unanswered)
    }

    /// Lets every client end what it does, and waits for that; the number of appends that were not
    /// answered.
    pub async fn stop(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }
}
