//! Streams: read on where they were cut, to their end.

use std::time::Duration;

use futures_util::StreamExt;
use quarry_types::{
    MessageId,
    stream::{ExtractionTold, Last, Told},
};
use serde_json::json;

use super::script::{Act, Script, nobody};
use crate::{Client, ClientError, Json, SendOptions};

const ID: &str = "01890000-0000-7000-8000-000000000001";
const PATIENCE: Duration = Duration::from_secs(20);

fn events(events: &[(&str, Json)]) -> Act {
    let event = |(id, document): &(&str, Json)| {
        let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
        format!("{id}event: {}\ndata: {document}\n\n", document["type"].as_str().unwrap())
    };
    let body: String = events.iter().map(event).collect();
    Act::Answer(200, "content-type: text/event-stream\r\n".to_owned(), body)
}

fn chunk(sequence: u64) -> Json {
    json!({ "type": "chunk", "sequence": sequence, "madeAt": "t", "chunk": sequence })
}

fn end() -> Json {
    let outcome = json!({ "status": "success", "reply": 9 });
    json!({ "type": "end", "messageId": ID, "state": "finished", "outcome": outcome })
}

fn id() -> MessageId {
    ID.parse().unwrap()
}

async fn follow(client: &Client, from: u64) -> Vec<Result<Told<Json>, ClientError>> {
    client.chunks(id(), from, PATIENCE).collect().await
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_elsewhere_behind_its_last_event() {
    let broken =
        json!({ "type": "error", "code": "store_unavailable", "detail": "x", "retryable": true });
    let one = Script::play([events(&[("0", chunk(0)), ("1", chunk(1))])]).await;
    let two = Script::play([
        Act::problem(503, "refused", true),
        events(&[("2", chunk(2)), ("", broken)]),
        Act::HangUp,
        events(&[("3", chunk(3)), ("", end())]),
    ])
    .await;
    let client = Client::new([one.url.clone(), nobody().await, two.url.clone()], None).unwrap();
    let told = follow(&client, 0).await;
    let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
    let sequences: Vec<_> = told[..4]
        .iter()
        .map(|told| match told {
            Told::Chunk { sequence, .. } => *sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sequences, [0, 1, 2, 3]);
    assert!(matches!(&told[4..], [Told::End(_)]), "{told:?}");
    let asked = |script: &Script| -> Vec<Option<String>> {
        let last = |request: &String| {
            let line = request.lines().find_map(|line| line.strip_prefix("last-event-id: "));
            line.map(str::to_owned)
        };
        script.requests().iter().map(last).collect()
    };
    assert_eq!(asked(&one)[0], None);
    let of_two = asked(&two);
    assert!(of_two[..2].iter().all(|last| last.as_deref() == Some("1")), "{of_two:?}");
    assert_eq!(of_two.last().unwrap().as_deref(), Some("2"));
    let request = one.requests().remove(0);
    assert!(request.starts_with(&format!("GET /v1/messages/{ID}/chunks HTTP/1.1")), "{request}");
    assert!(request.contains("accept: text/event-stream\r\n"), "{request}");
}

#[tokio::test]
async fn what_another_try_cannot_change_ends_a_stream() {
    let lost =
        json!({ "type": "error", "code": "no_such_message", "detail": "x", "retryable": false });
    for act in [Act::problem(404, "refused", false), events(&[("", lost)])] {
        let script = Script::play([act]).await;
        let client = Client::new([&script.url], None).unwrap();
        let told = follow(&client, 5).await;
        assert!(matches!(told[..], [Err(_)]), "{told:?}");
        assert_eq!(script.requests().len(), 1);
        assert!(script.requests()[0].contains("last-event-id: 4\r\n"));
    }
    let client = Client::new([nobody().await], None).unwrap();
    let told: Vec<_> = client.chunks(id(), 0, Duration::from_millis(100)).collect().await;
    assert!(matches!(told[..], [Err(ClientError::Unreachable { .. })]), "{told:?}");
}

#[tokio::test]
async fn a_submission_is_stored_and_then_followed() {
    let accepted = Act::Answer(
        202,
        format!("quarry-message-id: {ID}\r\n"),
        format!(r#"{{"messageId":"{ID}","replayed":false}}"#),
    );
    let message = json!({
        "messageId": ID, "type": "KGExtractor", "id": "a/b", "method": "ExtractFromText",
        "key": "k", "state": "open", "attempts": 1, "acceptedAt": "t",
    });
    let started = json!({
        "type": "started", "id": "x.1", "messageId": ID, "sequence": 0, "time": "t",
        "requestId": "a/b",
    });
    let script = Script::play([
        accepted,
        Act::Answer(200, String::new(), message.to_string()),
        events(&[("x.1", started)]),
        events(&[("", end())]),
    ])
    .await;
    let client = Client::new([&script.url], None).unwrap();
    let submission = json!({ "text": "x", "ontologyId": "film" });
    let options = SendOptions::default();
    let (sent, told) = client.extract_streaming(&submission, options, PATIENCE).await.unwrap();
    assert_eq!(sent.message_id, id());
    let told: Vec<_> = told.map(Result::unwrap).collect().await;
    let [ExtractionTold::Event(event), ExtractionTold::Last(Last::End(end))] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((event.kind.as_str(), &event.members["requestId"]), ("started", &json!("a/b")));
    assert!(end.outcome.is_some());
    let requests = script.requests();
    assert!(requests[0].contains("async="), "{}", requests[0]);
    let path = "GET /v1/extractions/a%2Fb/events HTTP/1.1";
    assert!(requests[2].starts_with(path), "{}", requests[2]);
    assert!(requests[2].contains(&format!("last-event-id: {ID}.0\r\n")), "{}", requests[2]);
    assert!(requests[3].contains("last-event-id: x.1\r\n"), "{}", requests[3]);
}
