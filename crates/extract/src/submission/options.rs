//! What a submission may choose.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TimeLimit;
use crate::Parameters;

/// The longest time that a submission may allow for its extraction, and what it allows where it
/// says nothing: as long as a handler waits for another entity.
const LONGEST: Duration = Duration::from_mins(5);

/// What a submission may choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// Which extractor.
    pub extractor: Extractor,
    /// Most tokens of a chunk, 50 to 5,000.
    pub chunk_size: Option<u32>,
    /// Tokens that a chunk repeats of the one before; less than half of the chunk size.
    pub overlap: Option<u32>,
    /// Facts below this confidence are dropped, 0 to 1.
    pub min_confidence: Option<f64>,
    /// Most tokens that a language model may answer with, from 1; the embedded extractor has no use
    /// for it.
    pub max_tokens: Option<u32>,
    /// The temperature of a language model, 0 to 2; the embedded extractor has none.
    pub temperature: Option<f64>,
    /// How long the extraction may take: more than nothing, at most 5 minutes, which is the default.
    pub timeout: Option<TimeLimit>,
}

/// An extractor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extractor {
    /// Induced from the ontology's examples; no network.
    #[default]
    Embedded,
    /// A language model; refused where none is configured.
    Llm,
}

/// An option with a value that it cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is out of range: {rule}")]
pub struct InvalidOption {
    /// The option, from the submission on.
    pub field: &'static str,
    /// What is allowed.
    pub rule: &'static str,
}

fn within(is_good: bool, field: &'static str, rule: &'static str) -> Result<(), InvalidOption> {
    if is_good { Ok(()) } else { Err(InvalidOption { field, rule }) }
}

impl Options {
    /// What changes the outcome of the embedded extractor, with defaults.
    ///
    /// # Errors
    /// [`InvalidOption`] for the first of all options that is out of its range.
    pub(super) fn parameters(&self) -> Result<Parameters, InvalidOption> {
        let defaults = Parameters::default();
        let chunk_size = self.chunk_size.unwrap_or(defaults.chunk_size);
        let overlap = self.overlap.unwrap_or(defaults.overlap.min(chunk_size / 4));
        let min_confidence = self.min_confidence.unwrap_or(defaults.min_confidence);
        let is_size = (50..=5_000).contains(&chunk_size);
        within(is_size, "options.chunkSize", "50 to 5,000 tokens")?;
        within(overlap < chunk_size / 2, "options.overlap", "less than half of the chunk size")?;
        within((0.0..=1.0).contains(&min_confidence), "options.minConfidence", "0 to 1")?;
        within(self.max_tokens != Some(0), "options.maxTokens", "at least 1")?;
        let is_temperature = self.temperature.is_none_or(|it| (0.0..=2.0).contains(&it));
        within(is_temperature, "options.temperature", "0 to 2")?;
        Ok(Parameters { chunk_size, overlap, min_confidence })
    }

    /// How long the extraction may take.
    ///
    /// # Errors
    /// [`InvalidOption`] for a time of nothing or above 5 minutes.
    pub(super) fn time_limit(&self) -> Result<Duration, InvalidOption> {
        let limit = self.timeout.map_or(LONGEST, |TimeLimit(limit)| limit);
        let is_good = !limit.is_zero() && limit <= LONGEST;
        within(is_good, "options.timeout", "more than nothing, at most 5 minutes")?;
        Ok(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: serde_json::Value) -> Option<&'static str> {
        let options: Options = serde_json::from_value(json).unwrap();
        let refused = options.parameters().map(drop).and(options.time_limit().map(drop));
        refused.err().map(|error| error.field)
    }

    #[test]
    fn every_option_has_its_range() {
        use serde_json::json;
        for (good, bad, field) in [
            (json!({"chunkSize": 50}), json!({"chunkSize": 49}), "options.chunkSize"),
            (json!({"chunkSize": 5_000}), json!({"chunkSize": 5_001}), "options.chunkSize"),
            (json!({"overlap": 249}), json!({"overlap": 250}), "options.overlap"),
            (json!({"minConfidence": 1}), json!({"minConfidence": 1.1}), "options.minConfidence"),
            (json!({"maxTokens": 1}), json!({"maxTokens": 0}), "options.maxTokens"),
            (json!({"temperature": 2}), json!({"temperature": -0.1}), "options.temperature"),
            (json!({"timeout": 5}), json!({"timeout": 5.01}), "options.timeout"),
            (json!({"timeout": "1ms"}), json!({"timeout": 0}), "options.timeout"),
        ] {
            assert_eq!(refused(good.clone()), None, "{good}");
            assert_eq!(refused(bad.clone()), Some(field), "{bad}");
        }
        assert_eq!(Options::default().time_limit(), Ok(LONGEST));
    }
}
