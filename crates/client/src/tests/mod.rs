//! The client against a server that answers what it is told to.

mod looks;
mod script;
mod sends;
