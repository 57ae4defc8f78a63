//! Promises of every graph: spans are true, chunks merge in any order, JSON has its names.

use std::sync::LazyLock;

use crate::score::{built_in, facts, induced};
use proptest::prelude::*;
use quarry_extract::event::Event;
use quarry_extract::graph::{Fragment, Grade, Object, verify};
use quarry_extract::{Embedded, Parameters, chunks};

static FILM: LazyLock<Embedded> = LazyLock::new(|| built_in("film"));

const PARAGRAPH: &str = "Mirror is a 1975 Soviet drama directed by Andrei Tarkovsky. He wrote the \
    screenplay with Aleksandr Misharin. The film stars Margarita Terekhova. Georgi Rerberg \
    photographed it, and Eduard Artemyev composed the music. It runs for 106 minutes. Tarkovsky \
    also directed Nostalghia.";

fn small() -> Parameters {
    Parameters { chunk_size: 20, overlap: 8, ..Parameters::default() }
}

#[test]
fn a_paragraph_about_unknown_films_gives_its_facts() {
    let graph = FILM.extract(PARAGRAPH, &Parameters::default());
    assert_eq!(graph.grade, Grade::Complete);
    let found = facts(&graph);
    for (subject, predicate, object) in [
        ("Mirror", "releaseYear", "1975"),
        ("Mirror", "country", "Soviet Union"),
        ("Mirror", "genre", "drama"),
        ("Mirror", "director", "Andrei Tarkovsky"),
        ("Mirror", "starring", "Margarita Terekhova"),
        ("Mirror", "cinematography", "Georgi Rerberg"),
        ("Mirror", "musicComposer", "Eduard Artemyev"),
        ("Mirror", "runtime", "PT106M"),
        ("Nostalghia", "director", "Andrei Tarkovsky"),
    ] {
        let fact = (subject.to_owned(), predicate.to_owned(), object.to_owned());
        assert!(found.contains(&fact), "{fact:?} in {found:#?}");
    }
    let tarkovsky = graph.entities.iter().find(|e| e.name == "Andrei Tarkovsky").unwrap();
    assert_eq!(tarkovsky.aliases, ["Tarkovsky"]);
    assert!(tarkovsky.mentions.iter().any(|m| m.text == "He"), "{tarkovsky:?}");
}

#[test]
fn a_paragraph_about_unknown_people_gives_its_facts() {
    let text = "Maria Mitchell was an American astronomer. She was born in Nantucket on August 1, \
        1818. Mitchell taught at Vassar College and was a friend of Mary Somerville.";
    let graph = built_in("person").extract(text, &Parameters::default());
    assert_eq!(verify(&graph, text), Ok(()));
    let found = facts(&graph);
    for (predicate, object) in [
        ("nationality", "United States"),
        ("occupation", "astronomer"),
        ("birthPlace", "Nantucket"),
        ("birthDate", "1818-08-01"),
        ("worksFor", "Vassar College"),
        ("knows", "Mary Somerville"),
    ] {
        let fact = ("Maria Mitchell".to_owned(), predicate.to_owned(), object.to_owned());
        assert!(found.contains(&fact), "{fact:?} in {found:#?}");
    }
}

#[test]
fn normalised_values_are_flagged_and_point_to_their_text() {
    let text = "🎬 Mirror runs for two hours.";
    let graph = FILM.extract(text, &Parameters::default());
    let fact = graph.relations.iter().find(|r| r.predicate == "runtime").unwrap();
    assert!(matches!(&fact.object, Object::Literal(l) if l.value == "PT2H"), "{fact:?}");
    let source = &fact.provenance[0];
    assert!(source.inferred);
    assert_eq!((source.object.start, source.object.end), (18, 27));
    assert_eq!(source.extractor, "embedded/1");
}

#[test]
fn facts_against_the_ontology_are_refused_and_counted() {
    let graph = FILM.extract(
        "Mirror was released in 1975. Mirror was released in 1999.",
        &Parameters::default(),
    );
    let years: Vec<_> = graph.relations.iter().filter(|r| r.predicate == "releaseYear").collect();
    assert_eq!(years.len(), 1);
    assert!(graph.refused.iter().any(|r| r.reason == "functional" && r.count == 1), "{graph:?}");
}

#[test]
fn the_graph_json_has_the_public_names() {
    let graph = FILM.extract("Mirror was directed by Andrei Tarkovsky.", &Parameters::default());
    let json = serde_json::to_value(&graph).unwrap();
    for key in [
        "requestId",
        "documentId",
        "ontologyId",
        "ontologyVersion",
        "grade",
        "entities",
        "relations",
        "refused",
        "reason",
        "usage",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["grade"], "complete");
    assert_eq!(json["entities"][0]["type"], "Film");
    assert_eq!(json["entities"][0]["mentions"][0]["text"], "Mirror");
    assert_eq!(json["relations"][0]["object"]["entity"], "e2");
    assert_eq!(json["relations"][0]["provenance"][0]["evidence"]["end"], 40);
    assert_eq!(json["usage"]["promptTokens"], 0);
    assert_eq!(serde_json::from_value::<quarry_extract::graph::Graph>(json).unwrap(), graph);
}

#[test]
fn a_failed_chunk_makes_the_graph_partial() {
    let fragment = Fragment::failed(3, "time-out".to_owned());
    let chunk = chunks(PARAGRAPH, 500, 0)[0];
    let whole = FILM.extract_chunk(PARAGRAPH, chunk, &Parameters::default()).merge(fragment);
    let graph = whole.finish(FILM.heading());
    assert_eq!(graph.grade, Grade::Partial);
    let failed = Event::ChunkFailed { chunk: 3, error: "time-out".to_owned() };
    assert_eq!(Event::of_graph(&graph).next(), Some(failed));
    let json = serde_json::to_value(&graph).unwrap();
    assert_eq!(json["failedChunks"], serde_json::json!([{ "chunk": 3, "error": "time-out" }]));
    assert!(graph.reason.unwrap().contains("chunk 3: time-out"));
    assert!(!graph.relations.is_empty());
}

#[test]
fn overlapping_chunks_count_nothing_twice() {
    let whole = FILM.extract(PARAGRAPH, &small());
    assert_eq!(verify(&whole, PARAGRAPH), Ok(()));
    for entity in &whole.entities {
        let mut spans: Vec<_> = entity.mentions.iter().map(|m| (m.start, m.end)).collect();
        spans.dedup();
        assert_eq!(spans.len(), entity.mentions.len(), "{entity:?}");
    }
}

/// Pieces that meet in real texts, and some that should not.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Mirror was directed by Andrei Tarkovsky.".to_owned()),
        Just("“Amélie”, a French film,".to_owned()),
        Just("It runs for two and a half hours!".to_owned()),
        Just("He wrote it in 1975".to_owned()),
        Just("\r\n\r\n".to_owned()),
        Just("🎬👩‍🚀".to_owned()),
        Just("הסרט יצא בשנת 1975.".to_owned()),
        Just("映画は1975年。".to_owned()),
        Just("'s \"X\" and * _Y_ (".to_owned()),
        "\\PC{0,12}",
        "[A-Z][a-z]{1,6} [A-Z][a-z]{1,6}",
        "[ \\t\\r\\n.,;:'\"-]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_span_of_any_text_says_what_it_claims(pieces in prop::collection::vec(piece(), 0..12)) {
        let text = pieces.join(" ");
        for parameters in [Parameters::default(), small()] {
            let graph = FILM.extract(&text, &parameters);
            prop_assert_eq!(verify(&graph, &text), Ok(()));
            prop_assert_eq!(graph.relations.is_empty() && graph.reason.is_none(), false);
        }
    }

    #[test]
    fn chunks_merge_in_any_order_and_grouping(order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let pieces = chunks(PARAGRAPH, 20, 8);
        prop_assert!(pieces.len() >= 4);
        let part = |at: usize| FILM.extract_chunk(PARAGRAPH, pieces[at % pieces.len()], &small());
        let straight = (0..5).map(part).fold(Fragment::default(), Fragment::merge);
        let shuffled = order.iter().map(|at| part(*at)).fold(Fragment::default(), Fragment::merge);
        let (left, right) = (part(0).merge(part(1)), part(2).merge(part(3)).merge(part(4)));
        prop_assert_eq!(&straight, &shuffled);
        prop_assert_eq!(&straight, &left.merge(right));
        prop_assert_eq!(&straight, &straight.clone().merge(part(2)));
    }
}

#[test]
fn a_single_word_pack_reads_right_to_left_text_without_harm() {
    let extractor = induced("id = \"x\"\n[[class]]\nname = \"Thing\"\nexamples = [\"סרט\"]\n");
    let text = "זה סרט טוב.";
    let graph = extractor.extract(text, &Parameters::default());
    assert_eq!(graph.entities.len(), 1, "{graph:?}");
    assert_eq!(verify(&graph, text), Ok(()));
}
