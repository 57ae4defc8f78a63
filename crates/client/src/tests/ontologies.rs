//! Ontologies: read, put and removed.

use serde_json::{Value, json};

use super::script::{Act, Script, nobody};
use crate::{Client, ClientError, PackSource};

fn summary(id: &str) -> Value {
    json!({ "id": id, "label": id, "version": "0123456789abcdef", "aliases": ["foaf"], "classes": 1,
        "relations": 0, "examples": 40, "origin": "builtIn" })
}

fn answer(body: &Value) -> Act {
    Act::Answer(200, String::new(), body.to_string())
}

fn bees() -> PackSource {
    PackSource { media_type: "application/toml".to_owned(), text: "id = \"bees\"\n".to_owned() }
}

#[tokio::test]
async fn ontologies_are_listed_to_the_last_page_and_shown() {
    let pages = [
        json!({ "ontologies": [summary("person")], "next": "n" }),
        json!({ "ontologies": [summary("bees")] }),
    ];
    let whole = json!({ "id": "person", "label": "Person", "version": "0123456789abcdef",
        "aliases": ["foaf"], "fullyAnnotated": true, "relations": [], "examples": 40,
        "classes": [{ "name": "Person", "labels": ["person"], "parents": [] }],
        "origin": "builtIn", "notes": [] });
    let source = Act::Answer(200, "content-type: text/turtle\r\n".to_owned(), "<a> a <b> .".into());
    let script = Script::play([answer(&pages[0]), answer(&pages[1]), answer(&whole), source]).await;
    let client = Client::new([&script.url], None).unwrap();
    let all = client.ontologies().await.unwrap();
    assert_eq!(all.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["person", "bees"]);
    assert_eq!(client.ontology("foaf").await.unwrap().classes[0].name, "Person");
    let source = client.ontology_source("a b", "v").await.unwrap();
    assert_eq!((source.media_type.as_str(), source.text.as_str()), ("text/turtle", "<a> a <b> ."));
    let lines: Vec<_> =
        script.requests().iter().map(|it| it.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/ontologies HTTP/1.1",
            "GET /v1/ontologies?cursor=n HTTP/1.1",
            "GET /v1/ontologies/foaf HTTP/1.1",
            "GET /v1/ontologies/a%20b/source?version=v HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn a_pack_is_put_under_one_key_until_a_base_answers() {
    let mut placed = summary("bees");
    placed["created"] = true.into();
    placed["notes"] = json!([]);
    let lost = Script::play([Act::HangUp]).await;
    let script = Script::play([answer(&placed)]).await;
    let urls = [nobody().await, lost.url.clone(), script.url.clone()];
    let client = Client::new(urls, None).unwrap();
    assert!(client.put_ontology("bees", bees()).await.unwrap().created);
    let (first, second) = (lost.requests().remove(0), script.requests().remove(0));
    let key = |request: &str| {
        let line = request.lines().find(|line| line.starts_with("idempotency-key: "));
        line.unwrap().to_owned()
    };
    assert_eq!(key(&first), key(&second));
    assert!(second.starts_with("PUT /v1/ontologies/bees HTTP/1.1\r\n"), "{second}");
    assert!(second.contains("content-type: application/toml\r\n"), "{second}");
    assert!(second.contains("quarry-send-count: 2\r\n"), "{second}");
    assert!(second.ends_with("\r\n\r\nid = \"bees\"\n"), "{second}");
}

#[tokio::test]
async fn a_change_that_is_refused_after_a_lost_answer_stays_unknown() {
    let lost = Script::play([Act::HangUp]).await;
    let script = Script::play([Act::problem(404, "refused", false)]).await;
    let client = Client::new([&lost.url, &script.url], None).unwrap();
    let error = client.remove_ontology("bees").await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error:?}");
    let script = Script::play([Act::problem(404, "refused", false)]).await;
    let client = Client::new([&script.url], None).unwrap();
    let error = client.remove_ontology("bees").await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 404);
}
