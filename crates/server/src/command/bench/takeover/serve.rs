//! What is measured in the process that takes the backlog over.

use std::time::Duration;

use quarry::prelude::Node;
use quarry_ports::Host;
use quarry_types::ReplyMode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{entity::Pile, fill::Sender};
use crate::{
    command::bench::{child::memory_kib, load::percentile, wait::until},
    failure::Failure,
};

/// How long it may take until something is owned, and until something of the backlog is handled.
const WITHIN: Duration = Duration::from_mins(1);
/// Callers of new messages.
const CALLERS: u32 = 4;

/// What one takeover came to. Times are in milliseconds, memory in MiB.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Taken {
    /// From the first owned shard to the first old message that was handled.
    pub(super) first_ms: f64,
    /// Times of new messages to entities with a backlog, until they were accepted.
    pub(super) accepted_ms: [f64; 3],
    /// Times of new messages to entities without one, until they were handled.
    pub(super) handled_ms: [f64; 3],
    /// New messages that were answered, and those that were not taken.
    pub(super) new: [usize; 2],
    /// What the first of those was told.
    pub(super) first_error: Option<String>,
    /// Messages handled per second while the backlog was worked off, or for as long as was measured.
    pub(super) per_second: f64,
    /// The most resident memory of the process, and what it had before it owned anything.
    pub(super) memory_mib: [f64; 2],
    /// The most messages that were in its memory.
    pub(super) held: i64,
}

/// The middle, the 99th of 100, and the most.
fn spread(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    [0.5, 0.99, 1.0].map(|share| percentile(&times, share).as_secs_f64() * 1e3)
}

/// Measures `node` from its start on, for `seconds` or until `backlog` messages are handled.
pub(super) async fn measure(
    node: &Node,
    pile: &Pile,
    sender: &Sender,
    (backlog, entities, seconds): (u32, u32, u32),
    host: &Host,
) -> Result<Taken, Failure> {
    let metrics = node.ports().metrics.clone();
    let before = memory_kib("VmRSS")? / 1_024.0;
    let owned =
        until("no shard was owned", WITHIN, host, || metrics.active_shards.get() > 0).await?;
    let first = until("nothing was handled", WITHIN, host, || pile.handled() > 0).await?;
    let deadline = owned.after(Duration::from_secs(u64::from(seconds)));
    let (old, mut accepted) = mpsc::unbounded_channel::<Result<Duration, Failure>>();
    let (new, mut handled) = mpsc::unbounded_channel::<Result<Duration, Failure>>();
    for caller in 0..CALLERS {
        let (sender, old, new, clock) = (sender.clone(), old.clone(), new.clone(), host.clone());
        host.spawn("bench-new", async move {
            let mut number = caller;
            while clock.now() < deadline {
                let (name, mode, times) = if number.is_multiple_of(2) {
                    (format!("e{}", number % entities), ReplyMode::Accepted, &old)
                } else {
                    (format!("new{number}"), ReplyMode::Outcome, &new)
                };
                let asked = clock.now();
                let sent = sender.send(&name, mode).await;
                // The receiver lives until all callers are done.
                let _ = times.send(sent.map(|_| clock.now().since(asked)));
                number = number.saturating_add(CALLERS + 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    drop((old, new));
    let mut held = 0;
    while host.now() < deadline && pile.handled() < u64::from(backlog) {
        held = held.max(metrics.pending_messages.get());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = host.now().since(owned).as_secs_f64().max(1e-9);
    let done = f64::from(u32::try_from(pile.handled()).unwrap_or(u32::MAX));
    let (mut accepted_in, mut handled_in, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (times, into) in [(&mut accepted, &mut accepted_in), (&mut handled, &mut handled_in)] {
        while let Some(time) = times.recv().await {
            match time {
                Ok(time) => into.push(time),
                Err(error) => errors.push(error.to_string()),
            }
        }
    }
    Ok(Taken {
        first_ms: first.since(owned).as_secs_f64() * 1e3,
        new: [accepted_in.len() + handled_in.len(), errors.len()],
        first_error: errors.into_iter().next(),
        accepted_ms: spread(accepted_in),
        handled_ms: spread(handled_in),
        per_second: done / took,
        memory_mib: [memory_kib("VmHWM")? / 1_024.0, before],
        held,
    })
}
