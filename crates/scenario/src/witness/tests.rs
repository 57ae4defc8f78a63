//! Histories that break an invariant, each beside one that keeps it.

use std::sync::{Arc, Weak};

use quarry_ports::{
    ChunkBody, ChunkRow, ClockRead, Commit, FenceRequest, LoadedShard, MessageRow, OpenRow,
    OpenState, OutcomeRow, SendKey, SendRow, StateRow,
};
use quarry_sim::Witness;
use quarry_types::{
    Address, BootId, Epoch, IdempotencyKey, Keep, MessageId, Method, Outcome, Sequence, ShardAge,
    ShardId, SlotRange, Tenant, Timestamp,
};

use super::Observer;
use crate::chronicle::Chronicle;

const SHARD: ShardId = ShardId(0);

/// What `play` breaks, by id.
fn broken(play: impl FnOnce(&Observer)) -> Vec<String> {
    let chronicle = Arc::new(Chronicle::new(quarry_sim::host(1)));
    let observer = Observer::new(Arc::clone(&chronicle), Weak::new());
    load(&observer, 1, 1);
    play(&observer);
    let found = chronicle.close(1).violations;
    found.into_iter().map(|what| what.split(':').next().unwrap().to_owned()).collect()
}

fn load(observer: &Observer, epoch: u64, boot: u64) {
    let (epoch, boot) = (Epoch(epoch), BootId(boot));
    let request = FenceRequest { shard: SHARD, range: SlotRange::ALL, epoch, boot };
    let loaded = LoadedShard {
        sequence: Sequence(0),
        low_water: Sequence(0),
        now: Timestamp(0),
        read: ClockRead::default(),
        age: ShardAge(0),
    };
    observer.loaded(&request, &loaded);
}

/// Writes these as the commits 1, 2 … of epoch 1.
fn write(observer: &Observer, commits: impl IntoIterator<Item = Commit>) {
    for (sequence, commit) in (1..).zip(commits) {
        let commit = Commit { shard: SHARD, epoch: Epoch(1), ..commit };
        observer.committed(&commit, Sequence(sequence), &[]);
    }
}

fn address(entity: &str) -> Address {
    Address::parse(Tenant::default_tenant(), entity).unwrap()
}

fn id(entity: &str, number: u64) -> MessageId {
    MessageId::new(Timestamp(1), address(entity).slot(), number)
}

fn message(entity: &str, number: u64) -> MessageRow {
    let method = if entity.starts_with("Grump") { "smile" } else { "append" };
    MessageRow {
        message_id: id(entity, number),
        address: address(entity),
        method: Method::new(method).unwrap(),
        key: IdempotencyKey::new(&number.to_string()).unwrap(),
        payload: bytes::Bytes::new(),
        digest: None,
        accepted_at: Timestamp(1),
    }
}

fn accepts(entity: &str, number: u64) -> Commit {
    Commit { messages: vec![message(entity, number)], ..Commit::default() }
}

fn outcome(entity: &str, number: u64) -> OutcomeRow {
    OutcomeRow {
        message_id: id(entity, number),
        outcome: Outcome::Success(bytes::Bytes::new()),
        attempts: 1,
        finished_at: Timestamp(1),
        keep_until: ShardAge(0),
        keep: Keep::Everything,
    }
}

fn finishes(entity: &str, number: u64) -> Commit {
    let state = StateRow { address: address(entity), state: Some(bytes::Bytes::new()) };
    Commit { outcomes: vec![outcome(entity, number)], states: vec![state], ..Commit::default() }
}

fn tries(entity: &str, number: u64, attempts: u32, state: OpenState) -> Commit {
    let row = OpenRow {
        message: message(entity, number),
        position: None,
        attempts,
        lost: 0,
        due: Timestamp(1),
        state,
        errors: Vec::new(),
    };
    Commit { open: vec![row], ..Commit::default() }
}

fn tells(entity: &str, number: u64, first: u64) -> Commit {
    let chunks = vec![ChunkBody::Made(bytes::Bytes::new())];
    let (message_id, address) = (id(entity, number), address(entity));
    Commit { chunks: vec![ChunkRow { message_id, address, first, chunks }], ..Commit::default() }
}

fn key() -> SendKey {
    SendKey { message_id: id("Publisher/p", 1), index: 0 }
}

/// The outcome of a publication, which sends to `x`.
fn sends() -> Commit {
    let row = SendRow {
        key: key(),
        sender: address("Publisher/p"),
        made_at: Timestamp(1),
        send_id: id("Register/x", 7),
        address: address("Register/x"),
        method: Method::new("append").unwrap(),
        payload: bytes::Bytes::new(),
        due: None,
    };
    Commit { sends: vec![row], ..finishes("Publisher/p", 1) }
}

fn closes() -> Commit {
    Commit { sent: vec![key()], ..Commit::default() }
}

#[test]
fn a_sound_history_breaks_nothing() {
    let found = broken(|observer| {
        let (waiting, aside) = (OpenState::Waiting, OpenState::Quarantined);
        let history = [
            accepts("Register/a", 1),
            accepts("Register/a", 2),
            tells("Register/a", 1, 0),
            tells("Register/a", 1, 1),
            finishes("Register/a", 1),
            finishes("Register/a", 2),
            accepts("Grump/g", 1),
            accepts("Grump/g", 2),
            tries("Grump/g", 1, 3, waiting),
            tries("Grump/g", 1, 3, aside),
            tries("Grump/g", 2, 1, waiting),
            accepts("Publisher/p", 1),
            sends(),
            accepts("Register/x", 7),
            closes(),
        ];
        write(observer, history);
        observer.told(id("Register/a", 2));
        observer.read(SlotRange::ALL, true);
        load(observer, 2, 2);
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_epoch_that_goes_back_and_one_of_two_processes_are_found() {
    assert_eq!(broken(|observer| load(observer, 0, 1)), ["L1"]);
    assert_eq!(broken(|observer| load(observer, 1, 2)), ["L5"]);
}

#[test]
fn a_commit_of_the_past_and_one_out_of_sequence_are_found() {
    let late = broken(|observer| {
        load(observer, 2, 2);
        write(observer, [accepts("Register/a", 1)]);
    });
    assert_eq!(late, ["L3"]);
    let skipped = broken(|observer| {
        let commit = Commit { shard: SHARD, epoch: Epoch(1), ..Commit::default() };
        observer.committed(&commit, Sequence(2), &[]);
    });
    assert_eq!(skipped, ["L3"]);
}

#[test]
fn rows_that_are_read_before_the_fence_stands_are_found() {
    assert_eq!(broken(|observer| observer.read(SlotRange::ALL, false)), ["L4"]);
}

#[test]
fn success_without_a_row_is_found() {
    assert_eq!(broken(|observer| observer.told(id("Register/a", 1))), ["D1"]);
    assert_eq!(broken(|observer| write(observer, [finishes("Register/a", 1)])), ["D1"]);
    let twice = [accepts("Register/a", 1), accepts("Register/a", 1)];
    assert_eq!(broken(|observer| write(observer, twice)), ["D1"]);
}

#[test]
fn a_second_outcome_and_one_without_its_state_are_found() {
    let (message, done) = (accepts("Register/a", 1), finishes("Register/a", 1));
    let twice = [message.clone(), done.clone(), done.clone()];
    assert!(broken(|observer| write(observer, twice)).contains(&"D2".to_owned()));
    let stateless = Commit { states: Vec::new(), ..done };
    assert_eq!(broken(|observer| write(observer, [message, stateless])), ["D2"]);
}

#[test]
fn a_message_that_is_handled_before_its_turn_is_found() {
    let [first, second] = [1, 2].map(|number| accepts("Register/a", number));
    let before = [first, second, finishes("Register/a", 2)];
    assert_eq!(broken(|observer| write(observer, before)), ["D3"]);
}

#[test]
fn an_attempt_beyond_the_limit_is_found() {
    let tried = [accepts("Grump/g", 1), tries("Grump/g", 1, 4, OpenState::Waiting)];
    assert_eq!(broken(|observer| write(observer, tried)), ["D4"]);
}

#[test]
fn a_chunk_too_far_and_one_behind_the_end_are_found() {
    let gap = [accepts("Register/a", 1), tells("Register/a", 1, 1)];
    assert_eq!(broken(|observer| write(observer, gap)), ["R1"]);
    let late = [accepts("Register/a", 1), finishes("Register/a", 1), tells("Register/a", 1, 0)];
    assert_eq!(broken(|observer| write(observer, late)), ["R1"]);
}

#[test]
fn an_entry_of_a_journal_with_a_gap_before_it_is_found() {
    let found = broken(|observer| {
        let commit = Commit { shard: SHARD, epoch: Epoch(1), ..Commit::default() };
        let entered = [1, 3].map(|number| (address("Teller/t"), number));
        observer.committed(&commit, Sequence(1), &entered);
    });
    assert_eq!(found, ["J1"]);
}

#[test]
fn a_send_that_comes_early_twice_or_is_closed_too_soon_is_found() {
    assert_eq!(broken(|observer| write(observer, [accepts("Register/x", 7)])), ["O1"]);
    let published = [accepts("Publisher/p", 1), sends()];
    let again = Commit { sends: sends().sends, ..finishes("Publisher/p", 1) };
    let twice = [published.clone().as_slice(), &[again]].concat();
    assert!(broken(|observer| write(observer, twice)).contains(&"O1".to_owned()));
    let early = [published.as_slice(), &[closes()]].concat();
    assert_eq!(broken(|observer| write(observer, early)), ["G1"]);
}
