//! The processes whose memory is measured: one with plain tasks, and one with a node.
//!
//! The memory that an allocator was given back is not the system's again. So two crowds of entities come
//! one after the other: the second finds what the first left, and what is held after it that was not
//! held before it is the cost of being dormant.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use quarry_types::duration_in_words;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    cli::{Format, MemoryProcess},
    command::bench::{
        child::memory_kib,
        load::{self, Load, Target},
        run::{self, WARM_UP},
        surface::{Calls, InProcess, text},
        wait::until,
    },
    failure::{Exit, Failure},
    node::RunningNode,
    output::Output,
};

/// Callers that make entities resident.
const CALLERS: u32 = 64;
/// How long what was called may take to come to rest.
const QUIET_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take beyond their time until all are dormant.
const DORMANT_WITHIN: Duration = Duration::from_mins(2);

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// What plain tasks hold.
    Tasks {
        /// Bytes of each.
        bytes: f64,
    },
    /// What a node holds.
    Node(Held),
}

/// Resident memory of a node's process, in KiB.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held {
    /// What the store calls itself.
    pub(super) store: String,
    /// When it was ready and nothing had been called.
    pub(super) idle: f64,
    /// When it had served calls, before the first crowd came.
    pub(super) before: f64,
    /// When each crowd was resident.
    pub(super) resident: [f64; 2],
    /// When each crowd was dormant.
    pub(super) dormant: [f64; 2],
}

/// Runs one of the two, and says what it came to.
pub(crate) async fn run(arguments: &MemoryProcess, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let said = if arguments.plain {
        Said::Tasks { bytes: tasks(arguments, &host)? }
    } else {
        let place = (arguments.directory.as_path(), arguments.store.as_str());
        let (store, mut held) =
            run::on_a_node(place, Some(arguments.idle_after), &host, async |node| {
                Bench { arguments, node, host: &host }.held().await
            })
            .await?;
        held.store = store;
        Said::Node(held)
    };
    output.with_format(Format::Jsonl).record(&[], &said)
}

/// Bytes of a task that waits on a channel of its own and keeps a text.
fn tasks(arguments: &MemoryProcess, host: &Host) -> Result<f64, Failure> {
    let length = usize::try_from(arguments.payload).unwrap_or(0);
    let mut senders = Vec::with_capacity(usize::try_from(arguments.entities).unwrap_or(0));
    let before = memory_kib("VmRSS")?;
    for _ in 0..arguments.entities {
        let (sender, mut receiver) = mpsc::channel::<()>(1);
        let text = "x".repeat(length);
        host.spawn("bench-task", async move {
            while receiver.recv().await.is_some() {}
            drop(text);
        });
        senders.push(sender);
    }
    let after = memory_kib("VmRSS")?;
    drop(senders);
    Ok((after - before) * 1_024.0 / f64::from(arguments.entities))
}

struct Bench<'a> {
    arguments: &'a MemoryProcess,
    node: &'a RunningNode,
    host: &'a Host,
}

impl Bench<'_> {
    async fn held(&self) -> Result<Held, Failure> {
        let idle = memory_kib("VmRSS")?;
        let entities = self.arguments.entities;
        let put = |keys| -> Result<Arc<InProcess>, Failure> {
            let calls = Calls::to("BenchProbe", keys, "put", Some(&text(self.arguments.payload)))?;
            Ok(Arc::new(InProcess::new(self.node.node().clone(), Arc::new(calls))))
        };
        // Other entities are called first, and are dormant when the first crowd comes.
        let others = 2 * entities..2 * entities + CALLERS;
        let crowds = [put(0..entities)?, put(entities..2 * entities)?];
        let load = Load { concurrency: CALLERS, keys: CALLERS, length: WARM_UP };
        load::run(&put(others)?, load, self.host).await?;
        self.dormant().await?;
        let before = memory_kib("VmRSS")?;
        let (mut resident, mut dormant) = ([0.0; 2], [0.0; 2]);
        for (crowd, (resident, dormant)) in crowds.iter().zip(resident.iter_mut().zip(&mut dormant))
        {
            *resident = self.resident(crowd).await?;
            *dormant = self.dormant().await?;
        }
        Ok(Held { store: String::new(), idle, before, resident, dormant })
    }

    /// Makes a crowd resident; the memory then.
    async fn resident(&self, crowd: &Arc<impl Target>) -> Result<f64, Failure> {
        let entities = self.arguments.entities;
        let metrics = &self.node.node().ports().metrics;
        let round = load::each(crowd, (CALLERS, entities), self.host).await?;
        if let Some(error) = round.first_error {
            let message = format!("{} calls failed: {error}", round.errors);
            return Err(Failure::new(Exit::Failed, message));
        }
        drop(round);
        let is_quiet = || metrics.pending_messages.get() == 0;
        until("messages were open", QUIET_WITHIN, self.host, is_quiet).await?;
        let held = memory_kib("VmRSS")?;
        let resident = metrics.residents.get();
        if resident != i64::from(entities) {
            let message = format!("{resident} of {entities} entities were resident at one time");
            let time = duration_in_words(self.arguments.idle_after);
            return Err(Failure::new(Exit::Failed, message)
                .advise(format!("give a longer --idle-after than {time}")));
        }
        Ok(held)
    }

    /// Waits until no entity is resident; the memory then.
    async fn dormant(&self) -> Result<f64, Failure> {
        let metrics = &self.node.node().ports().metrics;
        let within = self.arguments.idle_after.saturating_add(DORMANT_WITHIN);
        let is_dormant = || metrics.residents.get() == 0;
        until("entities stayed resident", within, self.host, is_dormant).await?;
        memory_kib("VmRSS")
    }
}
