//! The facade for authors of entities.
//!
//! An entity is an actor with a type and an id, hosted by the node that owns its shard. Its author
//! writes what is kept of one, and its methods: those with `&mut self` are durable messages, stored
//! before they are acknowledged and handled once; those with `&self` only read. This is all of one:
//!
//! ```
#![doc = include_str!("../../services/src/counter.rs")]
//! # let registry = Registry::builder().with(Counter::default()).build();
//! # assert_eq!(registry.types()[0].methods.len(), 2);
//! ```
//!
//! A handler knows the circumstances of its run from its [`Context`](runtime::Context), and a read
//! that must not be stale says so:
//!
//! ```
#![doc = include_str!("../../services/src/register.rs")]
//! # let registry = Registry::builder().with(Register::default()).build();
//! # assert_eq!(registry.types()[0].methods.len(), 2);
//! ```
//!
//! What a handler sends to other entities is part of its commit: it leaves when state and reply are
//! durable, arrives once and in order whatever fails meanwhile, and is not sent where the handler
//! fails ([`Context::send`](runtime::Context::send)). Here no cent is lost or made on its way:
//!
//! ```
//! use quarry::prelude::*;
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
//! }
//! # assert_eq!(Registry::builder().with(Account::default()).build().types()[0].methods.len(), 2);
//! ```
//!
//! [`entity`] tells the whole of it. [`trial`] tests entities on whole clusters under faults.

pub mod design;
#[cfg(doctest)]
mod readme;
pub mod trial;

/// Makes an entity of the type whose methods stand in an `impl` block: writes its
/// [`Entity`](runtime::Entity).
///
/// ```
/// use quarry::prelude::*;
///
/// /// What is kept of one cart, as JSON.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<String>,
///     is_paid: bool,
/// }
///
/// #[entity]
/// impl Cart {
///     /// Durable: `POST /v1/entities/Cart/c1/put` with `{"item": "lamp", "count": 2}`.
///     fn put(&mut self, item: String, count: Option<u8>) -> Result<usize, HandlerError> {
///         if self.is_paid {
///             return Err(HandlerError::fail("is_paid", "nothing is added to a paid cart"));
///         }
///         self.items.extend((0..count.unwrap_or(1)).map(|_| item.clone()));
///         Ok(self.items.len())
///     }
///
///     /// Durable: `POST …/pay` without a body; may wait for others.
///     async fn pay(&mut self, context: &Context) -> Result<(), HandlerError> {
///         context.emit("asking the bank").await?;
///         self.is_paid = true;
///         Ok(())
///     }
///
///     /// Volatile: reads the last committed state.
///     fn count(&self) -> usize {
///         self.items.len()
///     }
/// }
///
/// let registry = Registry::builder().with(Cart::default()).build();
/// # assert_eq!(registry.types()[0].name, "Cart");
/// ```
///
/// * **Kind.** A method with `&mut self` is a command: a durable message. One with `&self` is a query:
///   a volatile message, which cannot change the state:
///
///   ```compile_fail,E0594
///   # use quarry::prelude::*;
///   # #[derive(Default, Serialize, Deserialize)]
///   # struct Cart { is_paid: bool }
///   #[entity]
///   impl Cart {
///       fn is_paid(&self) {
///           self.is_paid = true;
///       }
///   }
///   ```
/// * **Name.** A method is called by its function's name, or as `#[method(name = "…")]` declares.
/// * **Body.** The function's arguments are the members of the message's body, a JSON object without
///   others; an `Option` may be left out, and `&str`, `&[T]` or `&T` is lent. An argument marked
///   `#[body]` is the body as a whole. Without arguments the body is empty. `&Context` is no argument.
/// * **Answer.** What the function returns, as JSON. Of a `Result`, an error is a
///   [`HandlerError`](runtime::HandlerError), or anything that `?` makes one: tried again, unless it
///   is declared final with [`HandlerError::fail`](runtime::HandlerError::fail).
/// * **Queries** of one entity run side by side, and never beside a command of it. A query waits for
///   the commands that came before it, but for those that back off.
/// * **Reads** see the last committed state in the owner's memory. With `#[method(current)]` the
///   owner's fence is checked before the answer leaves: nothing that was committed before is missed.
/// * **Settings.** Constants of the block are those of the trait, where a type differs from what the
///   node is configured to:
///
///   ```
///   # use quarry::prelude::*;
///   # use std::time::Duration;
///   # #[derive(Default, Serialize, Deserialize)]
///   # struct Invoice(u32);
///   #[entity]
///   impl Invoice {
///       const TYPE: &'static str = "BillingInvoice";
///       const ATTEMPTS: Option<u32> = Some(3);
///       const AFTER_QUARANTINE: Option<AfterQuarantine> = Some(AfterQuarantine::Wait);
///       const MAILBOX: Option<usize> = Some(10);
///       const CONCURRENCY: Option<usize> = Some(4);
///       const RESIDENTS: Option<usize> = Some(1_000);
///       const IDLE_AFTER: Option<Duration> = Some(Duration::from_secs(5));
///
///       fn pay(&mut self, cents: u32) -> u32 {
///           self.0 += cents;
///           self.0
///       }
///   }
///   # assert_eq!(Registry::builder().with(Invoice(0)).build().types()[0].name, "BillingInvoice");
///   ```
/// * **What a type shares** (a client, a cache) is the type itself, where the block says
///   `type State = …` for what is kept of one entity. The state is then the first argument, `&mut` or
///   `&`, after `&self` or none:
///
///   ```
///   # use quarry::prelude::*;
///   struct Translator {
///       words: std::collections::BTreeMap<String, String>,
///   }
///
///   #[entity]
///   impl Translator {
///       type State = Vec<String>;
///
///       fn translate(&self, said: &mut Vec<String>, #[body] word: String) -> Option<&str> {
///           let translated = self.words.get(&word);
///           said.push(word);
///           translated.map(String::as_str)
///       }
///
///       fn count(said: &[String]) -> usize {
///           said.len()
///       }
///   }
///   ```
///
/// Functions that no message calls stand in a block of their own.
pub use quarry_macros::entity;
pub use quarry_ports as ports;
pub use quarry_runtime as runtime;
pub use quarry_types as types;
#[doc(hidden)]
pub use serde;

/// All that an author of entities needs.
pub mod prelude {
    pub use quarry_runtime::{
        AfterQuarantine, Context, Entity, HandlerError, NoQuery, Node, NodeConfig, Ports, ReadMode,
        Registry, Reply,
    };
    pub use quarry_types::{Address, Epoch, Failure, MessageId, NodeId, Param};
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;

    pub use crate::entity;
}
