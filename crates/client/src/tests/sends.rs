//! Sending: the three answers, and repeating by key.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use quarry_types::{Address, IdempotencyKey, Method, ReplyMode, Tenant};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::script::{Act, Script, nobody};
use crate::{Client, ClientError, Credentials, SendOptions, SendStatus, Sent};

fn address() -> Address {
    Address::parse(Tenant::default_tenant(), "Counter/a/b c").unwrap()
}

fn five() -> Box<RawValue> {
    to_raw_value(&5).unwrap()
}

fn add() -> Method {
    Method::new("add").unwrap()
}

async fn send(client: &Client) -> Result<Sent, ClientError> {
    client.send(&address(), &add(), Some(&five()), SendOptions::default()).await
}

async fn send_retrying(client: &Client, deadline: Duration) -> Result<Sent, ClientError> {
    let options = SendOptions::default();
    client.send_retrying(&address(), &add(), Some(&five()), options, deadline).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_message_is_sent_with_key_token_and_escaped_address() {
    let script = Script::play([Act::done("7")]).await;
    let client = Client::new([&script.url], Some(Credentials::bearer("secret"))).unwrap();
    let options = SendOptions {
        key: Some(IdempotencyKey::new("größe").unwrap()),
        ..SendOptions::default()
    };
    let sent = client.send(&address(), &add(), Some(&five()), options).await.unwrap();
    assert_eq!(sent.status, SendStatus::Done(json!(7)));
    let request = script.requests().pop().unwrap();
    let first = "POST /v1/entities/Counter/a%2Fb%20c/add?timeout=30000ms HTTP/1.1\r\n";
    assert!(request.starts_with(first), "{request}");
    assert!(request.contains("idempotency-key: größe\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");
    assert!(!request.contains("quarry-send-count"), "{request}");
    assert!(request.ends_with("\r\n\r\n5"), "{request}");
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_text_is_submitted_for_extraction() {
    let script = Script::play([Act::problem(503, "refused", true), Act::done("{}")]).await;
    let client = Client::new([&script.url], None).unwrap();
    let submission = json!({ "text": "x", "ontologyId": "film" });
    let sent = client.extract_retrying(&submission, SendOptions::default(), LONG).await.unwrap();
    assert_eq!(sent.status, SendStatus::Done(json!({})));
    let request = script.requests().pop().unwrap();
    assert!(request.starts_with("POST /v1/extractions?timeout="), "{request}");
    assert!(request.ends_with(&submission.to_string()), "{request}");
}

#[tokio::test]
async fn answers_are_told_apart() {
    let accepted = Act::Answer(
        202,
        "quarry-message-id: 01890000-0000-7000-8000-000000000001\r\n\
         idempotency-replayed: true\r\n"
            .to_owned(),
        r#"{"messageId":"01890000-0000-7000-8000-000000000001","replayed":true}"#.to_owned(),
    );
    let script = Script::play([
        accepted,
        Act::problem(422, "refused", false),
        Act::problem(409, "failed", false),
        Act::problem(504, "unknown", true),
        Act::HangUp,
        Act::Answer(502, String::new(), "<html>".to_owned()),
        Act::Answer(200, String::new(), "7".to_owned()),
    ])
    .await;
    let client = Client::new([&script.url], None).unwrap();
    let options = SendOptions { reply: ReplyMode::Accepted, ..SendOptions::default() };
    let sent = client.send(&address(), &add(), None, options).await.unwrap();
    assert_eq!((sent.status, sent.replayed), (SendStatus::Accepted, true));
    assert!(matches!(send(&client).await, Err(ClientError::Refused(_))));
    assert!(matches!(send(&client).await, Err(ClientError::Failed(_))));
    for from in ["a problem", "a broken link", "a proxy", "an answer without an id"] {
        let error = send(&client).await.unwrap_err();
        assert!(matches!(&error, ClientError::Unknown { key: Some(_), .. }), "{from}: {error:?}");
    }
    let away = Client::new([nobody().await], None).unwrap();
    assert!(matches!(send(&away).await, Err(ClientError::Unreachable { .. })));
    assert_eq!(script.requests().len(), 7);
}

#[tokio::test]
async fn repeating_keeps_the_key_and_counts_the_sends() {
    let script = Script::play([
        Act::problem(503, "refused", true),
        Act::HangUp,
        Act::problem(504, "unknown", true),
        Act::done("7"),
    ])
    .await;
    let client = Client::new([&script.url], None).unwrap();
    let sent = send_retrying(&client, LONG).await.unwrap();
    assert_eq!((sent.status, sent.tries), (SendStatus::Done(json!(7)), 4));
    let key = format!("idempotency-key: {}\r\n", sent.key);
    for (count, request) in script.requests().iter().enumerate() {
        assert!(request.contains(&key), "{request}");
        let shown = format!("quarry-send-count: {count}\r\n");
        assert_eq!(request.contains(&shown), count > 0, "{request}");
    }
}

#[tokio::test]
async fn repeating_goes_round_the_bases_and_remembers_the_one_that_answers() {
    let script = Script::play([Act::done("7"), Act::done("8")]).await;
    let client = Client::new([nobody().await, script.url.clone()], None).unwrap();
    assert_eq!(send_retrying(&client, LONG).await.unwrap().tries, 2);
    assert_eq!(send_retrying(&client, LONG).await.unwrap().tries, 1);
}

#[tokio::test]
async fn what_a_retry_cannot_change_ends_the_repeating() {
    for (status, outcome) in [(422, "refused"), (409, "failed")] {
        let script = Script::play([Act::problem(status, outcome, false)]).await;
        let client = Client::new([&script.url], None).unwrap();
        let error = send_retrying(&client, LONG).await.unwrap_err();
        assert_eq!(error.problem().unwrap().status, status);
        assert_eq!(script.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_stays_unknown() {
    let script = Script::play([Act::HangUp, Act::problem(422, "refused", false)]).await;
    let client = Client::new([&script.url], None).unwrap();
    let error = send_retrying(&client, LONG).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn repeating_ends_at_the_deadline() {
    let client = Client::new([nobody().await], None).unwrap();
    let error = send_retrying(&client, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

/// A client of these bases, and what it was heard to say.
fn heard(bases: &[&str]) -> (Client, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let client = Client::new(bases, None).unwrap();
    let client = client.listening(move |error| listener.lock().unwrap().push(error.to_string()));
    (client, said)
}

#[tokio::test]
async fn where_nobody_ever_answered_three_tries_are_enough_and_the_first_is_told() {
    let (one, two) = (nobody().await, nobody().await);
    let (client, said) = heard(&[&one, &two]);
    let began = client.host().now();
    let error = send_retrying(&client, LONG).await.unwrap_err();
    let took = client.host().now().since(began);
    assert!(took < LONG / 2, "{took:?}");
    let message = error.to_string();
    assert!(message.contains(&format!("{one}, {two}: Connection refused")), "{message}");
    assert!(!message.contains("/v1/"), "{message}");
    assert_eq!(*said.lock().unwrap(), [message]);
}

#[tokio::test]
async fn a_server_that_answered_before_is_waited_for() {
    let script = Script::play([Act::done("7")]).await;
    let (client, said) = heard(&[&script.url]);
    send_retrying(&client, LONG).await.unwrap();
    script.end().await;
    let patience = Duration::from_secs(3);
    let began = client.host().now();
    let error = send_retrying(&client, patience).await.unwrap_err();
    let took = client.host().now().since(began);
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(took > patience / 2, "it went on for {took:?}");
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn urls_are_checked_before_anything_is_sent() {
    for url in ["", "localhost:7410", "ftp://host", "http://"] {
        assert!(matches!(Client::new([url], None), Err(ClientError::Invalid { .. })), "{url}");
    }
    assert!(Client::new(Vec::<String>::new(), None).is_err());
}
