//! `quarry doctor`: what is wrong, in plain words, and what to do.
//!
//! `ask` gathers facts from every node that can be reached, `cluster`, `place` and `wait` make
//! findings of them; `machine` looks at this machine and `start` makes findings of what a node would
//! need here. What makes findings is pure.

mod ask;
mod cluster;
mod facts;
mod finding;
mod machine;
mod node;
mod place;
mod run;
mod samples;
mod start;
#[cfg(test)]
mod tests;
mod wait;

pub(super) use run::run;
