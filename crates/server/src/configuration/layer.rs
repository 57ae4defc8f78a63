//! One layer of the configuration: some keys, their values, and where each was written.

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::{
    catalogue::{self, KEYS},
    kind::Raw,
    mistake::Mistake,
    named::Named,
};

/// Checked values with their places; a source for the `config` crate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    values: Vec<(Named, ValueKind, String)>,
}

impl Layer {
    /// The defaults of the catalogue.
    pub(crate) fn defaults() -> Self {
        let mut layer = Self::default();
        for key in KEYS {
            if let Some(value) = key.default.and_then(|text| key.kind.check_text(text).ok()) {
                layer.values.push((key.into(), value, "default".to_owned()));
            }
        }
        layer
    }

    /// Adds what was written for `key` at `place`, or says what is wrong with it.
    pub(crate) fn add(
        &mut self,
        name: impl Into<Named>,
        raw: &Raw,
        place: &str,
    ) -> Result<(), Mistake> {
        let name = name.into();
        let checked = name.key.kind.check(raw);
        self.push(name, checked, place)
    }

    /// Adds a text for `key` from `place`, or says what is wrong with it.
    pub(crate) fn add_text(
        &mut self,
        name: impl Into<Named>,
        text: &str,
        place: &str,
    ) -> Result<(), Mistake> {
        let name = name.into();
        let checked = name.key.kind.check_text(text);
        self.push(name, checked, place)
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
        name: Named,
        checked: Result<ValueKind, String>,
        place: &str,
    ) -> Result<(), Mistake> {
        let value = checked.map_err(|reason| Mistake::new(place, format!("{name} {reason}")))?;
        let path = name.to_string();
        if let Some((_, _, first)) =
            self.values.iter().find(|(known, ..)| known.to_string() == path)
        {
            let message = format!("{path} was given before, at {first}");
            return Err(Mistake::new(place, message));
        }
        self.values.push((name, value, place.to_owned()));
        Ok(())
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut sections = Map::new();
        for (name, value, place) in &self.values {
            let value = Value::new(Some(place), value.clone());
            insert(&mut sections, &name.place(), value);
        }
        Ok(sections)
    }
}

/// Puts `value` where `place` says, in tables within tables.
fn insert(table: &mut Map<String, Value>, place: &[&str], value: Value) {
    match place {
        [] => {}
        [name] => {
            table.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let empty = || Value::new(None, ValueKind::Table(Map::new()));
            let inner = table.entry((*name).to_owned()).or_insert_with(empty);
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
