//! `Register`: keeps what it is sent, in order, with who wrote it.

use quarry::prelude::*;

/// Keeps what it is sent, in order. What consistency checks use: each value carries the epoch and
/// the owner under which it was written.
#[derive(Debug)]
pub struct Register;

/// What changes a register.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Appends `{"value": "…"}`; answers where it stands.
    Append {
        /// The value.
        value: String,
    },
}

/// What reads a register.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// All values.
    Read,
}

/// A value of the register, with its place from 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Appended {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    seq: u64,
    epoch: Epoch,
    owner: NodeId,
}

/// The answer of `read`.
#[derive(Debug, Serialize)]
struct Values<'a> {
    values: &'a [Appended],
    count: usize,
}

impl Entity for Register {
    const TYPE: &'static str = "Register";
    const READ: ReadMode = ReadMode::Current;
    type State = Vec<Appended>;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        values: &mut Vec<Appended>,
        Command::Append { value }: Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        let seq = values.last().map_or(1, |last| last.seq + 1);
        let place = Appended { value: None, seq, epoch: context.epoch(), owner: context.owner() };
        values.push(Appended { value: Some(value), ..place.clone() });
        Reply::of(&place)
    }

    async fn read(
        &self,
        values: &Vec<Appended>,
        Query::Read: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(&Values { values, count: values.len() })
    }
}
