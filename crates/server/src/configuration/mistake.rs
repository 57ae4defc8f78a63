//! What is wrong with a configuration, and where.

use std::fmt;

/// One mistake: where it stands, what it is, and what was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// `quarry.toml:12`, a variable's name, or a flag.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) message: String,
}

impl Mistake {
    /// A mistake at `place`.
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All mistakes of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "the configuration has {count} {noun}")?;
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// ` (did you mean x?)` where one of `candidates` is close to `written`, else nothing.
pub(crate) fn suggestion<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    candidates
        .into_iter()
        .map(|candidate| (likeness(written, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, candidate)| format!(" (did you mean {candidate}?)"))
}

/// From 0 to 1; one slip of the fingers is very alike in short names too.
fn likeness(written: &str, candidate: &str) -> f64 {
    let is_slip = strsim::damerau_levenshtein(written, candidate) <= 1;
    let likeness = strsim::jaro_winkler(written, candidate);
    if is_slip { likeness.max(0.9) } else { likeness }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(suggestion("lease_tll", ["lease_ttl", "shards"]), " (did you mean lease_ttl?)");
        assert_eq!(suggestion("ulr", ["url", "pool"]), " (did you mean url?)");
        assert_eq!(suggestion("zebra", ["lease_ttl", "shards"]), "");
    }
}
