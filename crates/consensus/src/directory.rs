//! The node's data directory, locked while the process lives.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use quarry_ports::Random;
use rustix::fs::{FlockOperation, flock};

/// The file with the directory's number, and the lock that it goes with.
const NUMBER: &str = "directory-number";
/// Where Linux says which start of the machine this is.
const KERNEL_START: &str = "/proc/sys/kernel/random/boot_id";
/// The largest number: as many bits as count of it in a [`BootId`](quarry_types::BootId).
const MAX_NUMBER: u64 = (1 << 24) - 1;

/// A locked data directory. The kernel lets the lock go when the process ends, however it ends: who
/// holds it knows that the process before is dead (L2).
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
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
        fs::create_dir_all(path).map_err(LockError::Io)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(LockError::Io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(LockError::Held),
            Err(error) => Err(LockError::Io(error.into())),
        }
    }

    /// The number of this directory, drawn once and kept in it. A process whose number is that of the
    /// one before it holds the very lock that the other held. A copy of the directory has another file
    /// for a lock, or another kernel that keeps it, and gets another number; so does the directory itself
    /// after its machine started again.
    pub(crate) fn number(&self, random: &dyn Random) -> io::Result<u64> {
        let (path, place) = (self.path.join(NUMBER), self.place()?);
        if let Ok(text) = fs::read_to_string(&path)
            && let Some(number) = number_in(&text, place.as_deref())
        {
            return Ok(number);
        }
        let number = random.next_u64() & MAX_NUMBER;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{number} {}", place.unwrap_or_default())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.path)?.sync_all()?;
        Ok(number)
    }

    /// Which lock this is: the start of the kernel that keeps it, the device and the inode. A kernel
    /// knows only of its own locks, and block devices are copied with all their inodes. Nothing where the
    /// kernel does not say which start it is.
    fn place(&self) -> io::Result<Option<String>> {
        let lock = self.lock.metadata()?;
        let Ok(start) = fs::read_to_string(KERNEL_START) else { return Ok(None) };
        Ok(Some(format!("{} {} {}", start.trim(), lock.dev(), lock.ino())))
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

/// The number that `text` gives to the directory whose lock is at `place`, where it gives it one.
fn number_in(text: &str, place: Option<&str>) -> Option<u64> {
    let (number, of) = text.trim_end().split_once(' ')?;
    let number = number.parse().ok().filter(|number| *number <= MAX_NUMBER)?;
    (Some(of) == place).then_some(number)
}

#[cfg(test)]
mod tests {
    use quarry_ports::Host;

    use super::*;

    #[test]
    fn a_directory_keeps_its_number_and_a_copy_gets_another() {
        let place = tempfile::tempdir().unwrap();
        let (path, copy) = (place.path().join("node"), place.path().join("copy"));
        let random = Host::system().random;
        let number = |path: &Path| Directory::lock(path).unwrap().number(&*random).unwrap();
        let first = number(&path);
        assert_eq!(number(&path), first, "another process");
        fs::create_dir(&copy).unwrap();
        for file in ["lock", NUMBER] {
            fs::copy(path.join(file), copy.join(file)).unwrap();
        }
        let second = number(&copy);
        assert_ne!(second, first);
        assert_eq!((number(&path), number(&copy)), (first, second));
    }

    #[test]
    fn what_is_no_number_of_this_lock_is_not_believed() {
        let here = Some("b00t 5 9");
        assert_eq!(number_in("77 b00t 5 9\n", here), Some(77));
        let others = ["77 b00t 5 8", "77 b00t 6 9", "77 b007 5 9", "77 9", "77", "", "x b00t 5 9"];
        for text in others.into_iter().chain(["16777216 b00t 5 9", "-1 b00t 5 9"]) {
            assert_eq!(number_in(text, here), None, "{text}");
        }
        assert_eq!(number_in("77 b00t 5 9", None), None, "who knows what kernel this is");
        assert_eq!(number_in("77 \n", None), None);
    }

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
