//! Batches: an answer for each, and those again that may succeed.

use std::time::Duration;

use quarry_types::batch::BatchMessage;
use serde_json::{Value, json};

use super::script::{Act, Script, nobody};
use crate::{BatchResults, Client, ClientError, Json, SendStatus};

const LONG: Duration = Duration::from_secs(20);
const ID: &str = "01890000-0000-7000-8000-000000000001";

fn messages(count: usize) -> Vec<BatchMessage<Json>> {
    let message = |number: usize| BatchMessage {
        entity: "Counter/a".to_owned(),
        method: "add".to_owned(),
        payload: Some(json!(number)),
        key: (number == 0).then(|| "mine".to_owned()),
        is_async: false,
        is_discarded: false,
        delay: None,
        deliver_at: None,
        send_count: 0,
    };
    (0..count).map(message).collect()
}

fn answers(answers: &[Value]) -> Act {
    Act::Answer(200, String::new(), json!({ "answers": answers }).to_string())
}

fn done(reply: u32) -> Value {
    json!({ "status": 200, "messageId": ID, "key": "k", "reply": reply })
}

fn problem(status: u16, outcome: &str, retryable: bool) -> Value {
    let Act::Answer(_, _, problem) = Act::problem(status, outcome, retryable) else {
        unreachable!("a problem is an answer")
    };
    let problem: Value = serde_json::from_str(&problem).unwrap();
    json!({ "status": status, "problem": problem })
}

async fn send(script: &Script, count: usize) -> BatchResults {
    let client = Client::new([nobody().await, script.url.clone()], None).unwrap();
    client.send_batch(messages(count), LONG, LONG).await.unwrap()
}

/// The messages of a request.
fn sent(request: &str) -> Vec<Value> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/messages:batch?timeout="), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    body["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn each_message_gets_its_answer_and_what_may_succeed_is_sent_again() {
    let script = Script::play([
        answers(&[
            problem(503, "refused", true),
            done(1),
            problem(409, "failed", false),
            problem(504, "unknown", true),
            problem(422, "refused", false),
        ]),
        answers(&[done(0), problem(422, "refused", false)]),
    ])
    .await;
    let results = send(&script, 5).await;
    let replies: Vec<_> = results.iter().map(|r| r.as_ref().ok().map(|s| &s.status)).collect();
    let status = |number: u32| SendStatus::Done(json!(number));
    assert_eq!(replies, [Some(&status(0)), Some(&status(1)), None, None, None]);
    assert!(matches!(&results[2], Err(ClientError::Failed(_))));
    assert!(
        matches!(&results[3], Err(ClientError::Unknown { .. })),
        "an earlier try may have done it"
    );
    assert!(matches!(&results[4], Err(ClientError::Refused(_))));
    let requests = script.requests();
    let (first, second) = (sent(&requests[0]), sent(&requests[1]));
    assert_eq!((first.len(), second.len()), (5, 2));
    assert_eq!(first[0]["key"], "mine");
    assert_eq!(first[3]["key"], second[1]["key"], "the key stays");
    assert_eq!((&first[3]["sendCount"], &second[1]["sendCount"]), (&json!(1), &json!(2)));
    assert_eq!(results[0].as_ref().unwrap().tries, 3, "the first base is nobody");
}

#[tokio::test]
async fn a_lost_or_garbled_answer_is_followed_by_another_try_with_all() {
    let script =
        Script::play([Act::HangUp, answers(&[done(1)]), answers(&[done(1), done(2)])]).await;
    let results = send(&script, 2).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(
        script.requests().iter().map(|request| sent(request).len()).collect::<Vec<_>>(),
        [2, 2, 2]
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_is_told_of_each() {
    let script = Script::play([Act::problem(413, "refused", false)]).await;
    let results = send(&script, 2).await;
    assert!(results.iter().all(|result| matches!(result, Err(ClientError::Refused(_)))));
    let away = Client::new([nobody().await], None).unwrap();
    let results = away.send_batch(messages(2), LONG, Duration::from_millis(100)).await.unwrap();
    assert!(results.iter().all(|result| matches!(result, Err(ClientError::Unreachable { .. }))));
}
