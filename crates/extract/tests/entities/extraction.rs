//! Each text is read once, and tells its events.

use std::time::Duration;

use quarry_extract::{
    event::Event,
    graph::{Graph, verify},
};
use quarry_types::Outcome;

use crate::world::{TEXT, Work, World};

#[tokio::test(start_paused = true)]
async fn the_same_text_is_read_once_under_however_many_request_ids() {
    let world = World::start();
    let (_, one) = world.extract("one", serde_json::json!({})).await;
    let (_, two) = world.extract("two", serde_json::json!({"documentId": "d2"})).await;
    let (_, again) = world.extract("one", serde_json::json!({})).await;
    assert_eq!(world.extractions(), 1);
    assert_eq!(one, again);
    assert_eq!((one.request_id.as_str(), one.document_id.as_deref()), ("one", None));
    assert_eq!((two.request_id.as_str(), two.document_id.as_deref()), ("two", Some("d2")));
    assert_eq!(one.relations, two.relations);
    assert!(!one.relations.is_empty());
    assert_eq!(verify(&one, TEXT), Ok(()));
    let other = serde_json::json!({"options": {"minConfidence": 0.9}});
    world.extract("three", other).await;
    assert_eq!(world.extractions(), 2, "other parameters are other work");
}

#[tokio::test(start_paused = true)]
async fn submissions_at_the_same_time_share_one_run() {
    let world = World::start();
    let (one, two, three) = tokio::join!(
        world.extract("one", serde_json::json!({})),
        world.extract("two", serde_json::json!({})),
        world.extract("three", serde_json::json!({"documentId": "d"})),
    );
    assert_eq!(world.extractions(), 1);
    assert_eq!(one.1.relations, two.1.relations);
    assert_eq!(one.1.relations, three.1.relations);
}

#[tokio::test(start_paused = true)]
async fn a_submission_tells_what_it_finds_in_order() {
    let world = World::start();
    let (message, graph) = world.extract("one", serde_json::json!({})).await;
    let events = world.events(message).await;
    let names: Vec<String> = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    let mut expected = vec!["started", "stage_started", "stage_completed"];
    expected.extend(graph.entities.iter().map(|_| "entity_found"));
    expected.push("entities_extracted");
    expected.extend(graph.relations.iter().map(|_| "fact_found"));
    expected.extend(["relations_extracted", "completed"]);
    assert_eq!(names, expected);
    let count = u64::try_from(graph.relations.len()).unwrap();
    assert!(events.contains(&Event::RelationsExtracted { count }));
    assert_eq!(events.last(), Some(&Event::Completed { result_id: "one".to_owned() }));
    let (again, _) = world.extract("one", serde_json::json!({})).await;
    let told = world.events(again).await;
    assert_eq!(told.first(), events.first());
    assert_eq!(told[1..], events[3..], "a stored graph has no stages");
}

#[tokio::test(start_paused = true)]
async fn work_is_done_for_its_own_key_alone() {
    let world = World::start();
    let task = serde_json::json!({"text": TEXT, "ontologyId": "film", "ontologyVersion": "1",
        "parameters": {"chunkSize": 500, "overlap": 50, "minConfidence": 0.5}});
    let (message, outcome) = world.ask("ExtractionWork/forged", "Extract", task).await;
    assert!(matches!(&outcome, Outcome::Failure(f) if f.code == "OntologyError"), "{outcome:?}");
    assert!(world.events(message).await.is_empty());
    assert_eq!(world.extractions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_id_stands_for_one_submission() {
    let world = World::start();
    world.extract("one", serde_json::json!({})).await;
    let other = serde_json::json!({"text": "Another.", "ontologyId": "film"});
    let (_, outcome) = world.ask("KGExtractor/one", "ExtractFromText", other).await;
    assert!(matches!(&outcome, Outcome::Failure(f) if f.code == "request_reused"), "{outcome:?}");
    let (_, graph) = world.extract("one", serde_json::json!({})).await;
    assert!(!graph.relations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_text_tells_how_far_it_is() {
    let world = World::start();
    let text = format!("{TEXT} ").repeat(2_000);
    let submission = serde_json::json!({"text": text, "ontologyId": "film"});
    let (message, outcome) = world.ask("KGExtractor/long", "ExtractFromText", submission).await;
    let Outcome::Success(graph) = outcome else { panic!("{outcome:?}") };
    let graph: Graph = serde_json::from_slice(&graph).unwrap();
    let told = world.events(message).await;
    let most = |event: &Event| match event {
        Event::EntityFound { entity } => entity.mentions.len(),
        Event::FactFound { fact } => fact.provenance.len(),
        _ => 0,
    };
    assert!(graph.entities.iter().any(|entity| entity.mentions.len() >= 2_000));
    assert_eq!(told.iter().map(most).max(), Some(64), "events stay small");
    let filter = quarry_ports::MessageFilter::default();
    let messages = world.node.ports().store.messages(filter, None, 10).await.unwrap();
    let work = messages
        .items
        .iter()
        .find(|record| record.message.address.entity_type.as_str() == "ExtractionWork")
        .unwrap();
    let events = world.events(work.message.message_id).await;
    let percent: Vec<u32> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { percent, .. } => Some(*percent),
            _ => None,
        })
        .collect();
    assert!(percent.len() >= 3 && percent.is_sorted(), "{percent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_graph_that_cannot_be_kept_is_refused_with_what_to_do_and_tried_again_later() {
    let world = World::start();
    let film =
        |at: u32| format!("Mirror {at} was directed by Anna Moe{at}son in {}. ", 1000 + at % 900);
    let text: String = (0..18_000).map(film).collect();
    assert!(text.len() < quarry_extract::MAX_TEXT, "{}", text.len());
    let submission = serde_json::json!({"text": text, "ontologyId": "film"});
    let refused = async |id: &str| {
        let id = format!("KGExtractor/{id}");
        let asked = world.ask(&id, "ExtractFromText", submission.clone());
        let (message, outcome) = asked.await;
        let Outcome::Failure(failure) = outcome else { panic!("it was kept") };
        assert_eq!(failure.code, "graph_too_large");
        assert!(failure.message.contains("split the text"), "{failure:?}");
        let last = world.events(message).await.pop();
        assert!(matches!(last, Some(Event::Failed { .. })), "{last:?}");
        world.metrics.extraction_seconds.get_sample_count()
    };
    assert_eq!(refused("dense").await, 1);
    assert_eq!(refused("dense").await, 1, "a failure stands for five minutes");
    assert_eq!(refused("other").await, 1, "for whoever asks");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(refused("dense").await, 2, "and then the work is tried again");
}

#[tokio::test(start_paused = true)]
async fn an_extraction_ends_with_its_time_and_not_before() {
    let world = World::with(Work::Stuck);
    for (options, seconds) in [
        (serde_json::json!({"timeout": "2s"}), 2),
        (serde_json::json!({"timeout": 0.5}), 30),
        (serde_json::json!({}), 300),
    ] {
        let submission =
            serde_json::json!({"text": TEXT, "ontologyId": "film", "options": options});
        let begun = world.node.ports().host.now();
        let id = format!("KGExtractor/{seconds}");
        let (message, outcome) = world.ask(&id, "ExtractFromText", submission).await;
        let took = world.node.ports().host.now().since(begun).as_secs();
        let Outcome::Failure(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.code, "TimeoutError", "{failure:?}");
        assert!((seconds..=seconds + 1).contains(&took), "{took} s instead of {seconds}");
        let last = world.events(message).await.pop();
        assert!(matches!(last, Some(Event::Failed { .. })), "{last:?}");
    }
}
