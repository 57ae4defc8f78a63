//! `Ontology/<id>`: an ontology that was put.

use std::sync::Arc;

use quarry::{prelude::*, types::Timestamp};

use super::versions::{Kept, Versions};
use crate::pack::{Format, Library, NotPacked, Packed, Source};

/// Most bytes of a packed pack: with room for earlier versions in a state of 8 MiB.
pub(super) const MOST_PACKED: usize = 6 * 1024 * 1024;

/// Keeps the pack that an id stands for, and the last ones before it: an extraction ends by the
/// version that it began with, and a graph can be written in the terms that it was made by. What is
/// kept is bounded; reads are current.
pub struct StoredOntology {
    library: Arc<Library>,
}

/// A pack to be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Put {
    /// How it is written.
    pub format: Format,
    /// The text, as it is; this or `packed` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text, packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
    /// What must stand there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

impl Put {
    /// The pack in both forms.
    fn unpacked(self) -> Result<(Source, Packed), String> {
        let (text, packed) = match (self.text, self.packed) {
            (Some(text), None) => (text.clone(), Packed::of(&text)),
            (None, Some(packed)) => (packed.text().map_err(|error| error.to_string())?, packed),
            _ => return Err("give the pack as `text` or as `packed`".to_owned()),
        };
        Ok((Source { format: self.format, text }, packed))
    }
}

/// What must stand under an id for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// Nothing.
    Nothing,
    /// Any version.
    Something,
    /// One of these versions.
    Versions(Vec<String>),
}

impl Expected {
    fn is_met(&self, current: Option<&Kept>) -> bool {
        match self {
            Self::Nothing => current.is_none(),
            Self::Something => current.is_some(),
            Self::Versions(versions) => {
                current.is_some_and(|kept| versions.contains(&kept.version))
            }
        }
    }
}

/// What became of a put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// What stands there now.
    pub described: Described,
    /// Nothing stood there before.
    pub is_new: bool,
    /// What is not wrong with it and costs something, or was left out or guessed.
    pub notes: Vec<String>,
}

/// What is known of a version without its pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// The hash of its content.
    pub version: String,
    /// How it was written.
    pub format: Format,
    /// Its name for people.
    pub label: String,
    /// How many classes it has.
    pub classes: u32,
    /// How many relations it has.
    pub relations: u32,
    /// How many example sentences it has.
    pub examples: u32,
    /// When it was put, in store time.
    pub put_at: Timestamp,
}

/// A version with its pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The hash of its content.
    pub version: String,
    /// How it is written.
    pub format: Format,
    /// What is written.
    pub packed: Packed,
}

impl Shown {
    /// The pack.
    ///
    /// # Errors
    /// Where it cannot be unpacked.
    pub fn source(&self) -> Result<Source, NotPacked> {
        Ok(Source { format: self.format, text: self.packed.text()? })
    }
}

/// The failures that callers tell apart.
impl StoredOntology {
    /// The id is a built-in ontology's.
    pub const BUILT_IN: &'static str = "built_in";
    /// What stands there is not what was expected.
    pub const UNEXPECTED: &'static str = "precondition_failed";
    /// The pack is not good.
    pub const INVALID: &'static str = "invalid_ontology";
    /// The pack is too large to be kept.
    pub const TOO_LARGE: &'static str = "too_large";
    /// There is no such ontology, or not of this version.
    pub const MISSING: &'static str = "no_such_ontology";

    /// The entity, for a node with this library.
    pub fn new(library: Arc<Library>) -> Self {
        Self { library }
    }

    /// Refuses what is not to be changed: built-in ontologies, and what is not as expected.
    fn check(
        &self,
        versions: &Versions,
        expected: Option<&Expected>,
        context: &Context,
    ) -> Result<(), HandlerError> {
        let id = context.address().id.as_str();
        if let Ok(own) = self.library.own().get(id) {
            let message =
                format!("{id} names the built-in ontology {}; choose another id", own.id());
            return Err(HandlerError::fail(Self::BUILT_IN, message));
        }
        if expected.is_none_or(|expected| expected.is_met(versions.current())) {
            return Ok(());
        }
        let message = match versions.current() {
            Some(kept) => format!("ontology {id} is of version {}", kept.version),
            None => format!("there is no ontology {id}"),
        };
        Err(HandlerError::fail(Self::UNEXPECTED, message))
    }
}

fn missing(context: &Context) -> HandlerError {
    let message = format!("there is no ontology {}", context.address().id);
    HandlerError::fail(StoredOntology::MISSING, message)
}

#[entity]
impl StoredOntology {
    const TYPE: &'static str = "Ontology";
    type State = Versions;

    /// Checks a pack and keeps it under this id, in place of the one before.
    #[method(name = "Put")]
    async fn put(
        &self,
        versions: &mut Versions,
        #[body] put: Put,
        context: &Context,
    ) -> Result<Placed, HandlerError> {
        self.check(versions, put.expected.as_ref(), context)?;
        let id = context.address().id.as_str().to_owned();
        let compile = move || {
            let (source, packed) = put.unpacked()?;
            let ontology = source.compile(Some(&id)).map_err(|error| error.to_string())?;
            Ok::<_, String>((ontology, source.format, packed))
        };
        let (ontology, format, packed) = tokio::task::spawn_blocking(compile)
            .await?
            .map_err(|error| HandlerError::fail(Self::INVALID, error))?;
        if packed.len() > MOST_PACKED {
            let message = format!(
                "the pack takes {} bytes when it is packed, over the limit of {MOST_PACKED}: split \
                 it",
                packed.len()
            );
            return Err(HandlerError::fail(Self::TOO_LARGE, message));
        }
        let is_new = versions.current().is_none();
        let notes = ontology.notes().to_vec();
        let kept = versions.place(Kept::of(&ontology, format, packed, context.now()));
        Ok(Placed { described: kept.described(), is_new, notes })
    }

    /// Lets the id stand for nothing; answers the version that it stood for.
    #[method(name = "Delete")]
    fn delete(
        &self,
        versions: &mut Versions,
        expected: Option<Expected>,
        context: &Context,
    ) -> Result<String, HandlerError> {
        self.check(versions, expected.as_ref(), context)?;
        versions.clear().ok_or_else(|| missing(context))
    }

    /// The version that the id stands for, for a caller that runs again and is told the same.
    #[method(name = "Resolve")]
    fn resolve(versions: &mut Versions, context: &Context) -> Result<String, HandlerError> {
        let current = versions.current().ok_or_else(|| missing(context))?;
        Ok(current.version.clone())
    }

    /// A version, or the one that the id stands for, without its pack.
    #[method(name = "Describe", current)]
    fn describe(
        versions: &Versions,
        version: Option<String>,
        context: &Context,
    ) -> Result<Described, HandlerError> {
        let kept = versions.get(version.as_deref()).ok_or_else(|| missing(context))?;
        Ok(kept.described())
    }

    /// A version, or the one that the id stands for, with its pack.
    #[method(name = "Show", current)]
    fn show(
        versions: &Versions,
        version: Option<String>,
        context: &Context,
    ) -> Result<Shown, HandlerError> {
        let kept = versions.get(version.as_deref()).ok_or_else(|| missing(context))?;
        Ok(kept.shown())
    }
}
