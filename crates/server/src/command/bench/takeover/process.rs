//! The processes of the bench: one that fills and is killed, and one that takes over.

use quarry_ports::Host;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    entity::Pile,
    fill::Sender,
    serve::{self, Taken},
};
use crate::{
    cli::{Format, TakeoverNode},
    command::bench::run as bench,
    failure::Failure,
    output::Output,
};

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The backlog stands in the store; the handlers wait.
    Filled,
    /// What the takeover came to.
    Taken(Taken),
}

/// Runs one of the two, says what it came to, and waits for its end.
pub(crate) async fn run(node: &TakeoverNode, output: Output) -> Result<(), Failure> {
    let host = Host::system();
    let (gate, is_open) = watch::channel(!node.fill);
    let pile = Pile::new(is_open);
    let running = bench::start(&node.directory, &node.store, pile.clone(), None, &host).await?;
    let length = usize::try_from(node.payload).unwrap_or(0);
    let sender = Sender::new(running.node(), length)?;
    let said = if node.fill {
        running.until_ready(bench::READY_WITHIN).await?;
        sender.fill(node.backlog, node.entities, &host).await?;
        Said::Filled
    } else {
        let sizes = (node.backlog, node.entities, node.seconds);
        Said::Taken(serve::measure(running.node(), &pile, &sender, sizes, &host).await?)
    };
    output.with_format(Format::Jsonl).record(&[], &said)?;
    // The gate stays as it is until the parent ends this process.
    let reason = running.ended().await;
    drop(gate);
    Err(reason)
}
