//! The entity whose messages pile up: its handlers wait until they are let go.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quarry::prelude::*;
use tokio::sync::watch;

/// Takes texts, once it is let.
#[derive(Clone, Debug)]
pub(super) struct Pile {
    gate: watch::Receiver<bool>,
    handled: Arc<AtomicU64>,
}

impl Pile {
    /// The type's name.
    pub(super) const NAME: &'static str = "BenchPile";

    /// One whose handlers wait for `gate`.
    pub(super) fn new(gate: watch::Receiver<bool>) -> Self {
        Self { gate, handled: Arc::default() }
    }

    /// How many messages were handled here.
    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }
}

/// What it takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// A text.
    Take(String),
}

impl Entity for Pile {
    const TYPE: &'static str = Self::NAME;
    type State = u64;
    type Command = Command;
    type Query = NoQuery;

    async fn handle(
        &self,
        state: &mut u64,
        Command::Take(text): Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        let mut gate = self.gate.clone();
        gate.wait_for(|is_open| *is_open).await.map_err(std::io::Error::other)?;
        *state += u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.handled.fetch_add(1, Ordering::Relaxed);
        Reply::of(state)
    }

    async fn read(&self, _: &u64, query: NoQuery, _: &Context) -> Result<Reply, HandlerError> {
        match query {}
    }
}
