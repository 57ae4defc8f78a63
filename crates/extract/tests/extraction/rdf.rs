//! Graphs as RDF, read back by a reader that knows nothing of the writer.

use std::collections::{BTreeMap, BTreeSet};

use oxrdf::{NamedNode, Term, Triple};
use oxttl::{NTriplesParser, TurtleParser};
use quarry_extract::Parameters;
use quarry_extract::graph::{Graph, ntriples, triples, turtle};
use quarry_extract::pack::{Ontologies, Ontology};

use crate::score::{built_in, induced};

const TEXT: &str = "Halden Optics was founded in 1987 by Kari Moe. Halden Optics is based in Bergen. \
    The revenue of Halden Optics was $3.5 million.";

fn company() -> (Graph, std::sync::Arc<Ontology>) {
    let ontologies = Ontologies::built_in().unwrap();
    let mut graph = built_in("company").extract(TEXT, &Parameters::default());
    graph.request_id = "r 1".to_owned();
    graph.document_id = Some("a report/2".to_owned());
    graph.entities[0].aliases.push("\"Halden\" \\\n<🔭>".to_owned());
    (graph, ontologies.get("company").unwrap())
}

fn read(text: &str) -> BTreeSet<String> {
    let read = TurtleParser::new().for_slice(text);
    read.map(|triple| triple.unwrap().to_string()).collect()
}

#[test]
fn turtle_and_n_triples_are_read_back_as_the_same_triples() {
    let (graph, ontology) = company();
    let written = triples(&graph, &ontology).unwrap();
    let written: BTreeSet<String> = written.iter().map(Triple::to_string).collect();
    assert!(written.len() > 30, "{}", written.len());
    assert_eq!(read(&turtle(&graph, &ontology).unwrap()), written);
    let lines = ntriples(&graph, &ontology).unwrap();
    let lines = NTriplesParser::new().for_slice(&lines);
    assert_eq!(lines.map(|t| t.unwrap().to_string()).collect::<BTreeSet<_>>(), written);
}

#[test]
fn every_fact_is_a_triple_of_public_terms() {
    let (graph, ontology) = company();
    let triples = triples(&graph, &ontology).unwrap();
    let node = |name: &str| {
        let entity = graph.entities.iter().find(|e| e.name == name).unwrap();
        Term::from(NamedNode::new(format!("urn:quarry:graph:r%201:{}", entity.id)).unwrap())
    };
    let objects = |predicate: &str| -> BTreeSet<String> {
        let holds = |t: &&Triple| {
            t.predicate.as_str() == predicate
                && Term::from(t.subject.clone()) == node("Halden Optics")
        };
        triples.iter().filter(holds).map(|t| t.object.to_string()).collect()
    };
    let one = |term: String| BTreeSet::from([term]);
    let year = "\"1987\"^^<http://www.w3.org/2001/XMLSchema#gYear>";
    let money = "\"3500000\"^^<http://www.w3.org/2001/XMLSchema#decimal>";
    assert_eq!(objects("http://dbpedia.org/ontology/foundingYear"), one(year.to_owned()));
    assert_eq!(objects("http://dbpedia.org/ontology/revenue"), one(money.to_owned()));
    let headquarters = objects("http://dbpedia.org/ontology/headquarter");
    assert_eq!(headquarters, one(node("Bergen").to_string()), "{graph:#?}");
    let label = "http://www.w3.org/2000/01/rdf-schema#label";
    assert_eq!(objects(label), one("\"Halden Optics\"".to_owned()));
    let unit = triples.iter().find(|t| t.predicate.as_str() == "urn:quarry:vocabulary:unit");
    assert_eq!(unit.unwrap().object.to_string(), "\"USD\"");
}

#[test]
fn every_statement_names_the_place_that_states_it() {
    let (graph, ontology) = company();
    let triples = triples(&graph, &ontology).unwrap();
    let mut by_subject: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    for triple in &triples {
        let of = by_subject.entry(triple.subject.to_string()).or_default();
        of.insert(triple.predicate.as_str(), triple.object.to_string());
    }
    let mut places = 0;
    for described in by_subject.values() {
        let Some(place) = described.get("http://www.w3.org/ns/prov#wasDerivedFrom") else {
            continue;
        };
        let place = &by_subject[place];
        for end in ["start", "end"] {
            assert!(place.contains_key(format!("http://www.w3.org/ns/oa#{end}").as_str()));
        }
        places += 1;
    }
    assert_eq!(places, graph.relations.len());
}

#[test]
fn terms_without_an_iri_get_one_of_ours() {
    let pack = "id = \"x\"\n[[class]]\nname = \"Böse Sache\"\nexamples = [\"Kobold\"]\n";
    let extractor = induced(pack);
    let graph = extractor.extract("Ein Kobold.", &Parameters::default());
    assert_eq!(graph.entities.len(), 1);
    let text = turtle(&graph, extractor.ontology()).unwrap();
    assert!(text.contains("urn:quarry:ontology:x:B%C3%B6se%20Sache"), "{text}");
    assert!(!read(&text).is_empty());
}
