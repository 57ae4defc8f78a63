//! The processes of the bench: each starts a node on the store, calls its entities, and ends.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{ActivationProcess, Format},
    command::bench::{
        load::{self, Load, Round},
        run::{self, WARM_UP},
        surface::{Calls, InProcess, text},
        wait::until,
    },
    failure::{Exit, Failure},
    node::RunningNode,
    output::Output,
};

/// How long an entity stays resident: so short that each is called while it is dormant.
const IDLE_AFTER: Duration = Duration::from_millis(100);
/// How long it may take until none is resident.
const DORMANT_WITHIN: Duration = Duration::from_mins(2);
/// Entities that are called all the time, so that they stay resident.
const RESIDENT: u32 = 16;

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// Every entity has its state.
    Filled {
        /// What the store calls itself.
        store: String,
    },
    /// Every entity was called.
    Called {
        /// For the first time since the node started.
        cold: Round,
        /// When it was dormant again: from memory, as far as its state is kept there.
        warm: Round,
        /// The baseline: some of them, all the time.
        resident: Round,
    },
}

/// Runs one of the two, and says what it came to.
pub(crate) async fn run(arguments: &ActivationProcess, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let place = (arguments.directory.as_path(), arguments.store.as_str());
    let (store, called) = run::on_a_node(place, Some(IDLE_AFTER), &host, async |node| {
        let bench = Bench { arguments, node, host: &host };
        if arguments.fill {
            bench.fill().await.map(|()| None)
        } else {
            bench.turn().await.map(Some)
        }
    })
    .await?;
    output.with_format(Format::Jsonl).record(&[], &called.unwrap_or(Said::Filled { store }))
}

struct Bench<'a> {
    arguments: &'a ActivationProcess,
    node: &'a RunningNode,
    host: &'a Host,
}

impl Bench<'_> {
    /// Gives every entity its state.
    async fn fill(&self) -> Result<(), Failure> {
        let ActivationProcess { entities, payload, concurrency, .. } = self.arguments;
        let calls = Arc::new(Calls::new(*entities, "put", Some(&text(*payload)))?);
        let put = Arc::new(InProcess::new(self.node.node().clone(), calls));
        all(load::each(&put, (*concurrency, *entities), self.host).await?).map(drop)
    }

    /// One round of each kind.
    async fn turn(&self) -> Result<Said, Failure> {
        let calls = Arc::new(Calls::new(self.arguments.entities, "length", None)?);
        let read = Arc::new(InProcess::new(self.node.node().clone(), calls));
        let cold = self.activated(&read, &["store"]).await?;
        let warm = self.activated(&read, &["memory", "store"]).await?;
        let keys = self.arguments.entities.min(RESIDENT);
        let load = Load { concurrency: self.arguments.concurrency, keys, length: WARM_UP };
        load::run(&read, Load { length: WARM_UP / 5, ..load }, self.host).await?;
        Ok(Said::Called { cold, warm, resident: load::run(&read, load, self.host).await? })
    }

    /// Calls each entity once while all are dormant; their states have to come from `tiers`.
    async fn activated(&self, read: &Arc<InProcess>, tiers: &[&str]) -> Result<Round, Failure> {
        let ActivationProcess { entities, concurrency, .. } = *self.arguments;
        let metrics = &self.node.node().ports().metrics;
        let is_dormant = || metrics.residents.get() == 0;
        until("entities stayed resident", DORMANT_WITHIN, self.host, is_dormant).await?;
        let count = |tier: &&str| metrics.activations.with_label_values(&[*tier]).get();
        let activations = || tiers.iter().map(count).sum::<u64>();
        let before = activations();
        let round = load::each(read, (concurrency, entities), self.host).await?;
        let activated = activations().saturating_sub(before);
        if activated != u64::from(entities) {
            let tiers = tiers.join(" or ");
            let message =
                format!("{entities} calls to dormant entities loaded {activated} from {tiers}");
            return Err(Failure::new(Exit::Failed, message));
        }
        all(round)
    }
}

/// A round of which every call succeeded.
fn all(round: Round) -> Result<Round, Failure> {
    match &round.first_error {
        Some(error) => {
            Err(Failure::new(Exit::Failed, format!("{} calls failed: {error}", round.errors)))
        }
        None => Ok(round),
    }
}
