//! Ontologies that are put: checked, kept by version, extracted by.

use quarry_extract::{Described, Placed, Shown, graph::Graph, pack::Packed};
use quarry_types::{Failure, Outcome};
use serde_json::{Value, json};

use crate::world::World;

const TEXT: &str = "Old Oak is kept by Anna Holt.";
const BEES: &str = r#"
id = "bees"
[[class]]
name = "Apiary"
[[class]]
name = "Keeper"
[[relation]]
name = "keptBy"
domain = ["Apiary"]
range = ["Keeper"]
[[sentence]]
text = "Stone Wall is kept by Eva Brandt."
triples = [["Stone Wall", "keptBy", "Eva Brandt"]]
[[sentence]]
text = "Mill Lane is kept by Peter Lind."
triples = [["Mill Lane", "keptBy", "Peter Lind"]]
"#;

/// The same with another name for its relation.
fn changed() -> String {
    BEES.replace("keptBy", "tendedBy")
}

fn success(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Success(reply) => serde_json::from_slice(&reply).unwrap(),
        Outcome::Failure(failure) => panic!("{failure:?}"),
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failure(failure) => failure,
        Outcome::Success(reply) => panic!("{reply:?}"),
    }
}

async fn put(world: &World, text: &str) -> Placed {
    let put = json!({"format": "toml", "packed": Packed::of(text)});
    let (_, outcome) = world.ask("Ontology/bees", "Put", put).await;
    serde_json::from_value(success(outcome)).unwrap()
}

async fn describe(world: &World, version: Option<&str>) -> Outcome {
    world.ask("Ontology/bees", "Describe", json!({"version": version})).await.1
}

async fn extract(world: &World, id: &str, more: Value) -> Outcome {
    let mut submission = json!({"text": TEXT, "ontologyId": "bees"});
    submission.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.ask(&format!("KGExtractor/{id}"), "ExtractFromText", submission).await.1
}

fn graph(outcome: Outcome) -> Graph {
    serde_json::from_value(success(outcome)).unwrap()
}

fn predicates(graph: &Graph) -> Vec<&str> {
    graph.relations.iter().map(|relation| relation.predicate.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_changed_ontology_gives_new_graphs_and_leaves_the_old_ones() {
    let world = World::start();
    let first = put(&world, BEES).await;
    assert!(first.is_new);
    let one = graph(extract(&world, "one", json!({})).await);
    assert_eq!(
        (one.ontology_id.as_str(), &one.ontology_version),
        ("bees", &first.described.version)
    );
    assert_eq!(predicates(&one), ["keptBy"]);

    let second = put(&world, &changed()).await;
    assert!(!second.is_new);
    assert_ne!(second.described.version, first.described.version);
    let two = graph(extract(&world, "two", json!({})).await);
    assert_eq!(two.ontology_version, second.described.version);
    assert_eq!(predicates(&two), ["tendedBy"]);

    let again = graph(extract(&world, "one", json!({})).await);
    assert_eq!(again, one, "a submission that is sent again has its graph");
    let pinned = json!({"ontologyVersion": first.described.version});
    let three = graph(extract(&world, "three", pinned).await);
    assert_eq!(three.relations, one.relations, "an earlier version is still kept");
    assert_eq!(world.extractions(), 2, "each version read the text once");
}

#[tokio::test(start_paused = true)]
async fn the_same_pack_again_changes_nothing() {
    let world = World::start();
    let first = put(&world, BEES).await;
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    let again = put(&world, BEES).await;
    assert_eq!(again, Placed { is_new: false, ..first.clone() });
    let text = json!({"format": "toml", "text": BEES});
    let (_, outcome) = world.ask("Ontology/bees", "Put", text).await;
    let placed: Placed = serde_json::from_value(success(outcome)).unwrap();
    assert_eq!(placed.described, first.described, "packed or as it is");
    let (_, shown) = world.ask("Ontology/bees", "Show", json!({})).await;
    let shown: Shown = serde_json::from_value(success(shown)).unwrap();
    assert_eq!(shown.source().unwrap().text, BEES);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_good_or_not_expected_is_refused_and_changes_nothing() {
    let world = World::start();
    let described = put(&world, BEES).await.described;
    let version = described.version.clone();
    let wrong = BEES.replace("range = [\"Keeper\"]", "range = [\"Kepper\"]");
    let toml =
        |text: &str, expected: Value| json!({"format": "toml", "text": text, "expected": expected});
    for (body, code, said) in [
        (toml(&wrong, Value::Null), "invalid_ontology", "line 7: relation keptBy"),
        (json!({"format": "toml"}), "invalid_ontology", "as `text` or as `packed`"),
        (json!({"format": "toml", "packed": "AAAA"}), "invalid_ontology", "cannot be unpacked"),
        (toml(&changed(), json!("nothing")), "precondition_failed", version.as_str()),
        (toml(&changed(), json!({"versions": ["other"]})), "precondition_failed", &version),
    ] {
        let failure = failure(world.ask("Ontology/bees", "Put", body.clone()).await.1);
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.message.contains(said), "{said}: {failure:?}");
    }
    for id in ["film", "foaf"] {
        for (method, body) in [("Put", toml(BEES, Value::Null)), ("Delete", json!({}))] {
            let failure = failure(world.ask(&format!("Ontology/{id}"), method, body).await.1);
            assert_eq!(failure.code, "built_in", "{failure:?}");
        }
    }
    let known: Described = serde_json::from_value(success(describe(&world, None).await)).unwrap();
    assert_eq!(known, described);
    let expected = toml(&changed(), json!({"versions": [version]}));
    let (_, outcome) = world.ask("Ontology/bees", "Put", expected).await;
    assert_ne!(success(outcome)["described"]["version"], known.version);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_ontology_leaves_its_graphs_and_its_terms() {
    let world = World::start();
    let version = put(&world, BEES).await.described.version;
    let one = graph(extract(&world, "one", json!({})).await);
    let (_, deleted) = world.ask("Ontology/bees", "Delete", json!({})).await;
    assert_eq!(success(deleted), json!(version));
    let (_, again) = world.ask("Ontology/bees", "Delete", json!({})).await;
    assert_eq!(failure(again).code, "no_such_ontology");
    assert_eq!(failure(describe(&world, None).await).code, "no_such_ontology");
    let kept: Described =
        serde_json::from_value(success(describe(&world, Some(&version)).await)).unwrap();
    assert_eq!(kept.version, version);

    let refused = failure(extract(&world, "two", json!({})).await);
    assert_eq!(refused.code, "OntologyError", "{refused:?}");
    assert!(refused.message.contains("unknown ontology `bees`"), "{refused:?}");
    assert_eq!(graph(extract(&world, "one", json!({})).await), one);
    let (_, cached) = world.ask("KGExtractor/one", "GetCachedResult", Value::Null).await;
    assert_eq!(graph(cached), one);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_not_kept_any_more_is_said_to_be_gone() {
    let world = World::start();
    put(&world, BEES).await;
    let gone =
        failure(extract(&world, "one", json!({"ontologyVersion": "0123456789abcdef"})).await);
    assert_eq!(gone.code, "OntologyError");
    assert!(
        gone.message.contains("version 0123456789abcdef of ontology bees is not kept"),
        "{gone:?}"
    );
    let built_in = json!({"ontologyId": "film", "ontologyVersion": "0123456789abcdef"});
    let other = failure(extract(&world, "two", built_in).await);
    assert_eq!(other.code, "OntologyError", "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn tenants_have_ontologies_of_their_own() {
    let world = World::start();
    let ask = async |tenant: &str, entity: &str, method: &str, body: Value| {
        world.ask_as(tenant, entity, method, body).await.1
    };
    let toml = |text: &str| json!({"format": "toml", "text": text});
    success(ask("one", "Ontology/bees", "Put", toml(BEES)).await);
    let missing = ask("two", "Ontology/bees", "Describe", json!({})).await;
    assert_eq!(failure(missing).code, "no_such_ontology");
    let submission = json!({"text": TEXT, "ontologyId": "bees"});
    let refused = ask("two", "KGExtractor/r", "ExtractFromText", submission.clone()).await;
    assert_eq!(failure(refused).code, "OntologyError");
    success(ask("two", "Ontology/bees", "Put", toml(&changed())).await);
    for (tenant, predicate) in [("one", "keptBy"), ("two", "tendedBy")] {
        let extracted = ask(tenant, "KGExtractor/s", "ExtractFromText", submission.clone()).await;
        assert_eq!(predicates(&graph(extracted)), [predicate], "{tenant}");
    }
}
