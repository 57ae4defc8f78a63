//! A live entity as a ractor actor.

use std::{mem, sync::Arc};

use futures_util::FutureExt;
use prometheus::{Histogram, HistogramVec};
use quarry_core::delivery::{Chunk, Ran, RunId, RunKind};
use quarry_ports::{Host, Task};
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
    /// A chunk of the reply, and the part of its window that it takes.
    Chunk(Chunk, Waiter),
    /// It ends: tell it when all its chunks were compared with those of earlier attempts.
    CatchUp(Waiter),
    /// It is about to do what cannot be undone: tell it when all before that is durable.
    Settle(Waiter),
}

pub(crate) struct EntityActor;

/// What an actor starts with. The way back is unbounded by type; it holds at most as many results as
/// runs of live actors, because an actor gets its next run only after the shard's task took a last one.
pub(crate) struct Hosted {
    address: Address,
    instance: Arc<dyn Instance>,
    ends: mpsc::UnboundedSender<RunEnd>,
    timed: Arc<Timed>,
    /// Queries that wait for something. They end with the actor.
    queries: Vec<Task>,
}

impl Hosted {
    pub(crate) fn new(
        address: Address,
        instance: Arc<dyn Instance>,
        ends: mpsc::UnboundedSender<RunEnd>,
        timed: Timed,
    ) -> Self {
        Self { address, instance, ends, timed: Arc::new(timed), queries: Vec::new() }
    }

    async fn command(&mut self, context: &Context) -> Ran {
        // A query lets go of the entity before its end is told, and only then a command is sent.
        match Arc::get_mut(&mut self.instance) {
            Some(instance) => {
                let ran = self.timed.run(instance.command(context)).await;
                // Of a run that is to be repeated nothing depends on what it repeated.
                if !matches!(ran, Ran::Retry { .. }) {
                    context.catch_up().await;
                }
                ran
            }
            None => gone(),
        }
    }

    /// Most queries are answered at once; one that waits gets a task, beside which others run.
    fn query(&mut self, run: RunId, context: Context) {
        let ends = self.ends.clone();
        let end = Ending { address: self.address.clone(), run, ran: gone(), ends };
        let (timed, query) = (Arc::clone(&self.timed), Arc::clone(&self.instance).query(context));
        let mut query = Box::pin(async move { timed.run(query).await });
        if let Some(ran) = query.as_mut().now_or_never() {
            drop(query);
            return end.tell(ran);
        }
        self.queries.retain(|task| !task.is_finished());
        self.queries.push(self.timed.host.spawn("query", async move {
            let ran = query.as_mut().await;
            drop(query);
            end.tell(ran);
        }));
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        for query in &self.queries {
            query.abort();
        }
    }
}

/// Tells the end of a query when it is dropped, so that also one that is stopped has an end.
struct Ending {
    address: Address,
    run: RunId,
    ran: Ran,
    ends: mpsc::UnboundedSender<RunEnd>,
}

impl Ending {
    fn tell(mut self, ran: Ran) {
        self.ran = ran;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let (address, ran) = (self.address.clone(), mem::replace(&mut self.ran, gone()));
        // Where the shard's task is gone, so is the shard: nobody waits for this result.
        let _ = self.ends.send(RunEnd { address, run: self.run, ran });
    }
}

/// What comes of a run whose actor is stopped.
pub(crate) fn gone() -> Ran {
    Ran::Retry { error: "the entity's actor is gone".to_owned(), is_broken: true }
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
        match message.kind {
            RunKind::Command => {
                let ran = hosted.command(&message.context).await;
                let end = RunEnd { address: hosted.address.clone(), run: message.id, ran };
                // Where the shard's task is gone, so is the shard: nobody waits for this result.
                let _ = hosted.ends.send(end);
            }
            RunKind::Read => hosted.query(message.id, message.context),
        }
        Ok(())
    }
}
