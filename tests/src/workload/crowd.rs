//! Many entities, each sent one message.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::caller::ANSWERED_WITHIN;
use crate::{client::Client, wait::Looks};

/// Messages of one request.
const BATCH: u32 = 500;
/// Requests side by side.
const SENDERS: u32 = 4;

/// Registers `e0` and up behind some addresses.
#[derive(Debug, Clone)]
pub struct Crowd {
    client: Client,
    urls: Arc<Vec<String>>,
}

impl Crowd {
    /// A crowd that is reached through `urls`.
    pub fn new(client: Client, urls: Vec<String>) -> Self {
        Self { client, urls: Arc::new(urls) }
    }

    /// Appends to each register of `numbers` once, by batches through all addresses, until each is
    /// stored (`is_async`), or handled.
    pub async fn append(&self, numbers: Range<u32>, is_async: bool) -> Result<()> {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (crowd, numbers) = (self.clone(), numbers.clone());
            senders.spawn(async move {
                let each = usize::try_from(BATCH * SENDERS)?;
                for first in numbers.clone().skip(usize::try_from(BATCH * sender)?).step_by(each) {
                    let batch = first..first.saturating_add(BATCH).min(numbers.end);
                    crowd.batch(batch, is_async).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sender) = senders.join_next().await {
            sender.context("a sender panicked")??;
        }
        Ok(())
    }

    /// Repeats what was not answered with success, at one address after the other.
    async fn batch(&self, numbers: Range<u32>, is_async: bool) -> Result<()> {
        let mut open: BTreeSet<u32> = numbers.clone().collect();
        let mut looks = Looks::during(ANSWERED_WITHIN);
        let mut address = usize::try_from(numbers.start / BATCH)?;
        while !open.is_empty() && looks.next().await {
            let messages: Vec<Value> =
                open.iter().map(|number| message(*number, is_async)).collect();
            let url = self.urls.get(address % self.urls.len()).context("there are no addresses")?;
            address += 1;
            let Some(answers) = self.client.batch(url, &messages).await? else { continue };
            let sent: Vec<u32> = open.iter().copied().collect();
            for (number, status) in sent.into_iter().zip(answers) {
                ensure!(status != 409, "Register/e{number} failed");
                if status == 200 || status == 202 {
                    open.remove(&number);
                }
            }
        }
        ensure!(open.is_empty(), "{} of {numbers:?} were not answered", open.len());
        Ok(())
    }
}

fn message(number: u32, is_async: bool) -> Value {
    let (entity, key) = (format!("Register/e{number}"), format!("e{number}"));
    let payload = json!({ "value": key });
    json!({ "entity": entity, "method": "append", "key": key, "payload": payload, "async": is_async })
}
