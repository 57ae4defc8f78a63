//! What goes to quarantine, what waits behind it, and what does not go there.

use std::time::Duration;

use quarry_ports::MessageState;
use quarry_runtime::{AfterQuarantine, Context, Entity, HandlerError, Node, Reply};
use quarry_types::{Address, Answer, Envelope, Intervention, MessageId, ReplyMode, Tenant};
use serde::Deserialize;

use crate::world::{TIMEOUT, World, envelope_to, id_of};

/// Keeps what it is told, in order, and nothing odd; can be told to take long.
pub(crate) struct Ledger;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Append(u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Get,
}

impl Entity for Ledger {
    const TYPE: &'static str = "Ledger";
    const ATTEMPTS: Option<u32> = Some(1);
    const AFTER_QUARANTINE: Option<AfterQuarantine> = Some(AfterQuarantine::Wait);
    type State = Vec<u32>;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        state: &mut Vec<u32>,
        Command::Append(number): Command,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        if number % 2 == 1 {
            return Err(std::io::Error::other("odd").into());
        }
        state.push(number);
        Reply::of(&state.len())
    }

    async fn read(
        &self,
        state: &Vec<u32>,
        Query::Get: Query,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        Reply::of(state)
    }
}

/// Takes as long as it is told.
pub(crate) struct Sleeper;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rest {
    Sleep(u64),
}

impl Entity for Sleeper {
    const TYPE: &'static str = "Sleeper";
    const ATTEMPTS: Option<u32> = Some(3);
    type State = u64;
    type Command = Rest;
    type Query = quarry_runtime::NoQuery;

    async fn handle(
        &self,
        slept: &mut u64,
        Rest::Sleep(seconds): Rest,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        *slept += seconds;
        Reply::of(slept)
    }

    async fn read(
        &self,
        _: &u64,
        query: quarry_runtime::NoQuery,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        match query {}
    }
}

fn address(entity: &str) -> Address {
    Address::parse(Tenant::default_tenant(), entity).unwrap()
}

async fn send(node: &Node, entity: &str, method: &str, payload: &str) -> MessageId {
    let reply = ReplyMode::Accepted;
    let sent = Envelope { reply, ..envelope_to(node, address(entity), method, payload) };
    id_of(&node.call(sent, TIMEOUT).await.unwrap())
}

async fn held(node: &Node, entity: &str) -> String {
    let asked = envelope_to(node, address(entity), "get", "");
    let Ok(Answer::Handled { outcome, .. }) = node.call(asked, TIMEOUT).await else {
        panic!("{entity} does not answer")
    };
    let quarry_types::Outcome::Success(reply) = outcome else { panic!("{outcome:?}") };
    String::from_utf8(reply.to_vec()).unwrap()
}

async fn state(node: &Node, message_id: MessageId) -> MessageState {
    node.ports().store.message(message_id).await.unwrap().unwrap().state
}

#[tokio::test(start_paused = true)]
async fn where_order_outranks_progress_later_messages_wait_for_an_operator() {
    let world = World::new();
    let (node, _) = world.start(1);
    let mut first = Vec::new();
    for entity in ["Ledger/a", "Ledger/b"] {
        first.push(send(&node, entity, "append", "1").await);
        send(&node, entity, "append", "2").await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(matches!(state(&node, first[0]).await, MessageState::Quarantined { .. }));
    assert_eq!(held(&node, "Ledger/a").await, "[]", "reads go on, and see that nothing was done");
    assert_eq!(node.held_up_by(&address("Ledger/a")).await, Ok(Some(first[0])));

    node.drain().await;
    let (next, _) = world.start(2);
    for entity in ["Ledger/a", "Ledger/b"] {
        let last = send(&next, entity, "append", "4").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let MessageState::Open { attempts, .. } = state(&next, last).await else { panic!("done") };
        assert_eq!(attempts, 0, "waiting is no attempt");
    }
    let edited = Intervention::Redrive { payload: Some("6".into()) };
    for (id, intervention) in [(first[0], &edited), (first[1], &Intervention::Drop)] {
        next.intervene(&Tenant::default_tenant(), id, intervention, TIMEOUT).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(held(&next, "Ledger/a").await, "[6,2,4]", "in the order in which they came (D3)");
    assert_eq!(held(&next, "Ledger/b").await, "[2,4]");
    assert_eq!(next.held_up_by(&address("Ledger/a")).await, Ok(None));
    assert_eq!(next.ports().metrics.stalls.get(), 0);
}

/// A handler that is stopped when the drain time is over did not end with its process: no number of
/// restarts makes its message a suspect, nor is any of them its last attempt of three. Once the next node is there before, and once after.
#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_longer_than_the_drain_time_outlives_restarts() {
    for is_replaced_before in [true, false] {
        let world = World::new();
        let (mut node, _) = world.start(1);
        let long = send(&node, "Sleeper/a", "sleep", "60").await;
        for restart in 1..=4_u32 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let before = is_replaced_before.then(|| world.start(u64::from(restart) + 1).0);
            let started = world.host.now();
            node.drain().await;
            let took = world.host.now().since(started);
            assert!(took < Duration::from_secs(13), "drained in {took:?}");
            node = before.unwrap_or_else(|| world.start(u64::from(restart) + 1).0);
            let MessageState::Open { attempts, errors, .. } = state(&node, long).await else {
                panic!("it is not open")
            };
            let stopped = "stopped: the shard had to move, and the drain time was over";
            assert!(
                (restart.min(2)..=3).contains(&attempts),
                "{attempts} after {restart} restarts"
            );
            let told = usize::try_from(restart).unwrap();
            assert_eq!(errors, vec![stopped.to_owned(); told], "restart {restart}");
        }
        let over = node.await_message(long, Duration::from_mins(2)).await.unwrap().unwrap();
        assert!(matches!(over.state, MessageState::Finished { attempts: 3, .. }), "{over:?}");
    }
}
