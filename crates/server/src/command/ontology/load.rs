//! Ontologies by id or file.

use std::{path::Path, sync::Arc};

use quarry_extract::{
    decode,
    pack::{Ontologies, Ontology, PackError, Problem},
};

use crate::failure::{Exit, Failure};

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
    let text = read(file)?;
    parse(file, &text).map(Arc::new).map_err(|error| {
        let said: Vec<String> = error.problems.iter().map(|it| placed(file, it)).collect();
        Failure::new(Exit::Usage, said.join("\n"))
    })
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

/// A pack by its file's ending: JSON, or else TOML.
pub(super) fn parse(file: &Path, text: &str) -> Result<Ontology, PackError> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("json") => Ontology::from_json(text),
        Some("ttl" | "rdf" | "owl" | "nt") => {
            let message = "is RDF; a pack is TOML or JSON, with example sentences beside its \
                           terms: write one with the IRIs of these terms"
                .to_owned();
            let place = "pack".to_owned();
            Err(PackError { problems: vec![Problem { line: None, place, message }] })
        }
        _ => Ontology::from_toml(text),
    }
}

/// `FILE:LINE: place: what and what to do`.
pub(super) fn placed(file: &Path, problem: &Problem) -> String {
    let file = file.display();
    match problem.line {
        Some(line) => format!("{file}:{line}: {}: {}", problem.place, problem.message),
        None => format!("{file}: {}: {}", problem.place, problem.message),
    }
}
