//! The node's data directory, locked while the process lives.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// A locked data directory. The kernel lets the lock go when the process ends, however it ends: who
/// holds it knows that the process before is dead (L2).
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Why a directory was not locked.
#[derive(Debug)]
pub(crate) enum LockError {
    /// A living process holds it.
    Held,
    /// It cannot be made or opened.
    Io(io::Error),
}

impl Directory {
    /// Makes the directory where it is missing, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, LockError> {
        std::fs::create_dir_all(path).map_err(LockError::Io)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(LockError::Io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(LockError::Held),
            Err(error) => Err(LockError::Io(error.into())),
        }
    }

    /// Where the coordinator keeps its log.
    pub(crate) fn coordinator(&self) -> PathBuf {
        Self::coordinator_in(&self.path)
    }

    /// The same in the data directory `path`.
    pub(crate) fn coordinator_in(path: &Path) -> PathBuf {
        path.join("coordinator.db")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("node");
        let first = Directory::lock(&path).unwrap();
        assert!(matches!(Directory::lock(&path), Err(LockError::Held)));
        drop(first);
        assert!(Directory::lock(&path).is_ok());
    }
}
