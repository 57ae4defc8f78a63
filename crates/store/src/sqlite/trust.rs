//! Whether what this process writes to its file is kept.
//!
//! After a failed flush the system may have forgotten what it did not write, and a later flush that
//! succeeds proves nothing. And a file that was replaced beneath the process, by a copy that was put
//! back for example, takes what is written along when the process ends. In both cases nothing is
//! acknowledged any more until the process is started anew.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::watch;

use super::writer::code;

/// The extended result codes of a failed flush: of a file, and of its directory.
const FLUSH_FAILED: [i32; 2] = [1_034, 1_290];

/// How often one who waits for the loss of trust looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// What all connections of this process to one file know. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Trust(Arc<State>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// Device and inode of the file when it was first looked at.
    file: OnceLock<(u64, u64)>,
    lost: watch::Sender<Option<String>>,
}

impl Trust {
    pub(super) fn new(path: &Path) -> Self {
        let (lost, _) = watch::channel(None);
        Self(Arc::new(State { path: path.to_owned(), file: OnceLock::new(), lost }))
    }

    /// Why nothing may be acknowledged any more, where that is so.
    pub(super) fn check(&self) -> Result<(), String> {
        self.0.lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// As [`Trust::check`], after a look whether the path still leads to the same file.
    pub(super) fn look(&self) -> Result<(), String> {
        match fs::metadata(&self.0.path) {
            Ok(found) => {
                let found = (found.dev(), found.ino());
                if *self.0.file.get_or_init(|| found) != found {
                    self.lose("another file stands in its place");
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.lose("it was removed"),
            // The file system does not answer now; the next transaction looks again.
            Err(_) => {}
        }
        self.check()
    }

    /// Takes note of an error of a write or a checkpoint.
    pub(super) fn heard(&self, error: &sqlx::Error) {
        if code(error).is_some_and(|code| FLUSH_FAILED.contains(&code)) {
            self.lose(&format!("a flush failed: {error}"));
        }
    }

    /// Waits until trust is lost; why. Looks now and then, for a process that writes nothing.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.0.lost.subscribe();
        loop {
            if let Some(reason) = lost.borrow_and_update().clone() {
                return reason;
            }
            // The state holds the sender: there is no other end of the wait.
            if tokio::time::timeout(LOOK, lost.changed()).await.is_err() {
                drop(self.look());
            }
        }
    }

    fn lose(&self, why: &str) {
        let reason = format!("the store {} cannot be trusted: {why}", self.0.path.display());
        let is_first = self.0.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            if is_first {
                *lost = Some(reason.clone());
            }
            is_first
        });
        if is_first {
            tracing::error!(reason, "nothing is acknowledged any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_replaced_or_removed_is_trusted_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for replace in [true, false] {
            fs::write(&path, "one").unwrap();
            let trust = Trust::new(&path);
            assert_eq!((trust.look(), trust.look()), (Ok(()), Ok(())));
            if replace {
                fs::write(directory.path().join("copy"), "two").unwrap();
                fs::rename(directory.path().join("copy"), &path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            assert_eq!(trust.check(), Ok(()), "nobody has looked");
            let reason = trust.lost().await;
            assert_eq!(trust.look(), Err(reason.clone()), "whoever waited has looked");
            fs::write(&path, "three").unwrap();
            assert_eq!(trust.look(), Err(reason), "lost for good");
        }
    }
}
