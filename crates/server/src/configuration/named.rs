//! Which key a value is for.

use std::fmt;

use quarry_types::EntityType;

use super::{
    catalogue::{KEYS, Key},
    mistake::suggestion,
};

/// The section whose keys may be given for one entity type, in a section of their own.
pub(crate) const TYPED: &str = "entities";
/// Where the values of entity types stand among the settings of [`TYPED`].
pub(crate) const TYPES: &str = "types";
/// What else may be given for one entity type.
const BESIDE: &[&str] = &["store.retention"];

/// A key of the catalogue, for all entity types or for one.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The key.
    pub(crate) key: &'static Key,
    /// The entity type, as it was written.
    pub(crate) of: Option<String>,
}

impl From<&'static Key> for Named {
    fn from(key: &'static Key) -> Self {
        Self { key, of: None }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            None => f.write_str(self.key.path),
            Some(of) => write!(f, "{TYPED}.{of}.{}", self.key.name()),
        }
    }
}

impl Named {
    /// The key of this path in `section`; other systems' names of keys are understood.
    ///
    /// # Errors
    /// Says that there is none, and what was perhaps meant.
    pub(crate) fn find(section: &str, path: &str) -> Result<Self, String> {
        let mut keys = KEYS.iter().filter(|key| key.section() == section);
        let known = keys.find(|key| key.name() == path || key.aliases.contains(&path));
        match (known, path.split_once('.')) {
            (Some(key), _) => Ok(key.into()),
            (None, Some((of, name))) if section == TYPED => Self::of_type(of, name),
            (None, _) => Err(unknown_key(section, path)),
        }
    }

    /// Where its value stands among the settings.
    pub(crate) fn place(&self) -> Vec<&str> {
        let mut place = vec![self.key.section()];
        match &self.of {
            None => place.extend(self.key.name().split('.')),
            Some(of) => place = vec![TYPED, TYPES, of, self.key.name()],
        }
        place
    }

    /// The key `name` of the entity type `of`.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(crate) fn of_type(of: &str, name: &str) -> Result<Self, String> {
        EntityType::new(of).map_err(|error| format!("{TYPED}.{of}: {error}"))?;
        let known = || KEYS.iter().filter(|key| is_typed(key));
        if let Some(key) = known().find(|key| key.name() == name) {
            return Ok(Self { key, of: Some(of.to_owned()) });
        }
        let hint = suggestion(name, known().map(Key::name));
        let names = known().map(Key::name).collect::<Vec<&str>>().join(", ");
        Err(format!("there is no key {TYPED}.{of}.{name}{hint}; a type has {names}"))
    }
}

/// Says that `section` has no key `name`, and what was perhaps meant.
fn unknown_key(section: &str, name: &str) -> String {
    let elsewhere = KEYS.iter().find(|key| key.name() == name).map(|key| key.path);
    let names = KEYS.iter().filter(|key| key.section() == section).map(Key::name);
    let hint = elsewhere
        .map_or_else(|| suggestion(name, names), |path| format!(" (did you mean {path}?)"));
    format!("there is no key {section}.{name}{hint}")
}

fn is_typed(key: &Key) -> bool {
    key.section() == TYPED || BESIDE.contains(&key.path)
}
