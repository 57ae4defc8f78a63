//! Ontologies by id or file.

use std::{path::Path, sync::Arc};

use quarry_client::Client;
use quarry_extract::{
    decode,
    pack::{Format, Ontologies, Ontology, PackError, Problem, Source},
};

use crate::{
    cli::Global,
    command::connection::connect,
    failure::{Exit, Failure},
};

/// The ontology that was named: a built-in one by its id, or a pack by its file.
///
/// # Errors
/// Where there is none, or the pack is not good.
pub(crate) fn load(named: &str) -> Result<Arc<Ontology>, Failure> {
    if !is_file(named) {
        let known = Ontologies::built_in().map_err(anyhow::Error::from)?.get(named);
        return known.map_err(|error| {
            Failure::new(Exit::NotFound, error.to_string())
                .advise("a pack of yours is named by its file, such as ./bees.toml")
        });
    }
    let file = Path::new(named);
    compile(file, &source(file)?, None).map(Arc::new)
}

/// The server that is named, or the one of this machine; none where no server answers there.
///
/// # Errors
/// Where a URL is wrong.
pub(crate) async fn server(global: &Global) -> Result<Option<Client>, Failure> {
    let client = connect(global)?;
    let is_there = global.url.is_some() || client.ready().await.is_ok();
    Ok(is_there.then_some(client))
}

/// An id has no dot and no slash; a file of a pack has at least one.
pub(crate) fn is_file(named: &str) -> bool {
    named.contains(['.', '/', '\\'])
}

/// A file's text.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let said = |exit, error: String| Failure::new(exit, format!("{}: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        said(if is_missing { Exit::NotFound } else { Exit::Failed }, error.to_string())
    })?;
    decode(&bytes).map(str::to_owned).map_err(|error| said(Exit::Usage, error.to_string()))
}

/// A pack by its file's ending: JSON, Turtle, or else TOML.
pub(super) fn source(file: &Path) -> Result<Source, Failure> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let format = ending.as_deref().and_then(Format::of_ending).unwrap_or(Format::Toml);
    Ok(Source { format, text: read(file)? })
}

/// The ontology of a pack under this id, or its own; a file in Turtle has the file's name.
pub(super) fn parse(file: &Path, source: &Source, id: Option<&str>) -> Result<Ontology, PackError> {
    let named = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
    let named = named.filter(|_| source.format == Format::Turtle);
    source.compile(id.or(named.as_deref()))
}

/// As [`parse`]; every mistake is said with its place.
///
/// # Errors
/// Everything that is wrong with the pack.
pub(super) fn compile(file: &Path, source: &Source, id: Option<&str>) -> Result<Ontology, Failure> {
    parse(file, source, id).map_err(|error| {
        let said: Vec<String> = error.problems.iter().map(|it| placed(file, it)).collect();
        Failure::new(Exit::Usage, said.join("\n"))
    })
}

/// `FILE:LINE: place: what and what to do`.
pub(super) fn placed(file: &Path, problem: &Problem) -> String {
    let file = file.display();
    match problem.line {
        Some(line) => format!("{file}:{line}: {}: {}", problem.place, problem.message),
        None => format!("{file}: {}: {}", problem.place, problem.message),
    }
}
