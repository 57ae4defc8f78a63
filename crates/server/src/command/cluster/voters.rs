//! `quarry cluster replace-voter`.

use quarry_client::Client;
use quarry_types::NodeId;

use crate::{cli::ReplaceVoterArguments, failure::Failure, output::Output};

/// Lets one node vote in the place of another.
pub(super) async fn replace(
    client: &Client,
    arguments: ReplaceVoterArguments,
    output: Output,
) -> Result<(), Failure> {
    let ReplaceVoterArguments { old, by } = arguments;
    let replaced = client.replace_voter(NodeId(old), NodeId(by)).await?;
    let facts = [
        ("votes", format!("node {}", replaced.new)),
        ("in the place of", format!("node {}", replaced.old)),
        ("log index", replaced.applied.to_string()),
    ];
    output.record(&facts, &replaced)
}
