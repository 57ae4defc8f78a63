//! What handlers send to other entities.

use std::time::Duration;

use quarry_runtime::{Context, Entity, HandlerError, Node, Reply};
use quarry_types::{
    Address, Answer, CallError, Due, EntityId, Envelope, IdempotencyKey, KeyOrigin, Outcome,
    ReplyMode, Tenant,
};
use serde::{Deserialize, Serialize};

use crate::world::{TIMEOUT, World, envelope_to};

/// Keeps what it is told, and tells others.
pub(crate) struct Relay;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Note(String),
    Clear,
    /// Tells `note` to each of `to`; its first attempts fail behind that.
    Tell {
        to: Vec<String>,
        note: String,
        failing: u32,
    },
    TellAndFail(String),
    TellLater {
        to: String,
        after_ms: u64,
    },
    SendTo {
        address: String,
        method: String,
    },
    /// Sends so many notes of so many bytes.
    TellMuch {
        to: String,
        count: u32,
        bytes: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Get,
    /// Tells this one to clear its notes.
    Send(String),
}

impl Entity for Relay {
    const TYPE: &'static str = "Relay";
    type State = Vec<String>;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        notes: &mut Vec<String>,
        command: Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        match command {
            Command::Note(note) => notes.push(note),
            Command::Clear => notes.clear(),
            Command::Tell { to, note, failing } => {
                for id in to {
                    context.tell::<Self>(&id, &Command::Note(note.clone()))?;
                }
                if context.attempt() <= failing {
                    return Err(std::io::Error::other("as asked").into());
                }
            }
            Command::TellAndFail(to) => {
                context.tell::<Self>(&to, &Command::Note("never".to_owned()))?;
                return Err(HandlerError::fail("declared", "as asked"));
            }
            Command::TellLater { to, after_ms } => {
                let late = Command::Note("late".to_owned());
                context.tell_after::<Self>(Duration::from_millis(after_ms), &to, &late)?;
                context.tell::<Self>(&to, &Command::Note("at once".to_owned()))?;
            }
            Command::SendTo { address, method } => {
                let tenant = context.address().tenant.clone();
                context.send(&Address::parse(tenant, &address)?, &method, "note")?;
            }
            Command::TellMuch { to, count, bytes } => {
                for _ in 0..count {
                    context.tell::<Self>(&to, &Command::Note("x".repeat(bytes)))?;
                }
            }
        }
        Reply::of(notes)
    }

    async fn read(
        &self,
        notes: &Vec<String>,
        query: Query,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        if let Query::Send(to) = query {
            context.tell::<Self>(&to, &Command::Clear)?;
        }
        Reply::of(notes)
    }
}

fn relay(id: &str) -> Address {
    let tenant = Tenant::default_tenant();
    let entity_type = quarry_types::EntityType::new("Relay").unwrap();
    Address { tenant, entity_type, id: EntityId::new(id).unwrap() }
}

async fn call(node: &Node, id: &str, method: &str, payload: &str) -> Result<Answer, CallError> {
    node.call(envelope_to(node, relay(id), method, payload), TIMEOUT).await
}

async fn notes(node: &Node, id: &str) -> Vec<String> {
    match call(node, id, "get", "").await {
        Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) => {
            serde_json::from_slice(&reply).unwrap()
        }
        other => panic!("no notes: {other:?}"),
    }
}

/// Waits until the entity has so many notes, and a little longer; all that it has then.
async fn told(node: &Node, id: &str, count: usize) -> Vec<String> {
    for _ in 0..2_000 {
        if notes(node, id).await.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    notes(node, id).await
}

/// The code of a declared failure.
fn failure(answer: Result<Answer, CallError>) -> String {
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => failure.code,
        other => panic!("no failure: {other:?}"),
    }
}

fn tell(to: &[&str], note: &str, failing: u32) -> String {
    serde_json::json!({ "to": to, "note": note, "failing": failing }).to_string()
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_is_handled_once_by_entities_on_any_node() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    let targets: Vec<String> = (0..20).map(|at| format!("t{at}")).collect();
    let to: Vec<&str> = targets.iter().map(String::as_str).collect();
    call(&one, "sender", "tell", &tell(&to, "hello", 0)).await.unwrap();
    for target in to {
        assert_eq!(told(&two, target, 1).await, ["hello"], "{target}");
    }
    assert_eq!(world.open_sends().await, 0, "all are closed");
}

#[tokio::test(start_paused = true)]
async fn only_the_run_that_succeeds_sends() {
    let world = World::new();
    let (node, _) = world.start(1);
    call(&node, "sender", "tell", &tell(&["t"], "third try", 2)).await.unwrap();
    assert_eq!(failure(call(&node, "sender", "tell_and_fail", "\"t\"").await), "declared");
    assert_eq!(told(&node, "t", 1).await, ["third try"]);
}

#[tokio::test(start_paused = true)]
async fn an_entity_sends_to_itself_too() {
    let world = World::new();
    let (node, _) = world.start(1);
    call(&node, "a", "tell", &tell(&["a"], "to myself", 0)).await.unwrap();
    assert_eq!(told(&node, "a", 1).await, ["to myself"]);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_entity_to_another_are_handled_in_order() {
    let world = World::new();
    let (one, _one) = world.start(1);
    let (two, _two) = world.start(2);
    for number in 0..40 {
        let note = number.to_string();
        call(&one, "sender", "tell", &tell(&["t", "u", "t"], &note, 0)).await.unwrap();
    }
    let twice: Vec<String> =
        (0..40).flat_map(|number| [number, number]).map(|n| n.to_string()).collect();
    assert_eq!(told(&two, "t", 80).await, twice);
    assert_eq!(told(&two, "u", 40).await.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn sends_outlive_the_node_of_their_sender_and_that_of_their_target() {
    let world = World::new();
    let (one, cut_off) = world.start(1);
    let targets: Vec<String> = (0..16).map(|at| format!("t{at}")).collect();
    let to: Vec<&str> = targets.iter().map(String::as_str).collect();
    let mut sent = Vec::new();
    for number in 0..5 {
        let mut tell =
            envelope_to(&one, relay("sender"), "tell", &tell(&to, &number.to_string(), 0));
        tell.key = IdempotencyKey::new(&format!("tell-{number}")).unwrap();
        tell.key_origin = KeyOrigin::Client;
        one.call(tell.clone(), TIMEOUT).await.unwrap();
        sent.push(number.to_string());
        if number == 2 {
            cut_off.cut(true);
            break;
        }
    }
    let (two, _two) = world.start(2);
    for target in to {
        assert_eq!(told(&two, target, sent.len()).await, sent, "{target}");
    }
    assert_eq!(world.open_sends().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_send_waits_at_its_target_and_holds_nothing_back() {
    let world = World::new();
    let (node, _) = world.start(1);
    let later = serde_json::json!({ "to": "t", "after_ms": 60_000 }).to_string();
    call(&node, "sender", "tell_later", &later).await.unwrap();
    assert_eq!(told(&node, "t", 1).await, ["at once"]);
    tokio::time::sleep(Duration::from_secs(54)).await;
    assert_eq!(notes(&node, "t").await.len(), 1, "never early");
    assert_eq!(told(&node, "t", 2).await, ["at once", "late"]);
}

#[tokio::test(start_paused = true)]
async fn what_no_entity_could_handle_fails_the_handler() {
    let world = World::new();
    let (node, _) = world.start(1);
    let send = |address: &str, method: &str| {
        serde_json::json!({ "address": address, "method": method }).to_string()
    };
    for (address, method, code) in [
        ("Relay/t", "nope", "unknown_method"),
        ("Nope/t", "note", "unknown_type"),
        ("Relay/t", "tell", "invalid_payload"),
        ("Relay/t", "send", "not_durable"),
    ] {
        let answer = call(&node, "sender", "send_to", &send(address, method)).await;
        assert_eq!(failure(answer), code, "{address} {method}");
    }
    let much = |count: u32, bytes: usize| {
        serde_json::json!({ "to": "t", "count": count, "bytes": bytes }).to_string()
    };
    for payload in [much(1_001, 1), much(9, 1_000_000)] {
        assert_eq!(failure(call(&node, "sender", "tell_much", &payload).await), "too_many_sends");
    }
    let Ok(Answer::Handled { outcome: Outcome::Failure(refused), .. }) =
        call(&node, "sender", "send", "\"t\"").await
    else {
        panic!("a read has sent")
    };
    assert_eq!(refused.code, "only_reads");
    assert_eq!(world.open_sends().await, 0);
}

#[tokio::test(start_paused = true)]
async fn sends_wait_while_the_store_is_away() {
    let world = World::new();
    let (node, _) = world.start(1);
    call(&node, "sender", "tell", &tell(&["t"], "before", 0)).await.unwrap();
    world.database.faults().set_unavailable("switched off");
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.database.faults().set_available();
    call(&node, "sender", "tell", &tell(&["t"], "after", 0)).await.unwrap();
    assert_eq!(told(&node, "t", 2).await, ["before", "after"]);
    assert_eq!(world.open_sends().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_sends_faster_than_its_target_takes_is_held_back_and_loses_nothing() {
    let world = World::new();
    let (node, _) = world.start(1);
    let much = serde_json::json!({ "to": "t", "count": 600, "bytes": 1 }).to_string();
    for _ in 0..5 {
        let one_way = Envelope {
            reply: ReplyMode::Accepted,
            due: Due::Now,
            ..envelope_to(&node, relay("sender"), "tell_much", &much)
        };
        node.call(one_way, TIMEOUT).await.unwrap();
    }
    assert_eq!(told(&node, "t", 3_000).await.len(), 3_000);
}
