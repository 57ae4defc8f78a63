//! Flushes of a disk, as the kernel counts them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::load::count;

/// The block device beneath a directory.
#[derive(Debug)]
pub(crate) struct Device {
    name: String,
    stat: PathBuf,
}

impl Device {
    /// That of the files in `directory`; `None` where they are in memory, on a network, or otherwise
    /// on none.
    pub(crate) fn beneath(directory: &Path) -> Option<Self> {
        let device = fs::metadata(directory).ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let mut place = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        // The kernel counts the flushes of a disk, not those of its partitions.
        if place.join("partition").exists() {
            place.pop();
        }
        let name = place.file_name()?.to_str()?.to_owned();
        Some(Self { name, stat: place.join("stat") })
    }

    /// Flush requests that it has completed, whoever asked for them; those that wait for one another
    /// are one.
    pub(crate) fn flushes(&self) -> Option<u64> {
        flushes(&fs::read_to_string(&self.stat).ok()?)
    }
}

/// Of a line of `/sys/block/NAME/stat`: the sixteenth number, which came with Linux 5.5.
fn flushes(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(15)?.parse().ok()
}

/// Whether flushes of a disk can be counted.
#[derive(Debug)]
pub(crate) enum Flushes {
    /// They can.
    Counted {
        /// By whom.
        device: Device,
        /// How many came of each `fdatasync` of the baseline.
        of_each: f64,
    },
    /// They cannot, and why.
    NotCounted(String),
}

impl Flushes {
    /// What is known of `device` after `times` of `fdatasync`, before which it had counted `before`.
    pub(crate) fn seen(device: Option<Device>, before: Option<u64>, times: usize) -> Self {
        let Some(device) = device else {
            return Self::NotCounted("the files are on no block device".to_owned());
        };
        let Some((before, after)) = before.zip(device.flushes()) else {
            return Self::NotCounted(format!("this kernel counts no flushes of {}", device.name));
        };
        let new = usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
        // A disk without a cache of its own is asked for none.
        if new == 0 {
            return Self::NotCounted(format!("{} is asked for no flushes", device.name));
        }
        Self::Counted { of_each: count(new) / count(times).max(1.0), device }
    }

    /// Flushes so far, where they are counted.
    pub(crate) fn so_far(&self) -> Option<u64> {
        match self {
            Self::Counted { device, .. } => device.flushes(),
            Self::NotCounted(_) => None,
        }
    }

    /// What they are, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Counted { device: Device { name, .. }, of_each } => {
                format!("flush requests of the whole device {name}, of each fdatasync {of_each:.2}")
            }
            Self::NotCounted(reason) => format!("not available: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flushes_of_a_device_are_its_sixteenth_number() {
        let line = " 31051 5688 3224130 22783 7580 64903 6741088 35399 0 6204 59058 6410 35 692360 \
                    843 1108 32";
        assert_eq!(flushes(line), Some(1_108));
        assert_eq!(flushes("1 2 3 4 5 6 7 8 9 10 11"), None, "an older kernel has eleven");
    }

    #[test]
    fn what_cannot_be_counted_says_why() {
        let processes = Device::beneath(Path::new("/proc"));
        let seen = Flushes::seen(processes, None, 100);
        assert_eq!(seen.describe(), "not available: the files are on no block device");
        assert_eq!(seen.so_far(), None);
        let device = |stat: &str| Device { name: "sda".to_owned(), stat: PathBuf::from(stat) };
        let seen = Flushes::seen(Some(device("/nowhere")), Some(7), 100);
        assert_eq!(seen.describe(), "not available: this kernel counts no flushes of sda");
    }

    #[test]
    fn a_device_that_is_asked_for_none_counts_none() {
        let directory = tempfile::tempdir().unwrap();
        let stat = directory.path().join("stat");
        let device = || Device { name: "sda".to_owned(), stat: stat.clone() };
        fs::write(&stat, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 200 17").unwrap();
        let seen = Flushes::seen(Some(device()), Some(200), 100);
        assert_eq!(seen.describe(), "not available: sda is asked for no flushes");
        let seen = Flushes::seen(Some(device()), Some(50), 100);
        let told = "flush requests of the whole device sda, of each fdatasync 1.50";
        assert_eq!((seen.so_far(), seen.describe().as_str()), (Some(200), told));
    }
}
