//! Processes that end, or stop, at the named points of a commit.
//!
//! The writer is this program once more, told by its environment what to write to and where to end.

mod databases;

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use databases::{postgres_database, sqlite_file};
use quarry_ports::{Commit, CommitError, Host, MessageState, Metrics, StateRow};
use quarry_sim::contract::store::{Broken, OpenStore, Owner, message, success};
use quarry_store::{Options, open};
use quarry_types::{Epoch, MessageId, Sequence};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const URL: &str = "QUARRY_TEST_WRITER_URL";

/// The whole life of a message in one commit.
fn whole(owner: &Owner, key: &str) -> Result<(MessageId, Commit), Broken> {
    let address = owner.address("a")?;
    let row = message(&address, key)?;
    let state = Some(key.to_owned().into());
    let states = vec![StateRow { address, state }];
    let commit = Commit { outcomes: vec![success(&row)], states, ..owner.accept(&row) };
    Ok((row.message_id, commit))
}

/// The writer: says of each message that it sends it, and then how that ended. Started by the other
/// tests only; on its own it has nowhere to write to and checks nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_process() -> Result<(), Broken> {
    let Ok(url) = std::env::var(URL) else { return Ok(()) };
    let store = open(&url, Options::default(), Host::system(), Metrics::new()?).await?;
    let owner = Owner::load(store, 1, 1, 1).await?;
    println!("\nloaded");
    for number in 0..20 {
        let (id, commit) = whole(&owner, &format!("k{number}"))?;
        println!("sent {id}");
        match owner.write(commit).await {
            Ok(_) => println!("there {id}"),
            Err(CommitError::Fenced { recorded }) => println!("fenced {recorded}"),
            Err(error) => println!("failed {error}"),
        }
    }
    Ok(())
}

struct Writer {
    child: Child,
}

impl Writer {
    fn start(url: &str, point: &str) -> Result<Self, Broken> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "writer_process", "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .env("QUARRY_CRASH_POINT", point)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child })
    }

    /// What it said until its end.
    async fn said(mut self) -> Result<Vec<(String, String)>, Broken> {
        let output = self.child.stdout.take().ok_or_else(|| Broken::new("it says nothing"))?;
        let mut lines = BufReader::new(output).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if let Some((word, rest)) = line.split_once(' ') {
                said.push((word.to_owned(), rest.to_owned()));
            }
        }
        self.child.wait().await?;
        Ok(said)
    }

    /// Waits until it has stopped itself.
    async fn stopped(&self) -> Result<rustix::process::Pid, Broken> {
        let id = self.child.id().ok_or_else(|| Broken::new("it has ended"))?;
        for _ in 0..2_000 {
            let stat = tokio::fs::read_to_string(format!("/proc/{id}/stat")).await?;
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
                let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
                return id.ok_or_else(|| Broken::new("it has no id"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Broken::new("it did not stop within 20 s"))
    }
}

fn ids<'a>(said: &'a [(String, String)], word: &str) -> BTreeSet<&'a str> {
    said.iter().filter(|(said, _)| said == word).map(|(_, id)| id.as_str()).collect()
}

/// Ends a writer at `point` and looks at what it left.
async fn killed_at(database: &dyn OpenStore, url: &str, point: &str) -> Result<(), Broken> {
    let said = Writer::start(url, &format!("{point}:7"))?.said().await?;
    let (sent, there) = (ids(&said, "sent"), ids(&said, "there"));
    assert_eq!((sent.len(), there.len()), (7, 6), "{point}: it ended in its seventh commit");
    let new = Owner::start(database, 1, 2).await?;
    let mut stored = 0_u64;
    for id in &sent {
        let record = new.store.message(id.parse()?).await?;
        let finished =
            matches!(record.as_ref().map(|r| &r.state), Some(MessageState::Finished { .. }));
        assert_eq!(record.is_some(), finished, "{point}: all of a commit, or nothing");
        assert!(finished || !there.contains(id), "{point}: {id} was acknowledged and is gone");
        stored += u64::from(finished);
    }
    assert_eq!(stored, if point == "committed" { 7 } else { 6 }, "{point}");
    assert_eq!(new.loaded.sequence, Sequence(stored), "{point}");
    assert_eq!(new.unfinished(0).await?.len(), 0, "{point}");
    let state = new.store.states(vec![new.address("a")?]).await?;
    let state = state.into_iter().flatten().next().map(|stored| stored.state);
    assert_eq!(state, Some(format!("k{}", stored - 1).into()), "{point}");
    let (_, commit) = whole(&new, "new")?;
    assert_eq!(new.write(commit).await?.sequence, Sequence(stored + 1), "{point}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_writer_killed_at_any_point_leaves_whole_commits() -> Result<(), Broken> {
    for point in ["commit-before-lease-check", "commit-before-send", "commit-inside", "committed"] {
        let database = sqlite_file()?;
        drop(database.open().await?);
        killed_at(&database, &database.url(), point).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_writer_killed_at_any_point_leaves_whole_commits() -> Result<(), Broken> {
    for point in ["commit-before-lease-check", "commit-before-send", "committed"] {
        let database = postgres_database(point).await?;
        killed_at(&database, database.url(), point).await?;
    }
    Ok(())
}

/// L1 and L5: the fence of a process that died right after it made it stands.
async fn dead_after_its_fence(database: &dyn OpenStore, url: &str) -> Result<(), Broken> {
    let said = Writer::start(url, "fence-loaded")?.said().await?;
    assert_eq!(ids(&said, "sent").len(), 0);
    let again = Owner::load(database.open().await?, 1, 1, 99).await;
    assert!(again.is_err(), "the grant was good for the dead process only");
    let new = Owner::start(database, 1, 2).await?;
    assert_eq!(new.loaded.sequence, Sequence(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_outlives_the_process_that_made_it() -> Result<(), Broken> {
    let file = sqlite_file()?;
    dead_after_its_fence(&file, &file.url()).await?;
    let server = postgres_database("dead_after_fence").await?;
    dead_after_its_fence(&server, server.url()).await
}

/// G3: a writer that stopped between its lease check and its send wakes up behind a takeover.
async fn frozen_before_send(database: &dyn OpenStore, url: &str) -> Result<(), Broken> {
    let writer = Writer::start(url, "commit-before-send:7:stop")?;
    let stopped = writer.stopped().await?;
    let new = Owner::start(database, 1, 2).await?;
    assert_eq!(new.loaded.sequence, Sequence(6));
    rustix::process::kill_process(stopped, rustix::process::Signal::CONT)?;
    let said = writer.said().await?;
    assert_eq!(ids(&said, "there").len(), 6);
    let refused = said.iter().filter(|(word, _)| word == "fenced").count();
    assert_eq!(refused, 14, "everything after it woke up: {said:?}");
    assert_eq!(ids(&said, "fenced"), BTreeSet::from([Epoch(2).to_string().as_str()]));
    let after = Owner::start(database, 1, 3).await?;
    assert_eq!(after.loaded.sequence, Sequence(6), "nothing of the old epoch was committed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_writer_frozen_before_its_send_is_fenced() -> Result<(), Broken> {
    let database = sqlite_file()?;
    drop(database.open().await?);
    frozen_before_send(&database, &database.url()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_writer_frozen_before_its_send_is_fenced() -> Result<(), Broken> {
    let database = postgres_database("frozen").await?;
    frozen_before_send(&database, database.url()).await
}
