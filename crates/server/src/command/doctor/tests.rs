//! What is known, and what is found.

use quarry_client::ClockOffset;
use quarry_types::{
    NodeState, Role,
    api::{
        Check, Cluster, Entity, EntityMemory, Health, HealthStatus, Message, MessageStatus, Node,
        Placement, Protection, Shard, ShardCount,
    },
};

use super::{
    cluster,
    facts::{EntityFacts, Facts, Json, Listed, MessageFacts, NodeFacts, Told},
    finding::{Finding, Severity},
    samples::Samples,
    wait,
};

fn node(id: u64) -> Node {
    Node {
        id,
        state: NodeState::Up,
        roles: vec![Role::Runner, Role::Coordinator],
        weight: 100,
        groups: Vec::new(),
        http: format!("127.0.0.1:741{id}"),
        control: String::new(),
        mesh: String::new(),
        shards: 2,
    }
}

fn shard(id: u32) -> Shard {
    let owner = Some(u64::from(id) % 3 + 1);
    Shard { id, space: 0, first: 0, last: 0, owner, epoch: 7, moving_to: None, load: 1 }
}

fn seen_by(id: u64) -> Cluster {
    Cluster {
        node: id,
        applied: 9,
        leader: Some(1),
        term: 3,
        voters: vec![1, 2, 3],
        has_quorum: true,
        planes: Protection::Loopback,
        shards: ShardCount { total: 6, owned: 6, unowned: 0, moving: 0 },
        bindings: Vec::new(),
        nodes: vec![node(1), node(2), node(3)],
    }
}

fn well() -> Health {
    let check = |name: &str| Check {
        name: name.to_owned(),
        status: HealthStatus::Healthy,
        detail: "well".to_owned(),
    };
    let checks = ["store", "coordinator", "lease", "shards"].map(check).into();
    Health { status: HealthStatus::Healthy, shards: 2, checks }
}

/// Three nodes that are well.
fn facts() -> Facts {
    let clock = ClockOffset { least: -400, most: 600 };
    let told = |id| Told {
        cluster: Some(seen_by(id)),
        health: Some(well()),
        samples: Samples::parse("quarry_build_info{version=\"0.1.0\"} 1\nprocess_max_fds 1024\n"),
        clock: Some(clock),
    };
    let nodes = (1..=3).map(|id| NodeFacts { node: node(id), is_voter: true, told: Ok(told(id)) });
    Facts {
        now: 1_000_000,
        cluster: seen_by(1),
        shards: (0..6).map(shard).collect(),
        nodes: nodes.collect(),
        quarantined: Listed::default(),
        lingering: Listed::default(),
        crowded: Vec::new(),
    }
}

fn told(facts: &mut Facts, id: usize) -> &mut Told {
    facts.nodes[id - 1].told.as_mut().unwrap()
}

fn falls_ill(facts: &mut Facts, id: usize, name: &str, detail: &str) {
    let health = told(facts, id).health.as_mut().unwrap();
    let check = health.checks.iter_mut().find(|check| check.name == name).unwrap();
    (check.status, check.detail) = (HealthStatus::Unhealthy, detail.to_owned());
}

fn says(facts: &mut Facts, id: usize, metrics: &str) {
    told(facts, id).samples = Samples::parse(metrics);
}

fn is_down(facts: &mut Facts, id: usize) {
    facts.nodes[id - 1].node.state = NodeState::Down;
    facts.nodes[id - 1].told = Err("connection refused".to_owned());
}

fn short(found: &[Finding]) -> Vec<(Severity, &'static str, Vec<u64>)> {
    found.iter().map(|found| (found.severity, found.code, found.nodes.clone())).collect()
}

/// What happened to a cluster, and what is found, with a part of what is said.
type Case = (fn(&mut Facts), Severity, &'static str, &'static [u64], &'static str);

const CASES: &[Case] = &[
    (|of| is_down(of, 2), Severity::Error, "node_down", &[2], "replace-voter 2"),
    (
        |of| {
            is_down(of, 2);
            of.nodes[1].is_voter = false;
        },
        Severity::Warning,
        "node_down",
        &[2],
        "node 2 is down",
    ),
    (
        |of| of.nodes[2].told = Err("no answer".to_owned()),
        Severity::Warning,
        "node_silent",
        &[3],
        "no answer",
    ),
    (
        |of| told(of, 3).cluster.as_mut().unwrap().has_quorum = false,
        Severity::Error,
        "node_cut_off",
        &[3],
        "refuses calls",
    ),
    (
        |of| of.nodes[1].node.state = NodeState::Down,
        Severity::Error,
        "node_cut_off",
        &[2],
        "no lease",
    ),
    (
        |of| of.nodes[0].node.state = NodeState::Draining,
        Severity::Notice,
        "node_draining",
        &[1],
        "undrain 1",
    ),
    (
        |of| {
            of.shards[4].owner = None;
            of.cluster.shards = ShardCount { total: 6, owned: 5, unowned: 1, moving: 0 };
        },
        Severity::Error,
        "shards_unowned",
        &[],
        "1 shard (4) has no owner",
    ),
    (
        |of| of.cluster.shards.moving = 2,
        Severity::Notice,
        "shards_moving",
        &[],
        "2 shards on the way",
    ),
    (|of| falls_ill(of, 2, "store", "disk full"), Severity::Error, "store", &[2], "make room"),
    (
        |of| falls_ill(of, 2, "store", "attempt to write a readonly database"),
        Severity::Error,
        "store",
        &[2],
        "read-only",
    ),
    (
        |of| falls_ill(of, 1, "store", "connection refused"),
        Severity::Error,
        "store",
        &[1],
        "start the database",
    ),
    (|of| falls_ill(of, 3, "lease", "over"), Severity::Error, "no_lease", &[3], "no lease"),
    (
        |of| falls_ill(of, 3, "shards", "0 of 6"),
        Severity::Warning,
        "no_shards_served",
        &[3],
        "0 of 6",
    ),
    (
        |of| told(of, 3).clock = Some(ClockOffset { least: 9_600, most: 10_600 }),
        Severity::Warning,
        "clocks_differ",
        &[2, 3],
        "at least 9 s",
    ),
    (
        |of| says(of, 1, "quarry_build_info{version=\"0.2.0\"} 1"),
        Severity::Notice,
        "versions_differ",
        &[],
        "0.1.0 on nodes 2, 3",
    ),
    (
        |of| says(of, 1, "quarry_invariant_violations_total{id=\"L3\"} 2"),
        Severity::Error,
        "invariant",
        &[1],
        "L3 violated 2 times",
    ),
    (
        |of| {
            says(
                of,
                2,
                "quarry_sends_total{outcome=\"accepted\"} 9\nquarry_sends_total{outcome=\"quarantined\"} 3",
            );
        },
        Severity::Notice,
        "sends_set_aside",
        &[2],
        "3 sends",
    ),
    (|of| says(of, 2, "quarry_stalls_total 4"), Severity::Notice, "stalls", &[2], "4 messages"),
    (
        |of| says(of, 2, "quarry_coordinator_epochs_raised_total 1"),
        Severity::Warning,
        "epochs_raised",
        &[2],
        "1 time",
    ),
    (
        |of| says(of, 2, "quarry_commit_seconds_sum 60\nquarry_commit_seconds_count 120"),
        Severity::Notice,
        "slow_commits",
        &[2],
        "500 ms",
    ),
    (
        |of| says(of, 2, "process_open_fds 900\nprocess_max_fds 1024"),
        Severity::Warning,
        "descriptors",
        &[2],
        "900 of 1024",
    ),
    (
        |of| says(of, 2, "quarry_certificate_expiry_timestamp_seconds 1172800"),
        Severity::Warning,
        "certificate",
        &[2],
        "expires in 2 days",
    ),
    (
        |of| says(of, 2, "quarry_certificate_expiry_timestamp_seconds 999999"),
        Severity::Error,
        "certificate",
        &[2],
        "has expired",
    ),
    (
        |of| of.quarantined = Listed { first: vec!["m9".to_owned()], has_more: true },
        Severity::Warning,
        "quarantined",
        &[],
        "1 message or more set aside after the last attempt, m9",
    ),
    (
        |of| of.lingering = Listed { first: vec!["m9".to_owned()], has_more: false },
        Severity::Notice,
        "lingering",
        &[],
        "quarry doctor message m9",
    ),
    (
        |of| says(of, 2, "quarry_full_mailboxes 2"),
        Severity::Warning,
        "mailbox_full",
        &[],
        "2 mailboxes are full",
    ),
    (
        |of| of.crowded = vec![("Counter/hot".to_owned(), 1_000)],
        Severity::Warning,
        "mailbox_full",
        &[],
        "Counter/hot (1000 wait)",
    ),
    (|of| of.cluster.planes = Protection::Insecure, Severity::Notice, "insecure", &[], "TLS"),
];

#[test]
fn what_is_wrong_with_a_cluster_is_found_alone() {
    assert_eq!(cluster::findings(&facts()), Vec::new(), "nothing is wrong");
    for (happens, severity, code, nodes, part) in CASES {
        let mut facts = facts();
        happens(&mut facts);
        let found = cluster::findings(&facts);
        assert_eq!(short(&found), [(*severity, *code, nodes.to_vec())], "{found:?}");
        let said = format!("{}; {:?}", found[0].what, found[0].advice);
        assert!(said.contains(part), "{code}: {said}");
    }
}

#[test]
fn a_store_that_all_see_alike_is_told_once() {
    let mut facts = facts();
    (1..=3).for_each(|id| falls_ill(&mut facts, id, "store", "gone"));
    let found = cluster::findings(&facts);
    assert_eq!(short(&found), [(Severity::Error, "store", vec![1, 2, 3])]);
    assert!(found[0].what.contains("from nodes 1, 2, 3: gone"), "{found:?}");
}

#[test]
fn a_lost_quorum_names_the_voters_that_are_missed() {
    let mut facts = facts();
    is_down(&mut facts, 2);
    is_down(&mut facts, 3);
    told(&mut facts, 1).cluster.as_mut().unwrap().has_quorum = false;
    let found = cluster::findings(&facts);
    assert!(short(&found).contains(&(Severity::Error, "no_quorum", vec![2, 3])), "{found:?}");
    let quorum = found.iter().find(|found| found.code == "no_quorum").unwrap();
    assert!(quorum.what.contains("1 of 3 voters answer"), "{quorum:?}");
    assert!(!found.iter().any(|found| found.code == "node_cut_off"), "{found:?}");
}

fn place(shard: Shard) -> Placement {
    Placement {
        entity_type: "Counter".to_owned(),
        id: "c1".to_owned(),
        tenant: "default".to_owned(),
        slot: 5,
        group: "default".to_owned(),
        space: 0,
        shard: Some(shard),
        owner_http: None,
        applied: 9,
        leader: None,
        reason: String::new(),
        candidates: Vec::new(),
    }
}

fn entity(open: &[&str]) -> Entity {
    let waiting = u64::try_from(open.len()).unwrap();
    Entity {
        placement: place(shard(1)),
        state_bytes: Some(1),
        sequence: Some(2),
        open: open.iter().map(|&id| id.to_owned()).collect(),
        delayed: Vec::new(),
        quarantined: Vec::new(),
        last_error: None,
        memory: Some(EntityMemory { resident: true, running: false, waiting, mailbox: 3 }),
    }
}

fn message(id: &str, state: MessageStatus) -> Message<Json> {
    Message {
        message_id: id.to_owned(),
        entity_type: "Counter".to_owned(),
        id: "c1".to_owned(),
        method: "add".to_owned(),
        key: "k".to_owned(),
        state,
        attempts: 0,
        accepted_at: "then".to_owned(),
        due: None,
        finished_at: Some("then".to_owned()),
        held_up_by: None,
        errors: Vec::new(),
        outcome: None,
        payload: None,
        edited: None,
    }
}

fn failed(message: Message<Json>) -> Message<Json> {
    let errors = vec!["it broke".to_owned()];
    Message { attempts: 3, due: Some("soon".to_owned()), errors, ..message }
}

fn waits(of: &MessageFacts) -> (Severity, &'static str, String) {
    let facts = facts();
    let found = wait::of_message(&facts, &cluster::findings(&facts), of);
    let owner = |found: &&Finding| found.code != "owner";
    let [one] = found.iter().filter(owner).collect::<Vec<_>>()[..] else { panic!("{found:?}") };
    (one.severity, one.code, format!("{}; {:?}", one.what, one.advice))
}

#[test]
fn a_message_waits_for_one_thing() {
    let open = || message("m1", MessageStatus::Open);
    let alone = |message| MessageFacts { message, entity: Some(entity(&["m1"])), head: None };
    let mut running = alone(open());
    running.entity.as_mut().unwrap().memory.as_mut().unwrap().running = true;
    let in_line = MessageFacts {
        entity: Some(entity(&["m2", "m1", "m0"])),
        head: Some(failed(message("m0", MessageStatus::Open))),
        ..alone(open())
    };
    let many: Vec<&str> = std::iter::once("m1").chain(std::iter::repeat_n("m0", 99)).collect();
    let crowd = MessageFacts { entity: Some(entity(&many)), ..in_line.clone() };
    let due = Message { due: Some("noon".to_owned()), ..message("m1", MessageStatus::Delayed) };
    let aside = failed(message("m1", MessageStatus::Quarantined));
    let ended = message("m1", MessageStatus::Finished);
    for (of, severity, code, part) in [
        (alone(open()), Severity::Notice, "first", "runs next"),
        (running, Severity::Notice, "running", "handler runs"),
        (
            alone(failed(open())),
            Severity::Notice,
            "backing_off",
            "soon, after 3 attempts: it broke",
        ),
        (
            in_line,
            Severity::Notice,
            "in_line",
            "1 message of its entity, m0 the first, which is tried",
        ),
        (crowd, Severity::Notice, "in_line", "99 messages of its entity, or more"),
        (alone(due), Severity::Notice, "delayed", "at noon"),
        (alone(aside), Severity::Warning, "quarantined", "quarry message redrive m1"),
        (alone(ended), Severity::Notice, "finished", "waits for nothing"),
    ] {
        let (seen, name, said) = waits(&of);
        assert_eq!((seen, name), (severity, code), "{said}");
        assert!(said.contains(part), "{code}: {said}");
    }
    assert_eq!(wait::unknown("m1").code, "not_known");
}

#[test]
fn what_hinders_the_owner_hinders_its_messages() {
    let of = |place: Placement| {
        let entity = Entity { placement: place, ..entity(&["m1"]) };
        let message = message("m1", MessageStatus::Open);
        MessageFacts { message, entity: Some(entity), head: None }
    };
    let found = |facts: &Facts, place: Placement| {
        let found = wait::of_message(facts, &cluster::findings(facts), &of(place));
        short(&found).into_iter().map(|(_, code, _)| code).collect::<Vec<_>>()
    };
    let owned = || place(shard(1));
    let mut facts = facts();
    assert_eq!(found(&facts, owned()), ["first", "owner"]);
    assert_eq!(found(&facts, place(Shard { owner: None, ..shard(1) })), ["no_owner", "first"]);
    let moving = Shard { moving_to: Some(3), ..shard(1) };
    assert_eq!(found(&facts, place(moving)), ["first", "moving"]);
    // Node 2 owns shard 1; what is wrong elsewhere is no matter of the message's.
    falls_ill(&mut facts, 3, "store", "gone");
    facts.quarantined.first.push("m9".to_owned());
    assert_eq!(found(&facts, owned()), ["first", "owner"]);
    falls_ill(&mut facts, 2, "store", "gone");
    assert_eq!(found(&facts, owned()), ["store", "first", "owner"]);
    is_down(&mut facts, 2);
    assert_eq!(found(&facts, owned()), ["no_owner", "node_down", "first"]);
}

#[test]
fn an_entity_is_told_with_what_is_pending() {
    let facts = facts();
    let found = |entity: Option<Entity>| {
        let of = EntityFacts { placement: place(shard(1)), entity };
        let found = wait::of_entity(&facts, &[], &of);
        found.into_iter().map(|found| found.code).collect::<Vec<_>>()
    };
    assert_eq!(found(None), ["nothing_stored", "owner"]);
    assert_eq!(found(Some(entity(&[]))), ["owner", "resident"]);
    let dormant = EntityMemory { resident: false, running: false, waiting: 0, mailbox: 3 };
    let memory = Some(dormant);
    assert_eq!(found(Some(Entity { memory, ..entity(&[]) })), ["dormant", "owner"]);
    assert_eq!(found(Some(entity(&["m1"]))), ["owner", "pending", "resident"]);
    let full = found(Some(entity(&["m3", "m2", "m1"])));
    assert_eq!(full, ["mailbox_full", "owner", "pending", "resident"]);
    let aside = Entity { quarantined: vec!["m0".to_owned()], ..entity(&[]) };
    assert_eq!(found(Some(aside)), ["quarantined", "owner", "resident"]);
}
