//! One layer of the configuration: some keys, their values, and where each was written.

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::{
    catalogue::{self, KEYS, Key},
    kind::Raw,
    mistake::Mistake,
};

/// Checked values with their places; a source for the `config` crate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    values: Vec<(&'static Key, ValueKind, String)>,
}

impl Layer {
    /// The defaults of the catalogue.
    pub(crate) fn defaults() -> Self {
        let mut layer = Self::default();
        for key in KEYS {
            if let Some(value) = key.default.and_then(|text| key.kind.check_text(text).ok()) {
                layer.values.push((key, value, "default".to_owned()));
            }
        }
        layer
    }

    /// Adds what was written for `key` at `place`, or says what is wrong with it.
    pub(crate) fn add(&mut self, key: &'static Key, raw: &Raw, place: &str) -> Result<(), Mistake> {
        self.push(key, key.kind.check(raw), place)
    }

    /// Adds a text for `key` from `place`, or says what is wrong with it.
    pub(crate) fn add_text(
        &mut self,
        key: &'static Key,
        text: &str,
        place: &str,
    ) -> Result<(), Mistake> {
        self.push(key, key.kind.check_text(text), place)
    }

    /// Adds a text for the key at `path`; for callers that name keys in the code.
    pub(crate) fn set(&mut self, path: &str, text: &str, place: &str) -> Result<(), Mistake> {
        match catalogue::key(path) {
            Some(key) => self.add_text(key, text, place),
            None => Err(Mistake::new(place, format!("there is no key {path}"))),
        }
    }

    fn push(
        &mut self,
        key: &'static Key,
        checked: Result<ValueKind, String>,
        place: &str,
    ) -> Result<(), Mistake> {
        let value =
            checked.map_err(|reason| Mistake::new(place, format!("{} {reason}", key.path)))?;
        if let Some((_, _, first)) = self.values.iter().find(|(known, ..)| known.path == key.path) {
            let message = format!("{} was given before, at {first}", key.path);
            return Err(Mistake::new(place, message));
        }
        self.values.push((key, value, place.to_owned()));
        Ok(())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut sections: Map<String, Map<String, Value>> = Map::new();
        for (key, value, place) in &self.values {
            let section = sections.entry(key.section().to_owned()).or_default();
            let value = Value::new(Some(place), value.clone());
            match key.name().split_once('.') {
                None => {
                    section.insert(key.name().to_owned(), value);
                }
                Some((table, name)) => {
                    let empty = || Value::new(None, ValueKind::Table(Map::new()));
                    let table = section.entry(table.to_owned()).or_insert_with(empty);
                    if let ValueKind::Table(table) = &mut table.kind {
                        table.insert(name.to_owned(), value);
                    }
                }
            }
        }
        Ok(sections.into_iter().map(|(name, section)| (name, Value::new(None, section))).collect())
    }
}
