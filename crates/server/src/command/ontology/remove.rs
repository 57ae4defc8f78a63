//! An ontology taken from the server.

use crate::{
    cli::{Format, Global},
    command::connection::connect,
    failure::Failure,
    output::Output,
};

/// Removes it.
pub(super) async fn run(id: &str, global: &Global, output: Output) -> Result<(), Failure> {
    let removed = connect(global)?.remove_ontology(id).await?;
    if output.format() != Format::Table {
        return output.record(&[], &removed);
    }
    output.line(&format!("{} {}: removed; its graphs stay", removed.id, removed.version))
}
