use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{
    RaftLogReader, RaftSnapshotBuilder,
    entry::RaftEntry,
    storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
};
use quarry_core::coordinator::{Command, Founding, Member, State};
use quarry_ports::Host;
use quarry_types::{BootId, ClusterId, EntityType, NodeId, Role, Timestamp};
use tempfile::TempDir;

use super::{Log, Machine, open};
use crate::{
    group::{Entry, Group, LeaderId, LogId, Proposal, Vote},
    view::Views,
};

async fn opened(place: &TempDir) -> (Log, Machine) {
    let path = place.path().join("coordinator.db");
    open(&path, &Host::system(), Arc::new(Views::new())).await.unwrap()
}

struct Builder;

impl StoreBuilder<Group, Log, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Machine), openraft::StorageError<Group>> {
        let place = tempfile::tempdir().unwrap();
        let (log, machine) = opened(&place).await;
        Ok((place, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_suite_of_openraft() {
    Suite::<Group, Log, Machine, Builder, TempDir>::test_all(Builder).await.unwrap();
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn entry(term: u64, index: u64) -> Entry {
    let command = Command::Drain { nodes: [NodeId(index)].into() };
    Entry::new_normal(id(term, index), Proposal { at: Timestamp(0), command })
}

/// A runtime that ends as a killed process does: nothing is closed, nobody is told.
fn in_a_process_that_is_killed<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let made = runtime.block_on(work);
    runtime.shutdown_background();
    made
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let place = tempfile::tempdir().unwrap();
    let vote = Vote::new_committed(3, 1);
    in_a_process_that_is_killed(async {
        let (mut log, machine) = opened(&place).await;
        log.save_vote(&vote).await.unwrap();
        log.save_committed(Some(id(1, 6))).await.unwrap();
        log.blocking_append((1..=9).map(|index| entry(1, index))).await.unwrap();
        log.truncate_after(Some(id(1, 7))).await.unwrap();
        log.purge(id(1, 2)).await.unwrap();
        log.blocking_append([entry(3, 8)]).await.unwrap();
        std::mem::forget((log, machine));
    });
    in_a_process_that_is_killed(async {
        let (mut log, _) = opened(&place).await;
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 6)));
        let state = log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 2)), Some(id(3, 8))));
        let mut expected: Vec<Entry> = (3..=7).map(|index| entry(1, index)).collect();
        expected.push(entry(3, 8));
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), expected);
    });
}

#[test]
fn a_snapshot_outlives_a_kill_and_an_older_one_never_replaces_it() {
    outlives(&[Command::Initialize { cluster: ClusterId(7), shards: 4, max_moves: 1 }]);
}

#[test]
fn a_snapshot_of_bound_types_outlives_a_kill_with_them() {
    let bindings = [(EntityType::new("Heavy").unwrap(), "gpu".to_owned())].into();
    let founding = Founding { bindings, ..Founding::default() };
    let (cluster, shards, max_moves) = (ClusterId(7), 4, 1);
    let found = Command::Found { cluster, shards, max_moves, founding };
    let state = outlives(std::slice::from_ref(&found));
    assert_eq!(state.bindings().bound().count(), 1);
    assert!(state.lease_ttls().is_empty());

    let lease_ttl = Duration::from_secs(10);
    let state = outlives(&[found, Command::join(member(), lease_ttl)]);
    assert_eq!(state.bindings().bound().count(), 1);
    assert_eq!(state.lease_ttls(), &[(NodeId(1), lease_ttl)].into());
}

fn member() -> Member {
    let (roles, groups) = ([Role::Runner].into(), BTreeSet::new());
    let (http, control, mesh) = (String::new(), String::new(), String::new());
    Member { id: NodeId(1), boot: BootId(1), roles, weight: 100, groups, http, control, mesh }
}

#[test]
fn a_snapshot_holds_the_times_to_live_that_are_not_the_usual_one() {
    let initialize = Command::Initialize { cluster: ClusterId(7), shards: 4, max_moves: 1 };
    for (ttl, then) in [(3, None), (4, Some(Duration::from_secs(4)))] {
        let join = Command::join(member(), Duration::from_secs(ttl));
        let state = outlives(&[initialize.clone(), join]);
        assert_eq!(state.lease_ttls().get(&NodeId(1)), then.as_ref());
    }
}

/// Applies these commands, and finds them in a snapshot after a kill; the state.
fn outlives(commands: &[Command]) -> State {
    let place = tempfile::tempdir().unwrap();
    let state = in_a_process_that_is_killed(async {
        let (_log, mut machine) = opened(&place).await;
        let mut early = machine.get_snapshot_builder().await;
        let entry = |(index, command): (u64, &Command)| {
            let proposal = Proposal { at: Timestamp(0), command: command.clone() };
            Ok((Entry::new_normal(id(1, index), proposal), None))
        };
        let first = 5 - u64::try_from(commands.len()).unwrap();
        machine
            .apply(futures_util::stream::iter((first..).zip(commands).map(entry)))
            .await
            .unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        early.build_snapshot().await.unwrap();
        machine.state().clone()
    });
    in_a_process_that_is_killed(async {
        let (_log, mut machine) = opened(&place).await;
        let snapshot = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(snapshot.meta.last_log_id, Some(id(1, 4)));
        machine.install_snapshot(&snapshot.meta, snapshot.snapshot.clone()).await.unwrap();
        assert_eq!(machine.state(), &state);
        assert_eq!(machine.applied_state().await.unwrap().0, Some(id(1, 4)));
    });
    state
}

#[tokio::test]
async fn after_a_failed_write_nothing_more_is_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let (mut log, _machine) = opened(&place).await;
    log.blocking_append([entry(1, 1)]).await.unwrap();
    // The file refuses a second entry of the same index.
    assert!(log.blocking_append([entry(1, 1)]).await.is_err());
    assert!(log.blocking_append([entry(1, 2)]).await.is_err());
    assert!(log.save_vote(&Vote::new(9, 1)).await.is_err());
    assert_eq!(log.read_vote().await.unwrap(), None);
}

#[test]
fn a_damaged_record_is_named_and_nothing_is_opened() {
    let place = tempfile::tempdir().unwrap();
    in_a_process_that_is_killed(async {
        let (mut log, _machine) = opened(&place).await;
        log.blocking_append([entry(1, 1)]).await.unwrap();
    });
    in_a_process_that_is_killed(async {
        use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
        let path = place.path().join("coordinator.db");
        let options = SqliteConnectOptions::new().filename(&path);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("update log set frame = zeroblob(length(frame))")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let error = open(&path, &Host::system(), Arc::new(Views::new())).await.err().unwrap();
        assert!(error.to_string().contains("log entry 1"), "{error}");
    });
}

const GOLDEN_ENTRY: &str = "0200000000000000010000000000000005000000000000000100000000000000000000000300000001000000000000000500000000000000";
const GOLDEN_BLANK: &str = "02000000000000000100000000000000050000000000000000000000";
const GOLDEN_VOTE: &str = "0300000000000000010000000000000001";

/// The stored forms of format 2: a release that reads them differently needs a new version.
#[test]
fn the_stored_bytes_of_a_format_never_change() {
    use quarry_ports::codec::{encode, schema};
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let stored = encode(schema::RAFT_ENTRY, &entry(2, 5)).unwrap();
    assert_eq!(hex(&stored[16..]), GOLDEN_ENTRY);
    let blank = Entry::new_blank(id(2, 5));
    let stored = encode(schema::RAFT_ENTRY, &blank).unwrap();
    assert_eq!(hex(&stored[16..]), GOLDEN_BLANK);
    let stored = encode(schema::RAFT_META, &Vote::new_committed(3, 1)).unwrap();
    assert_eq!(hex(&stored[16..]), GOLDEN_VOTE);
}
