//! The program `quarry`: the only wiring.
//!
//! `cli` names what can be typed, `configuration` what a node is told, `node` joins the parts into
//! a running node, `command` holds one file per command. stdout is data, stderr is talk. It is a
//! library so that the program can also be built with bugs in it, for the tests that have to find
//! them; nothing else uses it.

mod cli;
mod command;
mod configuration;
mod failure;
mod locks;
mod node;
mod output;
mod parent;
mod process;

pub use process::run;
