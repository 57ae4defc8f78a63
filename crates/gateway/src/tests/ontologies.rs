//! Ontologies: listed and looked at.

use super::harness::World;

#[tokio::test]
async fn ontologies_are_listed_and_shown_by_any_of_their_names() {
    let world = World::new().await;
    let list = world.get("/v1/ontologies").await;
    let film = list.body["ontologies"].as_array().unwrap().iter().find(|one| one["id"] == "film");
    let film = film.unwrap();
    assert_eq!(film["version"].as_str().unwrap().len(), 16);
    assert!(film["examples"].as_u64().unwrap() >= 40, "{film}");
    let shown = world.get("/v1/ontologies/film").await;
    assert_eq!(shown.body["version"], film["version"]);
    assert_eq!(shown.body["classes"].as_array().unwrap().len(), film["classes"]);
    let relations = shown.body["relations"].as_array().unwrap();
    let director = relations.iter().find(|relation| relation["name"] == "director").unwrap();
    assert_eq!(director["domain"], serde_json::json!(["Film"]));
    assert_eq!(director["range"], serde_json::json!(["Person"]));
    let person = world.get("/v1/ontologies/person").await;
    assert_eq!(world.get("/v1/ontologies/foaf").await.body, person.body);
}

#[tokio::test]
async fn an_unknown_ontology_is_refused_with_what_exists() {
    let world = World::new().await;
    let answer = world.get("/v1/ontologies/flim").await;
    assert_eq!(answer.problem(), (404, "no_such_ontology", Some("id")));
    assert!(answer.body["detail"].as_str().unwrap().contains("did you mean \"film\"?"));
    assert!(answer.body["available"].as_array().unwrap().contains(&"film".into()));
}
