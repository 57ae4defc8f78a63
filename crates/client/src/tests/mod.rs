//! The client against a server that answers what it is told to.

mod batches;
mod follows;
mod looks;
mod ontologies;
mod script;
mod sends;
