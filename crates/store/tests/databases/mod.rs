//! Fresh databases for tests.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use quarry_ports::{Host, Metrics, Store};
use quarry_sim::contract::store::{Broken, OpenStore};
use quarry_store::{Options, open};
use tempfile::TempDir;

/// A SQLite file in a directory of its own, which goes with it.
pub(crate) struct SqliteFile {
    directory: TempDir,
}

/// A file that is not there yet, in a directory that is not there yet.
pub(crate) fn sqlite_file() -> SqliteFile {
    SqliteFile { directory: tempfile::tempdir().expect("a temporary directory") }
}

impl SqliteFile {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("not-there-yet").join("quarry.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }
}

#[async_trait]
impl OpenStore for SqliteFile {
    async fn open(&self) -> Result<Arc<dyn Store>, Broken> {
        Ok(open(&self.url(), Options::default(), Host::system(), Metrics::new()?).await?)
    }
}
