//! The entity that is measured: it keeps the last text that it was sent.

use quarry::prelude::*;

/// Keeps one text, so that every durable call writes a message, an outcome and a state of the same
/// size.
#[derive(Debug)]
pub(crate) struct Probe;

/// What changes a probe.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Keeps the text; answers its length in bytes.
    Put(String),
}

/// What reads a probe.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    /// The length of the text in bytes.
    Length,
}

impl Entity for Probe {
    const TYPE: &'static str = "BenchProbe";
    type State = String;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        text: &mut String,
        Command::Put(new): Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        *text = new;
        Reply::of(&text.len())
    }

    async fn read(
        &self,
        text: &String,
        Query::Length: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(&text.len())
    }
}
