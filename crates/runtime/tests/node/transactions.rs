//! Statements of a handler's own, up to the store that runs them.

use quarry_runtime::{Context, Entity, HandlerError, Node, Reply};
use quarry_types::{Address, Answer, CallError, Outcome, Tenant, UnknownCode};
use serde::Deserialize;

use crate::world::{TIMEOUT, World, envelope_to};

/// Runs what it is told to.
pub(crate) struct Clerk;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Execute(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Query {
    Look(String),
}

impl Entity for Clerk {
    const TYPE: &'static str = "Clerk";
    const ATTEMPTS: Option<u32> = Some(2);
    type State = u32;
    type Command = Command;
    type Query = Query;

    async fn handle(
        &self,
        count: &mut u32,
        command: Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        let Command::Execute(statements) = command;
        for sql in statements {
            context.transaction().execute(&sql, [1_i64.into()])?;
            *count += 1;
        }
        Reply::of(count)
    }

    async fn read(
        &self,
        count: &u32,
        query: Query,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        let Query::Look(sql) = query;
        context.transaction().execute(&sql, [])?;
        Reply::of(count)
    }
}

async fn call(node: &Node, method: &str, payload: &str) -> Result<Answer, CallError> {
    let address = Address::parse(Tenant::default_tenant(), "Clerk/c").unwrap();
    node.call(envelope_to(node, address, method, payload), TIMEOUT).await
}

/// The code and the text of a declared failure.
fn failure(answer: Result<Answer, CallError>) -> (String, String) {
    match answer {
        Ok(Answer::Handled { outcome: Outcome::Failure(failure), .. }) => {
            (failure.code, failure.message)
        }
        other => panic!("no failure: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_cannot_be_is_a_failure_that_says_why() {
    let world = World::new();
    let (node, _) = world.start(1);
    for (sql, said) in [
        ("drop table orders", "begins with one of insert, update"),
        ("insert into orders values ($1); delete from orders", "one statement at a time"),
        ("update shard_fence set epoch = $1", "shard_fence is a table of Quarry's own"),
    ] {
        let payload = serde_json::json!([sql]).to_string();
        let (code, message) = failure(call(&node, "execute", &payload).await);
        assert_eq!(code, "invalid_statement", "{sql}");
        assert!(message.contains(said), "{sql}: {message}");
    }
    let many = vec!["delete from orders where id = $1"; 101];
    let payload = serde_json::to_string(&many).unwrap();
    assert_eq!(failure(call(&node, "execute", &payload).await).0, "transaction_too_large");
    let read = call(&node, "look", "\"delete from orders\"").await;
    assert_eq!(failure(read).0, "only_reads");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_statements_the_store_refuses_fails_and_is_set_aside_in_the_end() {
    let world = World::new();
    let (node, _) = world.start(1);
    let payload = serde_json::json!(["insert into orders values ($1)"]).to_string();
    let answer = call(&node, "execute", &payload).await;
    let Err(CallError::Unknown(unknown)) = answer else { panic!("it was done: {answer:?}") };
    assert_eq!(unknown.code, UnknownCode::Quarantined);
    let next = call(&node, "execute", "[]").await;
    let Ok(Answer::Handled { outcome: Outcome::Success(reply), .. }) = next else {
        panic!("the entity goes on: {next:?}")
    };
    assert_eq!(&*reply, b"0", "nothing of what failed is in its state");
}
