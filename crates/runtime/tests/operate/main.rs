//! Operating on messages, over nodes with in-memory adapters: in order, by an operator's will, under
//! the limits of their type.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod in_order;
mod interventions;
mod world;
