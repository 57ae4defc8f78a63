//! What a longer run is asked for by environment variables.

use std::env;

use anyhow::{Context, Result};

/// The whole number in the environment variable `name`; none where it is not set, or empty.
pub fn number(name: &str) -> Result<Option<u64>> {
    let given = env::var(name).ok().filter(|text| !text.is_empty());
    let parsed = given.map(|text| {
        text.parse().with_context(|| format!("{name} is {text:?}, not a whole number"))
    });
    parsed.transpose()
}
