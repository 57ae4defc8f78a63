//! Ontologies: listed, looked at, put, used and removed.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Ask, World};

const TEXT: &str = "Old Oak is kept by Anna Holt.";
const TOML: &str = "application/toml";

/// A pack whose relation is called `kept`.
fn bees(kept: &str) -> String {
    format!(
        "id = \"bees\"\n[[class]]\nname = \"Apiary\"\n[[class]]\nname = \"Keeper\"\n\
         [[relation]]\nname = \"{kept}\"\ndomain = [\"Apiary\"]\nrange = [\"Keeper\"]\n\
         iri = \"http://bees.example/{kept}\"\n\
         [[sentence]]\ntext = \"Stone Wall is kept by Eva Brandt.\"\n\
         triples = [[\"Stone Wall\", \"{kept}\", \"Eva Brandt\"]]\n\
         [[sentence]]\ntext = \"Mill Lane is kept by Peter Lind.\"\n\
         triples = [[\"Mill Lane\", \"{kept}\", \"Peter Lind\"]]\n"
    )
}

fn put(id: &str, media_type: &str, pack: impl AsRef<[u8]>) -> Ask {
    let ask = Ask::new(Method::PUT, &format!("/v1/ontologies/{id}"));
    ask.header("content-type", media_type).body(pack)
}

fn remove(id: &str) -> Ask {
    Ask::new(Method::DELETE, &format!("/v1/ontologies/{id}"))
}

async fn extract(world: &World, more: &Value) -> Answer {
    let mut body = json!({ "text": TEXT, "ontologyId": "bees" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.post("/v1/extractions", &body.to_string()).await
}

#[tokio::test]
async fn ontologies_are_listed_and_shown_by_any_of_their_names() {
    let world = World::new().await;
    let list = world.get("/v1/ontologies").await;
    let film = list.body["ontologies"].as_array().unwrap().iter().find(|one| one["id"] == "film");
    let film = film.unwrap();
    assert_eq!(film["version"].as_str().unwrap().len(), 16);
    assert!(film["examples"].as_u64().unwrap() >= 40, "{film}");
    assert_eq!(film["origin"], "builtIn");
    let shown = world.get("/v1/ontologies/film").await;
    assert_eq!(shown.body["version"], film["version"]);
    assert_eq!(shown.body["classes"].as_array().unwrap().len(), film["classes"]);
    let relations = shown.body["relations"].as_array().unwrap();
    let director = relations.iter().find(|relation| relation["name"] == "director").unwrap();
    assert_eq!(director["domain"], json!(["Film"]));
    assert_eq!(director["range"], json!(["Person"]));
    let person = world.get("/v1/ontologies/person").await;
    assert_eq!(world.get("/v1/ontologies/foaf").await.body, person.body);
    let source = world.get("/v1/ontologies/foaf/source").await;
    assert_eq!(source.header("content-type"), Some(TOML));
    assert!(source.text.contains("id = \"person\""), "{}", source.text);
}

#[tokio::test]
async fn an_unknown_ontology_is_refused_with_what_exists() {
    let world = World::new().await;
    let answer = world.get("/v1/ontologies/flim").await;
    assert_eq!(answer.problem(), (404, "no_such_ontology", Some("id")));
    assert!(answer.body["detail"].as_str().unwrap().contains("did you mean \"film\"?"));
    assert!(answer.body["available"].as_array().unwrap().contains(&"film".into()));
    let version = world.get("/v1/ontologies/film?version=0").await;
    assert_eq!(version.problem(), (404, "no_such_ontology", Some("version")));
}

#[tokio::test]
async fn a_pack_that_is_put_is_extracted_by_and_a_changed_one_is_another() {
    let world = World::new().await;
    let first = world.ask(put("bees", TOML, bees("keptBy"))).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.header("location"), Some("/v1/ontologies/bees"));
    let version = first.body["version"].as_str().unwrap();
    assert_eq!(first.header("etag"), Some(format!("\"{version}\"").as_str()));
    let one = extract(&world, &json!({})).await;
    assert_eq!(one.body["ontologyVersion"], first.body["version"], "{one:?}");
    assert_eq!(one.body["relations"][0]["predicate"], "keptBy");
    let kept = extract(&world, &json!({ "requestId": "r" })).await;

    let same = world.ask(put("bees", TOML, bees("keptBy"))).await;
    assert_eq!((same.status, &same.body["created"]), (StatusCode::OK, &false.into()));
    assert_eq!(same.body["putAt"], first.body["putAt"], "nothing was changed");
    let second = world.ask(put("bees", TOML, bees("tendedBy"))).await;
    assert_eq!(second.status, StatusCode::OK);
    let two = extract(&world, &json!({})).await;
    assert_eq!(two.body["ontologyVersion"], second.body["version"]);
    assert_eq!(two.body["relations"][0]["predicate"], "tendedBy");
    assert_ne!(two.body["requestId"], one.body["requestId"], "another version is another work");
    let again = extract(&world, &json!({ "requestId": "r" })).await;
    assert_eq!(again.body, kept.body, "a submission that is sent again has its graph");

    let pinned = extract(&world, &json!({ "ontologyVersion": version })).await;
    assert_eq!(pinned.body, one.body);
    let gone = extract(&world, &json!({ "ontologyVersion": "0123456789abcdef" })).await;
    assert_eq!(gone.problem(), (422, "unknown_ontology", Some("ontologyVersion")));
    let shown = world.get(&format!("/v1/ontologies/bees?version={version}")).await;
    assert_eq!(shown.body["relations"][0]["name"], "keptBy");
}

#[tokio::test]
async fn what_is_put_is_listed_shown_and_given_back_as_it_was_written() {
    let world = World::new().await;
    let turtle = "<urn:Hive> a <http://www.w3.org/2002/07/owl#Class> .\n";
    let layout = r#"{"id": "o", "concepts": [{"qid": "Q1", "label": "hive"}], "relations": []}"#;
    for (id, media_type, pack) in [
        ("bees", TOML, bees("keptBy").as_str()),
        ("hives", "text/turtle", turtle),
        ("layout", "application/json; charset=utf-8", layout),
    ] {
        let placed = world.ask(put(id, media_type, pack)).await;
        assert_eq!(placed.status, StatusCode::CREATED, "{placed:?}");
        let source = world.get(&format!("/v1/ontologies/{id}/source")).await;
        assert_eq!(source.text, pack);
        assert!(media_type.starts_with(source.header("content-type").unwrap()), "{source:?}");
        let shown = world.get(&format!("/v1/ontologies/{id}")).await;
        assert_eq!((&shown.body["id"], &shown.body["origin"]), (&id.into(), &"put".into()));
        assert_eq!(shown.body["version"], placed.body["version"]);
        assert_eq!(shown.body["notes"], placed.body["notes"]);
    }
    let unlabelled = Ask::new(Method::PUT, "/v1/ontologies/plain").body(layout);
    assert_eq!(world.ask(unlabelled).await.status, StatusCode::CREATED);
    let mut ids: Vec<String> = Vec::new();
    let mut path = "/v1/ontologies?limit=2".to_owned();
    loop {
        let page = world.get(&path).await;
        let page_ids = page.body["ontologies"].as_array().unwrap().iter();
        ids.extend(page_ids.map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/v1/ontologies?limit=2&cursor={next}");
    }
    assert_eq!(ids, ["company", "film", "person", "bees", "hives", "layout", "plain"]);
}

#[tokio::test]
async fn every_mistake_of_a_pack_is_told_and_nothing_is_stored() {
    let world = World::new().await;
    let before = world.stored().await;
    let wrong = bees("keptBy")
        .replace("range = [\"Keeper\"]", "range = [\"Kepper\"]")
        .replace("\"Eva Brandt\"]]", "\"Eva Brand\"]]")
        .replace("by Eva Brandt.", "by another.");
    let answer = world.ask(put("bees", TOML, wrong)).await;
    assert_eq!(answer.problem(), (422, "invalid_ontology", Some("body")));
    let problems = answer.body["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(
        (&problems[0]["line"], &problems[0]["place"]),
        (&6.into(), &"relation keptBy".into())
    );
    assert!(problems[0]["message"].as_str().unwrap().contains("did you mean `Keeper`?"));
    assert!(answer.body["detail"].as_str().unwrap().contains("line 6: relation keptBy"));
    for (id, media_type, pack, status, code) in [
        ("Bees!", TOML, bees("keptBy").into_bytes(), 400, "invalid_name"),
        ("bees", "application/json", b"{".to_vec(), 422, "invalid_ontology"),
        ("bees", "text/turtle", b"<a".to_vec(), 422, "invalid_ontology"),
        ("bees", TOML, b"id = \"\xff\"".to_vec(), 422, "invalid_ontology"),
        ("bees", TOML, vec![b'\n'; 16 * 1024 * 1024 + 1], 413, "too_large"),
        ("bees", "application/rdf+xml", b"<rdf/>".to_vec(), 415, "unsupported_media_type"),
        (
            "bees",
            "application/x-www-form-urlencoded",
            b"id = 1".to_vec(),
            415,
            "unsupported_media_type",
        ),
    ] {
        let answer = world.ask(put(id, media_type, pack)).await;
        let (found, name, _) = answer.problem();
        assert_eq!((found, name), (status, code), "{id} {media_type}: {answer:?}");
    }
    for id in ["film", "foaf", "person"] {
        let answer = world.ask(put(id, TOML, bees("keptBy"))).await;
        assert_eq!(answer.problem(), (409, "built_in", Some("id")));
        assert_eq!(world.ask(remove(id)).await.problem(), (409, "built_in", Some("id")));
    }
    assert_eq!(world.stored().await, before);
    assert_eq!(world.ask(remove("bees")).await.problem(), (404, "no_such_ontology", Some("id")));
}

#[tokio::test]
async fn a_change_is_made_only_where_its_precondition_holds() {
    let world = World::new().await;
    let only_new = |pack: String| put("bees", TOML, pack).header("if-none-match", "*");
    let first = world.ask(only_new(bees("keptBy"))).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let tag = first.header("etag").unwrap();
    let again = world.ask(only_new(bees("tendedBy"))).await;
    assert_eq!(again.problem(), (412, "precondition_failed", Some("If-None-Match")));
    let other = put("bees", TOML, bees("tendedBy")).header("if-match", "\"other\"");
    assert_eq!(world.ask(other).await.problem().0, 412);
    let known = Ask::get("/v1/ontologies/bees").header("if-none-match", tag);
    let known = world.ask(known).await;
    assert_eq!((known.status, known.header("etag")), (StatusCode::NOT_MODIFIED, Some(tag)));
    let matching = put("bees", TOML, bees("tendedBy")).header("if-match", tag);
    let second = world.ask(matching).await;
    assert_eq!(second.status, StatusCode::OK, "{second:?}");
    let stale = world.ask(remove("bees").header("if-match", tag)).await;
    assert_eq!(stale.problem().0, 412);
    let removed = remove("bees").header("if-match", second.header("etag").unwrap());
    assert_eq!(world.ask(removed).await.body["version"], second.body["version"]);
    let bad = put("bees", TOML, bees("keptBy")).header("if-match", "bees");
    assert_eq!(world.ask(bad).await.problem(), (400, "invalid_header", Some("If-Match")));
}

#[tokio::test]
async fn a_repeated_change_is_answered_with_its_first_answer() {
    let world = World::new().await;
    let keyed = |pack: String| put("bees", TOML, pack).header("idempotency-key", "k");
    let first = world.ask(keyed(bees("keptBy"))).await;
    let again = world.ask(keyed(bees("keptBy"))).await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = world.ask(keyed(bees("tendedBy"))).await;
    assert_eq!(other.problem().0, 422, "{other:?}");
}

#[tokio::test]
async fn a_removed_ontology_leaves_its_graphs_readable() {
    let world = World::new().await;
    world.ask(put("bees", TOML, bees("keptBy"))).await;
    let graph = extract(&world, &json!({ "requestId": "r" })).await;
    let removed = world.ask(remove("bees")).await;
    assert_eq!(removed.body["version"], graph.body["ontologyVersion"]);
    assert_eq!(world.get("/v1/ontologies/bees").await.problem().0, 404);
    let refused = extract(&world, &json!({})).await;
    assert_eq!(refused.problem(), (422, "unknown_ontology", Some("ontologyId")));
    assert_eq!(world.get("/v1/extractions/r/graph").await.body, graph.body);
    let turtle = world.get("/v1/extractions/r/graph?format=turtle").await;
    assert!(turtle.text.contains("http://bees.example/keptBy"), "{turtle:?}");
    let list = world.get("/v1/ontologies").await;
    assert!(list.body["ontologies"].as_array().unwrap().iter().all(|one| one["id"] != "bees"));
    assert_eq!(world.ask(put("bees", TOML, bees("keptBy"))).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn events_of_an_extraction_are_told_after_its_ontology_was_changed_and_removed() {
    let world = World::new().await;
    world.ask(put("bees", TOML, bees("keptBy"))).await;
    extract(&world, &json!({ "requestId": "r" })).await;
    let told = async || {
        let ask = Ask::get("/v1/extractions/r/events").header("accept", "application/x-ndjson");
        world.ask(ask).await.text
    };
    let first = told().await;
    assert!(first.contains("\"progress\""), "of the work, too: {first}");
    world.ask(put("bees", TOML, bees("tendedBy"))).await;
    world.ask(remove("bees")).await;
    assert_eq!(told().await, first);
}
