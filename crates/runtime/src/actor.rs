//! A live entity as a ractor actor.

use prometheus::{Histogram, HistogramVec};
use quarry_core::delivery::{Chunk, Ran, RunId, RunKind};
use quarry_ports::Host;
use quarry_types::{Address, EntityType};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use crate::{Context, inbox::Waiter, instance::Instance};

/// One run to make.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) kind: RunKind,
    pub(crate) context: Context,
}

impl ractor::Message for Run {}

/// What an actor tells its shard's task.
pub(crate) struct RunEnd {
    pub(crate) address: Address,
    pub(crate) run: RunId,
    pub(crate) ran: Ran,
}

/// What a handler says while it runs.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) address: Address,
    pub(crate) run: RunId,
    pub(crate) what: Saying,
}

#[derive(Debug)]
pub(crate) enum Saying {
    /// A chunk of the reply.
    Chunk(Chunk),
    /// It is about to do what cannot be undone: tell it when all before that is durable.
    Settle(Waiter),
}

pub(crate) struct EntityActor;

/// What an actor starts with. The way back is unbounded by type; it holds at most one result per
/// live actor, because an actor gets its next run only after the shard's task took the last one.
pub(crate) struct Hosted {
    pub(crate) address: Address,
    pub(crate) instance: Box<dyn Instance>,
    pub(crate) ends: mpsc::UnboundedSender<RunEnd>,
    pub(crate) timed: Timed,
}

/// Measures the runs of one type.
pub(crate) struct Timed {
    host: Host,
    seconds: Histogram,
}

impl Timed {
    pub(crate) fn of(entity_type: &EntityType, host: Host, seconds: &HistogramVec) -> Self {
        Self { host, seconds: seconds.with_label_values(&[entity_type.as_str()]) }
    }

    async fn run<T>(&self, run: impl Future<Output = T>) -> T {
        let begun = self.host.now();
        let ran = run.await;
        self.seconds.observe(self.host.now().since(begun).as_secs_f64());
        ran
    }
}

impl Actor for EntityActor {
    type Msg = Run;
    type State = Hosted;
    type Arguments = Hosted;

    async fn pre_start(
        &self,
        _: ActorRef<Run>,
        hosted: Hosted,
    ) -> Result<Hosted, ActorProcessingErr> {
        Ok(hosted)
    }

    async fn handle(
        &self,
        _: ActorRef<Run>,
        message: Run,
        hosted: &mut Hosted,
    ) -> Result<(), ActorProcessingErr> {
        let ran = hosted.timed.run(hosted.instance.run(message.kind, &message.context)).await;
        let end = RunEnd { address: hosted.address.clone(), run: message.id, ran };
        // Where the shard's task is gone, so is the shard: nobody waits for this result.
        let _ = hosted.ends.send(end);
        Ok(())
    }
}
