//! The machine against a naive model: a log of appends, whatever fails ([`whatever_fails`]) and with
//! a crash at every commit ([`every_commit`]).
//!
//! The handler appends its message's key to the entity's state and makes some chunks. Whatever
//! happens: what is told stands in the store when it is told (D1); a key that was answered as done
//! stands in the stored state exactly once, with its outcome (G1, G2, G5, D2), unless an operator
//! ended it, and no key stands twice; keys stand in admitted order (D3); no attempt is beyond the
//! limit, and what reached it, or ended its process alone, is
//! in quarantine (D4), where it holds up later ones if order outranks progress; chunks have no gaps, none comes after the outcome, and
//! what a handler repeats is not stored again, wherever it is read from (R1); what a handler
//! sent to another entity is handled there, once and in order (G2, G4); nothing is stuck (G9). Memory holds a few of the
//! messages that are open, and pages of the others come late (G7).

mod checks;
mod chunks;
mod disk;
mod every_commit;
mod operators;
mod pages;
mod processes;
mod queries;
mod sends;
mod step;
mod whatever_fails;
mod world;
