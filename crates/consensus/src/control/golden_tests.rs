//! What crosses between nodes, byte by byte. A test that fails here says that a node of this release and
//! one of the release before would not understand each other while a cluster is rolled over: what is new
//! belongs into a message of its own, sent to nodes only that speak a version that has it.

use std::collections::BTreeMap;

use openraft::{
    EntryPayload,
    raft::{AppendEntriesRequest, AppendEntriesResponse},
};
use quarry_core::coordinator::Command;
use quarry_ports::codec::{self, schema};
use quarry_types::{BootId, Epoch, NodeId, ShardId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{HeartbeatAnswer, HeartbeatRequest, ProposeRequest};
use crate::group::{Entry, Group, LeaderId, LogId, Proposal, Vote};

/// The vote of node 2 as the leader of term 3.
const VOTE: [u8; 17] = [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];

/// Checks that `message` is written as `body` behind the header of the codec, and is read from it.
#[track_caller]
fn is_written_as<M: Serialize + DeserializeOwned>(message: &M, body: &[u8]) {
    let frame = codec::encode(schema::CONTROL, message).unwrap();
    assert_eq!(&frame[..4], [1, 6, 0, 1], "codec 1, schema 6, version 1");
    assert_eq!(&frame[16..], body);
    let read: M = codec::decode(schema::CONTROL, &frame).unwrap();
    assert_eq!(codec::encode(schema::CONTROL, &read).unwrap(), frame);
}

fn log_id(index: u64) -> LogId {
    LogId::new(LeaderId { term: 3, node_id: 2 }, index)
}

#[test]
fn the_bytes_of_a_round_of_the_leader_never_change() {
    let request = AppendEntriesRequest::<Group> {
        vote: Vote::new_committed(3, 2),
        prev_log_id: None,
        leader_commit: None,
        entries: Vec::new(),
    };
    let mut expected = VOTE.to_vec();
    // Nothing before, no entries, nothing that is committed.
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    is_written_as(&request, &expected);
    is_written_as(&AppendEntriesResponse::<Group>::Success, &[0, 0, 0, 0]);
    let higher = AppendEntriesResponse::<Group>::HigherVote(Vote::new_committed(3, 2));
    is_written_as(&higher, &[&[3, 0, 0, 0], &VOTE[..]].concat());
}

#[test]
fn the_bytes_of_an_entry_on_its_way_to_a_follower_never_change() {
    let command = Command::Split { shard: ShardId(5) };
    let payload = EntryPayload::Normal(Proposal { at: Timestamp(6), command });
    let request = AppendEntriesRequest::<Group> {
        vote: Vote::new_committed(3, 2),
        prev_log_id: Some(log_id(7)),
        leader_commit: Some(log_id(6)),
        entries: vec![Entry { log_id: log_id(8), payload }],
    };
    let leadership = &VOTE[..16];
    let expected: [&[u8]; 10] = [
        &VOTE,
        &[1],
        leadership,
        &[7, 0, 0, 0, 0, 0, 0, 0],
        // One entry.
        &[1, 0, 0, 0, 0, 0, 0, 0],
        leadership,
        &[8, 0, 0, 0, 0, 0, 0, 0],
        // What it holds: a command, when, which, and its shard.
        &[1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 1],
        leadership,
        &[6, 0, 0, 0, 0, 0, 0, 0],
    ];
    is_written_as(&request, &expected.concat());
}

#[test]
fn the_bytes_of_a_heartbeat_and_of_what_renews_a_lease_never_change() {
    let loads = BTreeMap::from([(ShardId(9), 10)]);
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(8), loads };
    let mut expected = vec![7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0]);
    is_written_as(&request, &expected);
    let answer = HeartbeatAnswer::Renewed { applied: 11 };
    is_written_as(&answer, &[0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_bytes_of_a_proposal_never_change() {
    let shards = vec![(ShardId(9), Epoch(10))];
    let command = Command::Release { node: NodeId(7), boot: BootId(8), shards };
    let mut expected = vec![5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
    is_written_as(&ProposeRequest { command }, &expected);
}
