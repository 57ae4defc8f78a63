//! What can be wrong with a pack, and the short ways to an ontology.

use core::fmt;

use super::{Format, Ontology, Source};

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
    /// At least one mistake, in the order of the file; of very many the first.
    pub problems: Vec<Problem>,
}

impl PackError {
    /// What is wrong with the pack as a whole.
    pub(super) fn whole(line: Option<u32>, message: impl Into<String>) -> Self {
        Self::at(line, "pack".to_owned(), message.into())
    }

    /// What is wrong at one place.
    pub(super) fn at(line: Option<u32>, place: String, message: String) -> Self {
        Self { problems: vec![Problem { line, place, message }] }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Ontology {
    /// The ontology of a TOML pack, under the id that it gives itself.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(text: &str) -> Result<Self, PackError> {
        Source { format: Format::Toml, text: text.to_owned() }.compile(None)
    }

    /// The ontology of a JSON pack of the same shape (`class`, `relation`, `sentence` are arrays).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, PackError> {
        Source { format: Format::Json, text: text.to_owned() }.compile(None)
    }
}
