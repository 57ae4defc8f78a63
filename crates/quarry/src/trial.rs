//! Trials: entities on a whole cluster in one test, under faults, in virtual time.
//!
//! A [`Trial`] runs the real runner on several nodes over a network, a coordinator and a database in
//! memory. Time is virtual, so an hour of it passes at once where nothing happens, and everything
//! follows from the seed: what a seed showed, it shows again. Here an account keeps its money while
//! nodes are killed, cut off and frozen around it, for each of ten seeds:
//!
//! ```
//! use quarry::{prelude::*, trial::Trial};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account {
//!     cents: u64,
//! }
//!
//! #[entity]
//! impl Account {
//!     fn deposit(&mut self, cents: u64) -> u64 {
//!         self.cents += cents;
//!         self.cents
//!     }
//!
//!     fn transfer(&mut self, cents: u64, to: &str, context: &Context) -> Result<u64, HandlerError> {
//!         let Some(rest) = self.cents.checked_sub(cents) else {
//!             return Err(HandlerError::fail("too_little", format!("there are {}", self.cents)));
//!         };
//!         self.cents = rest;
//!         let to = context.entity::<Account>(to)?;
//!         context.send(&to, "deposit", &json!({ "cents": cents }))?;
//!         Ok(rest)
//!     }
//!
//!     #[method(current)]
//!     fn balance(&self) -> u64 {
//!         self.cents
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! for seed in 0..10 {
//!     let registry = || Registry::builder().with(Account::default()).build();
//!     Trial::of_seed(seed).run(registry, async |cluster| {
//!         cluster.call("Account/ann", "deposit", &json!({ "cents": 1_000 })).await.unwrap();
//!         let troubles = cluster.trouble();
//!         for _ in 0..20 {
//!             let transfer = json!({ "cents": 10, "to": "bob" });
//!             cluster.call("Account/ann", "transfer", &transfer).await.unwrap();
//!         }
//!         troubles.end().await;
//!         // What was sent arrives, some time.
//!         while cluster.call("Account/bob", "balance", &()).await != Ok(json!(200)) {
//!             cluster.sleep(std::time::Duration::from_millis(100)).await;
//!         }
//!         assert_eq!(cluster.call("Account/ann", "balance", &()).await, Ok(json!(800)));
//!     })?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Handlers are deterministic as far as they keep to their arguments and their context: a handler
//! that asks the machine for the time, or for something random, makes a trial that does not repeat.

mod cluster;
mod trouble;

use std::{io, time::Duration};

use quarry_runtime::Registry;

pub use cluster::Cluster;
pub use trouble::Trouble;

/// How a trial is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    seed: u64,
    nodes: u64,
    limit: Duration,
}

impl Trial {
    /// Three nodes, and an hour of virtual time at most.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        Self { seed, nodes: 3, limit: Duration::from_hours(1) }
    }

    /// The same with so many nodes, at least one.
    #[must_use]
    pub const fn nodes(self, nodes: u64) -> Self {
        Self { nodes: if nodes == 0 { 1 } else { nodes }, ..self }
    }

    /// The same with so much virtual time at most.
    #[must_use]
    pub const fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Runs `test` on a cluster whose nodes serve what `registry` makes, each its own. Call it outside
    /// of any tokio runtime: it makes one.
    ///
    /// # Errors
    /// Where the system gives no runtime, or the time is over before the test has ended.
    pub fn run<T>(
        self,
        registry: impl Fn() -> Registry + Send + Sync + 'static,
        test: impl AsyncFnOnce(Cluster) -> T,
    ) -> io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        runtime.block_on(async {
            let cluster = Cluster::start(self.seed, self.nodes, registry);
            tokio::time::timeout(self.limit, test(cluster)).await.map_err(|_| {
                let seed = self.seed;
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the trial of seed {seed} has not ended within {:?}", self.limit),
                )
            })
        })
    }
}
