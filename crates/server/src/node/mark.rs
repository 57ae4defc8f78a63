//! What this node remembers of its store, in a file beside its other data: while no node runs, nobody
//! else notices that the store is set back to an older state.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use quarry_core::mark::{Mark, Standing};
use quarry_ports::{FoundCommit, Host, KnownCommit, Metrics, Store, StoreError, Task};
use quarry_types::ClusterId;
use tokio::{fs, io::AsyncWriteExt as _, sync::watch};

const FILE: &str = "store.mark";
/// How often the file is written at most. What was acknowledged in the last second before a crash may
/// be missing: then a store that was set back by less is not noticed.
const EVERY: Duration = Duration::from_secs(1);
/// For how long the store is asked at the start.
const ASKED_FOR: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// The task that remembers.
#[derive(Debug)]
pub(crate) struct StoreMark {
    stop: watch::Sender<bool>,
    task: Task,
}

impl StoreMark {
    /// Compares the store of `cluster` with what is remembered of it in `directory`, says where it holds
    /// less (L3), and goes on remembering.
    pub(crate) async fn start(
        directory: &Path,
        cluster: ClusterId,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
        host: &Host,
    ) -> Self {
        let path = directory.join(FILE);
        let mut mark = read(&path, cluster).await;
        let written = mark.clone();
        compare(&mut mark, &**store, metrics, host).await;
        let (stop, stopped) = watch::channel(false);
        let store = Arc::clone(store);
        let keeper = Keeper { path, store, mark, written, is_failing: false };
        Self { stop, task: host.spawn("store mark", keeper.run(stopped)) }
    }

    /// Writes what was acknowledged until now, and ends.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        self.task.ended().await;
    }
}

/// What is remembered in the file at `path`; nothing where that is of another store, or unreadable.
async fn read(path: &Path, cluster: ClusterId) -> Mark {
    let nothing = Mark::new(cluster);
    let text = match fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what is remembered of the store cannot be read");
            return nothing;
        }
    };
    match Mark::parse(&text) {
        Ok(mark) if mark.cluster() == cluster => mark,
        Ok(mark) => {
            let of = format!("{:016x}", mark.cluster().0);
            tracing::warn!(path = %path.display(), of, "what is remembered is of another store");
            nothing
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what is remembered of the store cannot be read");
            nothing
        }
    }
}

/// Says where the store holds less than `mark`, and forgets that.
async fn compare(mark: &mut Mark, store: &dyn Store, metrics: &Metrics, host: &Host) {
    let known: Vec<KnownCommit> = mark
        .commits()
        .map(|(shard, epoch, sequence)| KnownCommit { shard, epoch, sequence })
        .collect();
    if known.is_empty() {
        return;
    }
    let found = match find(&known, store, host).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the store was not compared with what is remembered of it");
            return;
        }
    };
    let standing = |found: FoundCommit| Standing { epoch: found.epoch, newest: found.newest };
    let gone = mark.compare(found.into_iter().map(standing));
    if let Some(first) = gone.first() {
        tracing::error!(
            shards = gone.len(), shard = %first.shard, epoch = %first.epoch,
            sequence = %first.sequence, found = ?first.found,
            "the store holds less than it acknowledged: was it set back to an older state?"
        );
        let shards = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        metrics.invariant_violations.with_label_values(&["L3"]).inc_by(shards);
    }
}

/// Asks the store, which may be away for a moment.
async fn find(
    known: &[KnownCommit],
    store: &dyn Store,
    host: &Host,
) -> Result<Vec<FoundCommit>, StoreError> {
    let until = host.now().after(ASKED_FOR);
    loop {
        match store.find_commits(known.to_vec()).await {
            Err(StoreError::Unavailable { .. }) if host.now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            found => return found,
        }
    }
}

struct Keeper {
    path: PathBuf,
    store: Arc<dyn Store>,
    mark: Mark,
    /// What the file holds.
    written: Mark,
    is_failing: bool,
}

impl Keeper {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let stop = stopped.wait_for(|stopped| *stopped);
            let is_over = tokio::time::timeout(EVERY, stop).await.is_ok();
            self.remember().await;
            if is_over {
                return;
            }
        }
    }

    /// Writes what is new.
    async fn remember(&mut self) {
        for known in self.store.known_commits() {
            self.mark.note(known.shard, known.epoch, known.sequence);
        }
        if self.mark == self.written {
            return;
        }
        match write(&self.path, &self.mark.text()).await {
            Ok(()) => {
                self.written = self.mark.clone();
                self.is_failing = false;
            }
            Err(error) => {
                if !self.is_failing {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "what is known of the store cannot be remembered");
                }
                self.is_failing = true;
            }
        }
    }
}

/// Puts `text` in the place of the file at `path`, durably: after a crash there is the one or the other.
async fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new).await?;
    file.write_all(text.as_bytes()).await?;
    file.flush().await?;
    file.sync_all().await?;
    fs::rename(&new, path).await?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(directory).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use quarry_types::{Epoch, Sequence, ShardId};

    use super::*;

    const CLUSTER: ClusterId = ClusterId(0xbeef);

    #[tokio::test]
    async fn what_is_written_is_read_again_and_nothing_else_is_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let nothing = Mark::new(CLUSTER);
        assert_eq!(read(&path, CLUSTER).await, nothing);
        let mut mark = nothing.clone();
        for sequence in 1..3 {
            mark.note(ShardId(3), Epoch(7), Sequence(sequence));
            write(&path, &mark.text()).await.unwrap();
            assert_eq!(read(&path, CLUSTER).await, mark);
        }
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no other file is left"
        );
        assert_eq!(read(&path, ClusterId(1)).await, Mark::new(ClusterId(1)));
        fs::write(&path, &mark.text()[1..]).await.unwrap();
        assert_eq!(read(&path, CLUSTER).await, nothing);
    }
}
