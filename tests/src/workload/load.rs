//! Many clients side by side.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// How many clients call how often.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Clients side by side; each waits for its answers.
    pub clients: u32,
    /// Entities, chosen in turn: `r0` and up, or `c0` and up.
    pub registers: u32,
    /// Calls of all clients together, unless the load is stopped before.
    pub appends: u32,
}

impl Load {
    /// A load that goes on until it is stopped.
    pub const fn endless(clients: u32, registers: u32) -> Self {
        Self { clients, registers, appends: u32::MAX }
    }

    /// Which address a client tries first for a call. Every other client keeps to one of its own, so
    /// that a node that does not answer never holds all of them; the others take turns.
    pub(super) fn first_address(self, client: u32, number: u32) -> Result<usize> {
        let first = if client % 2 == 1 { client } else { number / self.clients };
        Ok(usize::try_from(first)?)
    }

    /// Starts it: each client makes one call after the other, and ends when `call` fails or the load
    /// is stopped. `call` is given the client and the call's number, and answers whether it was
    /// answered.
    pub(super) fn start<C, F>(self, call: C) -> LoadRun
    where
        C: Fn(u32, u32) -> F + Clone + Send + 'static,
        F: Future<Output = Result<bool>> + Send,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let (call, stop) = (call.clone(), Arc::clone(&stop));
            clients.spawn(async move {
                let mut unanswered = 0;
                for number in (client..self.appends).step_by(usize::try_from(self.clients)?) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    unanswered += u32::from(!call(client, number).await?);
                }
                Ok(unanswered)
            });
        }
        LoadRun { clients, stop }
    }
}

/// A load that runs; dropping it ends its clients.
#[derive(Debug)]
pub struct LoadRun {
    clients: JoinSet<Result<u32>>,
    stop: Arc<AtomicBool>,
}

impl LoadRun {
    /// Waits for all clients; the number of calls that were not answered.
    pub async fn finish(mut self) -> Result<u32> {
        let mut unanswered = 0;
        while let Some(client) = self.clients.join_next().await {
            unanswered += client.context("a client panicked")??;
        }
        Ok(unanswered)
    }

    /// Lets every client end what it does, and waits for that; the number of calls that were not
    /// answered.
    pub async fn stop(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// The error with which a client ended before its time, if one did.
    pub fn broken(&mut self) -> Result<()> {
        while let Some(client) = self.clients.try_join_next() {
            client.context("a client panicked")??;
        }
        Ok(())
    }
}
