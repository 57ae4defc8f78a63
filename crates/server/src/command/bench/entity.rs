//! The entity that is measured: it keeps the last text that it was sent.

use quarry::prelude::*;

/// Keeps one text, so that every durable call writes a message, an outcome and a state of the same
/// size.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probe(String);

#[entity]
impl Probe {
    const TYPE: &'static str = "BenchProbe";

    /// Keeps `text`; answers its length in bytes.
    fn put(&mut self, #[body] text: String) -> usize {
        self.0 = text;
        self.0.len()
    }

    /// The length of the text in bytes.
    fn length(&self) -> usize {
        self.0.len()
    }
}
