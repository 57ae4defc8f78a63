//! Vocabularies in Turtle and ontologies of a benchmark, read as packs.

use std::sync::Arc;

use quarry_extract::{
    Embedded, Parameters,
    pack::{Class, Datatype, Format, MAX_SOURCE, Ontology, PackError, Range, Relation, Source},
};

use crate::score::facts;

/// A vocabulary about bees, in the words of RDFS, OWL and SKOS.
const BEES: &str = r#"
@prefix : <http://bees.example/terms#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .

<http://bees.example/terms> a owl:Ontology ; rdfs:label "Bees"@en ; rdfs:comment "Of hives." .

:Agent a owl:Class .
:Keeper a owl:Class ; rdfs:subClassOf :Agent , [ a owl:Restriction ] ;
    rdfs:label "Imker"@de , "beekeeper"@en ; skos:altLabel "apiarist"@en , "Zeidler"@de .
:Club a rdfs:Class ; rdfs:subClassOf :Agent .
:BeeYard a owl:Class ; skos:definition "Where hives stand." .

:keptBy a owl:ObjectProperty ;
    rdfs:label "kept by" ; skos:altLabel "looked after by" ;
    rdfs:domain :BeeYard ;
    rdfs:range [ owl:unionOf ( :Keeper :Club ) ] ;
    owl:inverseOf :keeps .
:keeps a owl:ObjectProperty ; rdfs:domain owl:Thing ; rdfs:range :BeeYard .
:foundingYear a owl:DatatypeProperty , owl:FunctionalProperty ;
    rdfs:domain :BeeYard ; rdfs:range xsd:gYear .
:motto a owl:DatatypeProperty ; rdfs:domain :BeeYard .
:shape a owl:DatatypeProperty ; rdfs:domain :BeeYard ; rdfs:range xsd:hexBinary .
:seenBy a owl:ObjectProperty ; rdfs:domain :BeeYard .

:oak a :BeeYard ; rdfs:label "Old Oak"@en ; skos:altLabel "The Oak"@en .
"#;

fn compile(format: Format, text: &str) -> Result<Ontology, PackError> {
    Source { format, text: text.to_owned() }.compile(Some("bees"))
}

fn class<'a>(ontology: &'a Ontology, name: &str) -> &'a Class {
    ontology.class_named(name).and_then(|id| ontology.class(id)).unwrap()
}

fn relation<'a>(ontology: &'a Ontology, name: &str) -> &'a Relation {
    ontology.relation_named(name).and_then(|id| ontology.relation(id)).unwrap()
}

fn names(ontology: &Ontology, range: &Range) -> Vec<String> {
    let Range::Classes(classes) = range else { panic!("{range:?}") };
    classes.iter().map(|id| ontology.class(*id).unwrap().name.clone()).collect()
}

#[test]
fn a_vocabulary_in_turtle_is_a_pack_with_its_labels_and_members() {
    let ontology = compile(Format::Turtle, BEES).unwrap();
    assert_eq!((ontology.id(), ontology.label()), ("bees", "Bees"));
    let keeper = class(&ontology, "Keeper");
    assert_eq!(keeper.labels, ["beekeeper", "apiarist"]);
    assert_eq!(keeper.iri.as_deref(), Some("http://bees.example/terms#Keeper"));
    assert_eq!(keeper.lineage.len(), 2, "below Agent");
    assert_eq!(class(&ontology, "BeeYard").labels, ["bee yard"]);
    let members = &class(&ontology, "BeeYard").members;
    assert_eq!(members, &[("Old Oak".to_owned(), vec!["The Oak".to_owned()])]);

    let kept = relation(&ontology, "keptBy");
    assert_eq!(kept.labels, ["kept by", "looked after by"]);
    assert_eq!(names(&ontology, &kept.range), ["Keeper", "Club"]);
    assert_eq!(kept.inverse, ontology.relation_named("keeps"));
    let of_all = &Range::Classes(relation(&ontology, "keeps").domain.clone());
    assert_eq!(names(&ontology, of_all), ["Agent", "BeeYard"], "the classes at the top");
    let year = relation(&ontology, "foundingYear");
    assert_eq!((&year.range, year.functional), (&Range::Literal(Datatype::Year), true));
    assert_eq!(relation(&ontology, "motto").range, Range::Literal(Datatype::Text));
}

#[test]
fn what_a_vocabulary_leaves_open_is_said_and_left_out() {
    let ontology = compile(Format::Turtle, BEES).unwrap();
    assert!(ontology.relation_named("seenBy").is_none());
    assert!(ontology.relation_named("shape").is_none());
    let notes = ontology.notes().join("\n");
    for said in [
        "relation seenBy has no range and is left out",
        "relation shape has the datatype <http://www.w3.org/2001/XMLSchema#hexBinary>",
        "has no example sentences; its 4 relations are found by their labels only",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}

#[test]
fn what_is_used_as_a_class_is_one_and_plain_words_are_datatypes() {
    let vocabulary = BEES
        .replace("rdfs:range [", "rdfs:range :Monastery , [")
        .replace("rdfs:range xsd:gYear", "rdfs:range <http://bees.example/concepts#Year>");
    let ontology = compile(Format::Turtle, &vocabulary).unwrap();
    let kept = relation(&ontology, "keptBy");
    assert_eq!(names(&ontology, &kept.range), ["Monastery", "Keeper", "Club"]);
    assert_eq!(relation(&ontology, "foundingYear").range, Range::Literal(Datatype::Year));
    let notes = ontology.notes().join("\n");
    assert!(notes.contains("class Monastery is used as a domain or range and not declared"));
}

#[test]
fn a_vocabulary_without_examples_finds_facts_by_its_labels() {
    let vocabulary = BEES
        .replace("[ owl:unionOf ( :Keeper :Club ) ]", ":Keeper")
        .replace(":keeps a owl:ObjectProperty ; rdfs:domain owl:Thing ; rdfs:range :BeeYard .", "");
    let embedded = Embedded::induce(Arc::new(compile(Format::Turtle, &vocabulary).unwrap()));
    let graph = embedded.extract("Old Oak is kept by Anna Holt.", &Parameters::default());
    let kept = ("Old Oak".to_owned(), "keptBy".to_owned(), "Anna Holt".to_owned());
    assert!(facts(&graph).contains(&kept), "{:?}", facts(&graph));
}

#[test]
fn what_is_wrong_in_turtle_is_told_with_its_line() {
    for (from, to, line, said) in [
        (":Agent a owl:Class .", ":Agent a owl:Class ;; , .", 10, "is no Turtle"),
        (":Agent a owl:Class .", ":Agent a owls:Class .", 10, "is no Turtle"),
        (":Club a rdfs:Class", "<http://other.example/Keeper> a rdfs:Class", 13, "twice"),
    ] {
        assert!(BEES.contains(from), "{from}");
        let error = compile(Format::Turtle, &BEES.replace(from, to)).unwrap_err();
        let problem = &error.problems[0];
        assert!(problem.message.contains(said), "{said}: {error}");
        assert_eq!(problem.line, Some(line), "{error}");
    }
    let empty = compile(Format::Turtle, "").unwrap_err();
    assert!(empty.problems[0].message.contains("has no class"), "{empty}");
}

/// In the layout of the benchmark; the terms are ours.
const LAYOUT: &str = r#"{
  "title": "Bee Ontology", "id": "ont_bees",
  "concepts": [
    {"qid": "Q1", "label": "bee yard"},
    {"qid": "Q2", "label": "keeper"},
    {"qid": "Other", "label": "keeper"}
  ],
  "relations": [
    {"pid": "P1", "label": "kept by", "domain": "Q1", "range": "Q2"},
    {"pid": "P2", "label": "inception", "domain": "Q1", "range": ""},
    {"pid": "foundingYear", "label": "foundingYear", "domain": "Q1", "range": "Year"},
    {"pid": "P3", "label": "lies in", "domain": "Q1", "range": "Place"}
  ]
}"#;

#[test]
fn an_ontology_of_text2kgbench_is_read_as_it_is() {
    let source = Source { format: Format::Json, text: LAYOUT.to_owned() };
    let ontology = source.compile(None).unwrap();
    assert_eq!((ontology.id(), ontology.label()), ("ont_bees", "Bee Ontology"));
    let yard = class(&ontology, "bee yard");
    assert_eq!(yard.iri.as_deref(), Some("http://www.wikidata.org/entity/Q1"));
    assert!(ontology.class_named("keeper (Other)").is_some());
    let kept = relation(&ontology, "kept by");
    assert_eq!(names(&ontology, &kept.range), ["keeper"]);
    assert_eq!(kept.iri.as_deref(), Some("http://www.wikidata.org/prop/direct/P1"));
    assert_eq!(relation(&ontology, "inception").range, Range::Literal(Datatype::Date));
    let year = relation(&ontology, "foundingYear");
    assert_eq!(
        (&year.labels[..], &year.range),
        (&["founding year".to_owned()][..], &Range::Literal(Datatype::Year))
    );
    assert_eq!(names(&ontology, &relation(&ontology, "lies in").range), ["Place"]);
    let notes = ontology.notes().join("\n");
    assert!(notes.contains("concept Place is referred to and not listed"), "{notes}");
    assert!(notes.contains("relation inception has no range; its objects are read as xsd:date"));

    let torn = LAYOUT.replace("\"label\": \"kept by\", ", "");
    let error = compile(Format::Json, &torn).unwrap_err();
    assert_eq!(error.problems[0].line, Some(9), "{error}");
    assert_eq!(error.problems[0].place, "relations 1", "{error}");
    assert!(error.problems[0].message.contains("missing field `label`"), "{error}");
}

#[test]
fn an_id_that_is_given_goes_before_the_packs_own_and_is_no_part_of_the_version() {
    let source = Source { format: Format::Json, text: LAYOUT.to_owned() };
    let (own, given) = (source.compile(None).unwrap(), source.compile(Some("bees")).unwrap());
    assert_eq!((own.id(), given.id()), ("ont_bees", "bees"));
    assert_eq!(own.version(), given.version());
    let error = source.compile(Some("Bees!")).unwrap_err();
    assert!(error.to_string().contains("lower-case"), "{error}");
}

#[test]
fn of_very_many_mistakes_the_first_are_told() {
    use std::fmt::Write;
    let mut pack = "id = \"x\"\n[[class]]\nname = \"A\"\n".to_owned();
    for at in 0..1_500 {
        write!(pack, "[[relation]]\nname = \"r{at}\"\ndomain = [\"B\"]\nrange = [\"C\"]\n")
            .unwrap();
    }
    let error = compile(Format::Toml, &pack).unwrap_err();
    assert_eq!(error.problems.len(), 101);
    assert!(error.problems[100].message.contains("more mistakes than these 100"), "{error}");
}

#[test]
fn the_largest_pack_is_read_and_what_is_larger_is_refused() {
    let mut pack = "id = \"x\"\n[[class]]\nname = \"A\"\n[[relation]]\nname = \"r\"\n\
                    domain = [\"A\"]\nrange = [\"A\"]\n"
        .to_owned();
    let sentence = "[[sentence]]\ntext = \"Anna Moe knows Kari Lund.\"\n\
                    triples = [[\"Anna Moe\", \"r\", \"Kari Lund\"]]\n";
    pack.push_str(&sentence.repeat((MAX_SOURCE - pack.len()) / sentence.len()));
    pack.push_str(&"\n".repeat(MAX_SOURCE - pack.len()));
    let ontology = compile(Format::Toml, &pack).unwrap();
    assert!(ontology.sentences().len() > 150_000, "{}", ontology.sentences().len());
    let notes = ontology.notes().join("\n");
    assert!(notes.contains("of them, evenly chosen, are learned from"), "{notes}");
    let error = compile(Format::Toml, &format!("{pack}\n")).unwrap_err();
    assert!(error.to_string().contains("over the limit of 16777216"), "{error}");
}

#[test]
fn what_does_not_fit_is_told_with_its_place_and_what_to_do() {
    let head = "id = \"x\"\n[[class]]\nname = \"A\"\n";
    let toml = |rest: &str| (Format::Toml, format!("{head}{rest}"));
    for (format, text, told) in [
        (Format::Toml, "[[class]]\nname = \"A\"\n".to_owned(), "id = \"my-ontology\""),
        (Format::Toml, "{\"id\": \"x\"}".to_owned(), "if this is JSON"),
        (Format::Json, head.to_owned(), "if this is TOML"),
        (
            Format::Json,
            "{\"id\":\"x\",\"label\":5}".to_owned(),
            "label: found the number `5`, expected a",
        ),
        toml_case(
            toml("[[relation]]\nname = 5\n"),
            "line 5: relation 1: name: found the number `5`",
        ),
        toml_case(
            toml("[[sentence]]\ntext = \"A\"\nfacts = [[\"A\", \"b\"]]\n"),
            "line 6: sentence 1: ",
        ),
    ] {
        let error = compile(format, &text).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
        assert!(!error.contains("struct") && !error.contains("invalid type"), "{error}");
    }
}

fn toml_case((format, text): (Format, String), told: &str) -> (Format, String, &str) {
    (format, text, told)
}
