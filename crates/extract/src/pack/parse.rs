//! From bytes to a validated ontology.

use core::fmt;

use sha2::{Digest, Sha256};

use super::{Ontology, Pack, places::Places, validate};
use crate::work::hexadecimal;

/// One mistake in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1, where it is known.
    pub line: Option<u32>,
    /// The class, relation or sentence, such as `relation director`.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A pack that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ontology pack has {} problem(s): {}", problems.len(), listed(problems))]
pub struct PackError {
    /// At least one mistake, in the order of the file.
    pub problems: Vec<Problem>,
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Ontology {
    /// Reads a TOML pack. Its version is the hash of these bytes.
    pub fn from_toml(text: &str) -> Result<Self, PackError> {
        let places = Places::of_toml(text);
        let pack: Pack = toml::from_str(text).map_err(|error| {
            let line = error.span().and_then(|span| places.line_of(span.start));
            malformed(line, error.message())
        })?;
        validate::ontology(pack, version(text.as_bytes()), &places)
    }

    /// Reads a JSON pack of the same shape (`class`, `relation`, `sentence` are arrays).
    pub fn from_json(text: &str) -> Result<Self, PackError> {
        let pack: Pack = serde_json::from_str(text).map_err(|error| {
            malformed(u32::try_from(error.line()).ok().filter(|l| *l > 0), &error.to_string())
        })?;
        validate::ontology(pack, version(text.as_bytes()), &Places::of_json(text))
    }
}

fn malformed(line: Option<u32>, message: &str) -> PackError {
    let message = message.to_owned();
    PackError { problems: vec![Problem { line, place: "pack".to_owned(), message }] }
}

/// The first 16 hexadecimal digits of the SHA-256 of the content.
fn version(content: &[u8]) -> String {
    let mut version = hexadecimal(&Sha256::digest(content));
    version.truncate(16);
    version
}
