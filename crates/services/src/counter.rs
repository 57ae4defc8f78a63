//! `Counter`: adds up what it is sent.

use quarry::prelude::*;

/// Adds up what it is sent: `add` with a whole number answers the new total, `get` the total.
#[derive(Debug)]
pub struct Counter;

/// What changes a counter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Adds the number.
    Add(i64),
}

/// What reads a counter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// The total.
    Get,
}

impl Entity for Counter {
    const TYPE: &'static str = "Counter";
    type State = i64;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        total: &mut i64,
        Command::Add(n): Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        *total = total.checked_add(n).ok_or_else(|| {
            HandlerError::fail("overflow", format!("{total} + {n} is beyond 64 bits"))
        })?;
        Reply::of(total)
    }

    async fn read(
        &self,
        total: &i64,
        Query::Get: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(total)
    }
}
