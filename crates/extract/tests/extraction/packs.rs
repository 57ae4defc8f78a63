//! Packs are read, hashed and refused with words that name the place.

use quarry_extract::pack::{BUILT_IN, Ontologies, Ontology};

const GOOD: &str = r#"
id = "bees"
[[class]]
name = "Hive"
[[class]]
name = "Keeper"
[[relation]]
name = "keptBy"
domain = ["Hive"]
range = ["Keeper"]
[[sentence]]
text = "Old Oak is kept by Anna Holt."
triples = [["Old Oak", "keptBy", "Anna Holt"]]
"#;

#[test]
fn built_in_packs_are_valid_and_have_at_least_forty_examples() {
    for (id, text) in BUILT_IN {
        let ontology = Ontology::from_toml(text).unwrap_or_else(|e| panic!("{id}: {e}"));
        assert_eq!(ontology.id(), id);
        assert!(ontology.sentences().len() >= 45, "{id}");
        assert!(ontology.relations().iter().all(|r| r.iri.is_some()), "{id}");
        assert_eq!(ontology.version().len(), 16);
    }
}

#[test]
fn a_changed_byte_is_another_version() {
    let one = Ontology::from_toml(GOOD).unwrap();
    let other = Ontology::from_toml(&format!("{GOOD}\n")).unwrap();
    assert_ne!(one.version(), other.version());
    assert_eq!(one.version(), Ontology::from_toml(GOOD).unwrap().version());
}

#[test]
fn the_person_pack_answers_for_foaf_until_an_ontology_has_that_id() {
    let mut known = Ontologies::built_in().unwrap();
    assert_eq!(known.get("foaf").unwrap().id(), "person");
    known.put(Ontology::from_toml(&GOOD.replace("bees", "foaf")).unwrap());
    assert_eq!(known.get("foaf").unwrap().id(), "foaf");
}

#[test]
fn an_unknown_ontology_is_refused_with_those_that_exist() {
    let error = Ontologies::built_in().unwrap().get("fillm").unwrap_err().to_string();
    assert!(error.contains("fillm") && error.contains("film"), "{error}");
}

#[test]
fn every_mistake_is_reported_with_its_line_and_what_to_do() {
    let bad = GOOD
        .replace("range = [\"Keeper\"]", "range = [\"Kepper\"]")
        .replace("\"Anna Holt\"]]", "\"Anna Hold\"]]");
    let error = Ontology::from_toml(&bad).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.problems.len(), 2, "{said}");
    assert_eq!(error.problems[0].line, Some(7), "{said}");
    assert_eq!(error.problems[0].place, "relation keptBy");
    assert!(error.problems[0].message.contains("`Kepper`"), "{said}");
    assert!(error.problems[0].message.contains("did you mean `Keeper`?"), "{said}");
    assert_eq!(error.problems[1].line, Some(11), "{said}");
    assert!(error.problems[1].message.contains("Anna Hold"));
}

#[test]
fn malformed_toml_and_unknown_keys_name_their_line() {
    for (text, line) in [("id = \"x\"\n[[class]\n", 2), ("id = \"x\"\ncolour = 1\n", 2)] {
        let error = Ontology::from_toml(text).unwrap_err();
        assert_eq!(error.problems[0].line, Some(line), "{error}");
    }
}

#[test]
fn structural_mistakes_are_refused() {
    for (from, to, word) in [
        ("name = \"Keeper\"", "name = \"Hive\"", "twice"),
        ("name = \"Hive\"", "name = \"Hive\"\nparent = \"Hive\"", "ancestor"),
        ("name = \"Hive\"", "name = \"Hive\"\nparent = \"Box\"", "unknown parent"),
        ("range = [\"Keeper\"]", "literal = \"xsd:colour\"", "unknown literal type"),
        ("range = [\"Keeper\"]", "", "neither range nor literal"),
        ("range = [\"Keeper\"]", "range = [\"Keeper\"]\nliteral = \"xsd:date\"", "both"),
        ("domain = [\"Hive\"]", "domain = []", "no domain"),
        ("\"keptBy\", ", "\"keptOn\", ", "unknown relation"),
        ("id = \"bees\"", "id = \"Bees!\"", "lower-case"),
        ("name = \"Hive\"", "name = \"Hive\"\niri = \"schema Hive\"", "write it in full"),
        ("domain = [\"Hive\"]", "domain = [\"Hive\"]\ninverse = \"keeps\"", "unknown inverse"),
    ] {
        let error = Ontology::from_toml(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn json_packs_have_the_same_shape() {
    let json = r#"{"id": "bees", "class": [{"name": "Hive"}, {"name": "Keeper"}],
        "relation": [{"name": "keptBy", "domain": ["Hive"], "range": ["Keeper"]}]}"#;
    assert_eq!(Ontology::from_json(json).unwrap().relations().len(), 1);
    let bad = json.replace("\"range\": [\"Keeper\"]", "\"range\": [\"Kiln\"]");
    let error = Ontology::from_json(&bad.replace("\"bees\"", "\"Bees\"")).unwrap_err();
    assert_eq!((error.problems[0].line, error.problems[1].line), (Some(1), Some(2)), "{error}");
    let error = Ontology::from_json("{\"id\": 1}").unwrap_err();
    assert_eq!(error.problems[0].line, Some(1));
}
