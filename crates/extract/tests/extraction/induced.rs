//! What is found comes from the pack's examples, whatever its subject.

use crate::score::{facts, induced};
use quarry_extract::Parameters;
use quarry_extract::graph::{Grade, verify};

const HEAD: &str = r#"
id = "bees"
fully_annotated = true
[[class]]
name = "Apiary"
alternatives = ["bee yard"]
[[class]]
name = "Keeper"
label = "beekeeper"
pronouns = ["he", "she"]
[[class]]
name = "Honey"
[[relation]]
name = "keptBy"
domain = ["Apiary"]
range = ["Keeper"]
[[relation]]
name = "yields"
domain = ["Apiary"]
range = ["Honey"]
[[relation]]
name = "foundedIn"
domain = ["Apiary"]
literal = "xsd:gYear"
functional = true
"#;

const KEPT: &str = r#"
[[sentence]]
text = "Old Oak is kept by Anna Holt."
triples = [["Old Oak", "keptBy", "Anna Holt"]]
[[sentence]]
text = "Peter Lind keeps the bees of Mill Lane."
triples = [["Mill Lane", "keptBy", "Peter Lind"]]
[[sentence]]
text = "Stone Wall, kept by Eva Brandt, lies on a slope."
triples = [["Stone Wall", "keptBy", "Eva Brandt"]]
[[sentence]]
text = "Karl Weber and Ida Weber keep North Field."
triples = [["North Field", "keptBy", "Karl Weber"], ["North Field", "keptBy", "Ida Weber"]]
"#;

const YIELDS: &str = r#"
[[sentence]]
text = "Old Oak yields lime honey every summer."
triples = [["Old Oak", "yields", "lime honey"]]
[[sentence]]
text = "Mill Lane, founded in 1931, yields clover honey."
triples = [["Mill Lane", "foundedIn", "1931"], ["Mill Lane", "yields", "clover honey"]]
[[sentence]]
text = "South Gate was founded in 1987."
triples = [["South Gate", "foundedIn", "1987"]]
[[sentence]]
text = "In 1954, Anna Holt founded Old Oak."
triples = [["Old Oak", "foundedIn", "1954"]]
"#;

fn owned(fact: [&str; 3]) -> (String, String, String) {
    let [subject, predicate, object] = fact.map(str::to_owned);
    (subject, predicate, object)
}

#[test]
fn eight_sentences_about_bees_are_enough_to_read_new_ones() {
    let extractor = induced(&[HEAD, KEPT, YIELDS].concat());
    for (text, expected) in [
        ("Green Hill is kept by Maria Sund.", vec![["Green Hill", "keptBy", "Maria Sund"]]),
        (
            "Birch Grove was founded in 1979. It yields heather honey.",
            vec![["Birch Grove", "foundedIn", "1979"], ["Birch Grove", "yields", "heather honey"]],
        ),
        (
            "Jon Falk and Lena Falk keep River Bend.",
            vec![["River Bend", "keptBy", "Jon Falk"], ["River Bend", "keptBy", "Lena Falk"]],
        ),
    ] {
        let graph = extractor.extract(text, &Parameters::default());
        assert_eq!(verify(&graph, text), Ok(()));
        let found = facts(&graph);
        assert_eq!(found, expected.into_iter().map(owned).collect(), "{text}");
    }
}

#[test]
fn without_its_examples_a_relation_is_found_less() {
    let whole = induced(&[HEAD, KEPT, YIELDS].concat());
    let without = induced(&[HEAD, YIELDS].concat());
    assert!(whole.ontology().notes().is_empty());
    assert!(without.ontology().notes().iter().any(|note| note.contains("keptBy")));
    let text = "Green Hill is kept by Maria Sund. Nils Berg keeps the bees of Far Meadow. \
                Hay Barn, kept by Olga Ness, lies in a valley.";
    let count = |extractor: &quarry_extract::Embedded| {
        let graph = extractor.extract(text, &Parameters::default());
        facts(&graph).iter().filter(|(_, predicate, _)| predicate == "keptBy").count()
    };
    assert!(count(&whole) >= 2, "{}", count(&whole));
    assert!(count(&without) < count(&whole), "{} {}", count(&without), count(&whole));
}

#[test]
fn a_pack_without_examples_finds_facts_by_labels_and_says_so() {
    let head = HEAD.replace("name = \"keptBy\"", "name = \"keptBy\"\nalternatives = [\"kept by\"]");
    let extractor = induced(&head);
    let notes = extractor.ontology().notes();
    assert!(notes[0].contains("its 3 relations are found by their labels only"), "{notes:?}");
    let graph = extractor.extract("Green Hill is kept by Maria Sund.", &Parameters::default());
    assert!(facts(&graph).contains(&owned(["Green Hill", "keptBy", "Maria Sund"])), "{graph:?}");
}

#[test]
fn nothing_found_is_said_with_a_reason() {
    let extractor = induced(&[HEAD, KEPT, YIELDS].concat());
    for (text, grade) in [
        ("", Grade::Empty),
        ("it rained all day.", Grade::Empty),
        ("Anna Holt slept.", Grade::EntitiesOnly),
    ] {
        let graph = extractor.extract(text, &Parameters::default());
        assert_eq!(graph.grade, grade, "{text}: {graph:?}");
        assert!(graph.relations.is_empty());
        assert!(graph.reason.is_some_and(|reason| !reason.is_empty()), "{text}");
    }
}

#[test]
fn induction_is_deterministic() {
    let text = "Green Hill is kept by Maria Sund. It was founded in 1990.";
    let pack = [HEAD, KEPT, YIELDS].concat();
    let one = induced(&pack).extract(text, &Parameters::default());
    let two = induced(&pack).extract(text, &Parameters::default());
    assert_eq!(one, two);
}
