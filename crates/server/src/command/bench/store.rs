//! A store of the run's own.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use quarry_ports::Host;
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use super::database::Database;
use crate::{
    configuration::mask_url,
    failure::{Exit, Failure},
};

/// A directory, and a SQLite file in it or a fresh database of PostgreSQL.
pub(crate) struct BenchStore {
    directory: TempDir,
    database: Option<Database>,
    /// Its URL.
    pub(crate) url: String,
}

impl BenchStore {
    /// Does `work` on one, and removes it. `server` is one of PostgreSQL.
    pub(crate) async fn with<T>(
        server: Option<&str>,
        host: &Host,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let store = Self::create(server, host).await?;
        let worked = work(&store).await;
        // What was measured is not lost for that.
        if let Err(error) = store.remove().await {
            let warning = format!("warning: the database of the bench was not removed: {error:#}");
            drop(writeln!(io::stderr().lock(), "{warning}"));
        }
        worked
    }

    async fn create(server: Option<&str>, host: &Host) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("quarry-bench.").tempdir()?;
        let database = match server {
            Some(url) if url.starts_with("postgres") => Some(Database::create(url, host).await?),
            Some(url) => {
                let message = format!("--store: {} is no server of PostgreSQL", mask_url(url));
                return Err(Failure::new(Exit::Usage, message)
                    .advise("write postgres://USER@HOST/DATABASE; without it SQLite is measured"));
            }
            None => None,
        };
        let url = database.as_ref().map_or_else(
            || format!("sqlite://{}", directory.path().join("bench.db").display()),
            |database| database.url.clone(),
        );
        Ok(Self { directory, database, url })
    }

    /// Where a node may keep its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Lets the system forget what it holds in memory of a SQLite file that nobody has open. A server of
    /// PostgreSQL keeps what it holds.
    pub(crate) fn forget(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.directory())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let file = File::open(entry.path())?;
                // What is not on the disk yet would stay.
                file.sync_all()?;
                fadvise(&file, 0, None, Advice::DontNeed)?;
            }
        }
        Ok(())
    }

    async fn remove(self) -> anyhow::Result<()> {
        match self.database {
            Some(database) => database.remove().await,
            None => Ok(()),
        }
    }
}
