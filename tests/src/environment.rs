//! What a longer or stricter run is asked for by environment variables.

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

/// Whether figures above the promised ones are a failure: they are promised for a release build on a
/// machine with nothing else to do.
pub fn figures_are_checked() -> bool {
    env::var_os("QUARRY_FAILOVER_CHECKED").is_some()
}
