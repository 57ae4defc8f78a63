//! A pack for the server.

use std::path::Path;

use quarry_client::PackSource;

use super::load::{compile, source};
use crate::{
    cli::{Format, Global},
    command::connection::connect,
    failure::Failure,
    output::Output,
};

/// Checks the pack in this process, so that its mistakes are told by the lines of the file, and puts
/// it.
pub(super) async fn run(
    file: &Path,
    id: Option<&str>,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let source = source(file)?;
    let id = compile(file, &source, id)?.id().to_owned();
    let media_type = source.format.media_type().to_owned();
    let pack = PackSource { media_type, text: source.text };
    let placed = client.put_ontology(&id, pack).await?;
    for note in &placed.notes {
        output.say(&format!("note: {note}"));
    }
    if output.format() != Format::Table {
        return output.record(&[], &placed);
    }
    let ontology = &placed.ontology;
    output.line(&format!(
        "{} {}: {}, {} classes, {} relations, {} examples",
        ontology.id,
        ontology.version,
        if placed.created { "new" } else { "in place of the one before" },
        ontology.classes,
        ontology.relations,
        ontology.examples
    ))
}
