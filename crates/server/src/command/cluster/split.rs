//! `quarry cluster split-shard`.

use std::time::Duration;

use quarry_client::{Client, ClientError};
use quarry_ports::Host;
use quarry_types::{
    ShardId,
    api::{Problem, Split},
};

use crate::{cli::SplitArguments, failure::Failure};

/// How often it is asked whether the shard can be split now.
const PAUSE: Duration = Duration::from_millis(200);
/// What the server says of a shard that is moving.
const BUSY: &str = "cluster_busy";

/// Splits a shard; one that is moving when it is there, where waiting is asked for.
pub(super) async fn split(client: &Client, arguments: SplitArguments) -> Result<Split, Failure> {
    let host = Host::system();
    let deadline = host.now().after(arguments.wait.unwrap_or_default());
    loop {
        let error = match client.split_shard(ShardId(arguments.shard)).await {
            Ok(split) => return Ok(split),
            Err(error) => error,
        };
        if !is_busy(&error) {
            return Err(error.into());
        }
        if deadline.since(host.now()).is_zero() {
            let failure = Failure::from(error);
            return Err(match arguments.wait {
                Some(_) => failure,
                None => failure.advise("wait for it with --wait"),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_busy(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem: &Problem| problem.code == BUSY)
}
