//! What a check is given, and how it ends.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use quarry_ports::Store;

/// One database, empty at the start, which any number of processes may open.
#[async_trait]
pub trait OpenStore: Send + Sync {
    /// Opens it as another process would.
    async fn open(&self) -> Result<Arc<dyn Store>, Broken>;
}

/// A promise that was not kept.
pub struct Broken(String);

impl Broken {
    /// Says what was seen.
    pub fn new(seen: impl Into<String>) -> Self {
        Self(seen.into())
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Ends the check unless the values are equal.
#[expect(clippy::needless_pass_by_value, reason = "most values are made for the call")]
pub(crate) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    seen: T,
    wanted: T,
) -> Result<(), Broken> {
    if seen == wanted {
        return Ok(());
    }
    Err(Broken(format!("{what}: seen {seen:?}, wanted {wanted:?}")))
}

/// Ends the check unless `holds`.
pub(crate) fn holds(what: &str, holds: bool) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what.to_owned())) }
}
