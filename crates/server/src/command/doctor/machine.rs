//! What of this machine a node would need to start.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use quarry_ports::Host;
use quarry_store::{Examined, OpenError};
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};

use crate::{
    cli::Global,
    configuration::{self, Mistakes, Settings, Sources},
    failure::Failure,
    locks::{Lock, holder_of},
    node::Port,
};

/// What is known of this machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// Why no server was asked.
    pub(super) unanswered: String,
    /// Whether its address was named.
    pub(super) is_named: bool,
    /// What is wrong with the configuration, or what a node with it would find.
    pub(super) ground: Result<Ground, Mistakes>,
}

/// What a node would find.
#[derive(Debug)]
pub(super) struct Ground {
    /// What was passed over in the configuration.
    pub(super) warnings: Vec<String>,
    /// Ports that cannot be listened on.
    pub(super) ports: Vec<Failure>,
    /// The data directory.
    pub(super) directory: Directory,
    /// The database.
    pub(super) database: Result<Examined, OpenError>,
    /// How many files this user's processes may open, where that is limited.
    pub(super) descriptors: Option<u64>,
}

/// A data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// Where it is, or will be.
    pub(super) path: PathBuf,
    /// The process that holds it.
    pub(super) holder: Option<i32>,
    /// Why it cannot be written.
    pub(super) unwritable: Option<String>,
    /// What is free on its file system, in bytes.
    pub(super) free: Option<u64>,
    /// How long a flush of a small file takes there.
    pub(super) flush: Option<Duration>,
}

impl Machine {
    /// Looks at this machine, and changes nothing.
    pub(super) async fn look(global: &Global, unanswered: String) -> Self {
        let ground = match configuration::load(Sources::of_process(global.config.as_deref())) {
            Ok(loaded) => Ok(ground(&loaded.settings, loaded.warnings).await),
            Err(mistakes) => Err(mistakes),
        };
        Self { unanswered, is_named: global.url.is_some(), ground }
    }
}

async fn ground(settings: &Settings, warnings: Vec<String>) -> Ground {
    let node = &settings.node;
    let port = |purpose, flag, listen| Port { purpose, flag, listen };
    let ports = [
        port("HTTP", "--http", &node.http),
        port("the control plane", "--cluster", &node.cluster),
        port("the message plane", "--mesh", &node.mesh),
    ];
    let url = settings.store.url.as_ref().map_or_else(
        || format!("sqlite://{}", node.data_dir.join("quarry.db").display()),
        |url| url.reveal().to_owned(),
    );
    let options = quarry_store::Options {
        allow_unsafe_durability: settings.store.allow_unsafe_durability,
        take_from_other_host: settings.store.take_from_other_host,
        ..quarry_store::Options::default()
    };
    Ground {
        warnings,
        ports: ports.iter().filter_map(|port| port.probe().err()).collect(),
        directory: directory(&node.data_dir, &Host::system()),
        database: quarry_store::examine(&url, &options, &Host::system()).await,
        descriptors: getrlimit(Resource::Nofile).current,
    }
}

fn directory(path: &Path, host: &Host) -> Directory {
    let mut found = Directory { path: path.to_owned(), ..Directory::default() };
    // What is not there is made within what is.
    let Some(base) = path.ancestors().map(there).find(|base| base.exists()) else { return found };
    let free = statvfs(base).map(|seen| seen.f_bavail.saturating_mul(seen.f_frsize));
    found.free = free.ok();
    match flush(base, host) {
        Ok(took) => found.flush = Some(took),
        Err(error) => found.unwritable = Some(error.to_string()),
    }
    found.holder = holder_of(&path.join("lock"), Lock::Whole);
    found
}

/// A relative path begins where the process is.
fn there(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// The middle of five flushes of a small file that is gone afterwards.
fn flush(directory: &Path, host: &Host) -> Result<Duration, std::io::Error> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = host.now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        times.push(host.now().since(begun));
    }
    times.sort_unstable();
    Ok(times.get(2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{FlockOperation, flock as lock};

    use super::*;

    #[test]
    fn a_directory_is_looked_at_and_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (path, host) = (place.path().join("a/b"), Host::system());
        let seen = directory(&path, &host);
        assert!(!path.exists() && seen.unwritable.is_none(), "{seen:?}");
        assert!(seen.free.is_some() && seen.flush.is_some(), "{seen:?}");
        assert_eq!(seen.holder, None);
        fs::create_dir_all(&path).unwrap();
        let held = fs::File::create(path.join("lock")).unwrap();
        lock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(directory(&path, &host).holder, i32::try_from(std::process::id()).ok());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing is left behind");
    }
}
