//! Who holds a lock on a file, by the kernel's list. It is looked up, and not tried: who starts in that
//! moment finds the lock free.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

const LIST: &str = "/proc/locks";

/// A lock that keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Of the whole file, by flock(2).
    Whole,
    /// Of a byte, by fcntl(2).
    Byte(u64),
}

/// The process that holds `lock` on `file`; none where nobody does, or it is not there.
pub(crate) fn holder_of(file: &Path, lock: Lock) -> Option<i32> {
    let inode = fs::metadata(file).ok()?.ino();
    holder(&fs::read_to_string(LIST).ok()?, inode, lock)
}

fn holder(list: &str, inode: u64, lock: Lock) -> Option<i32> {
    list.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, _, "WRITE", process, place, from, upto] = words.as_slice() else {
            return None;
        };
        let (_, of) = place.rsplit_once(':')?;
        let is_it = match lock {
            Lock::Whole => *kind == "FLOCK",
            Lock::Byte(byte) => {
                let from = from.parse::<u64>().ok()?;
                let upto = if *upto == "EOF" { u64::MAX } else { upto.parse().ok()? };
                *kind == "POSIX" && (from..=upto).contains(&byte)
            }
        };
        (is_it && of.parse::<u64>().ok() == Some(inode)).then(|| process.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn who_holds_a_lock_is_read_from_the_kernels_list() {
        let list = "1: POSIX  ADVISORY  WRITE 3568 fd:00:77 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 3517 fd:00:77 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 99 fd:00:78 0 EOF\n\
            3: POSIX  ADVISORY  READ 5 fd:00:79 123 123\n\
            4: POSIX  ADVISORY  WRITE 6 fd:00:79 120 120\n";
        assert_eq!(holder(list, 77, Lock::Whole), Some(3_517));
        assert_eq!(holder(list, 78, Lock::Whole), None, "it waits for another");
        assert_eq!(holder(list, 7, Lock::Whole), None);
        assert_eq!(holder(list, 77, Lock::Byte(9)), Some(3_568));
        assert_eq!(holder(list, 79, Lock::Byte(120)), Some(6));
        assert_eq!(holder(list, 79, Lock::Byte(123)), None, "who reads keeps nobody out");
        assert_eq!(holder(list, 79, Lock::Whole), None);
    }

    #[test]
    fn a_lock_of_this_process_is_found() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(holder_of(&path, Lock::Whole), None);
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(holder_of(&path, Lock::Whole), i32::try_from(std::process::id()).ok());
        assert_eq!(holder_of(&place.path().join("none"), Lock::Whole), None);
    }
}
