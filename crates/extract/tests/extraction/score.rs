//! Extractors of tests, and what they find.

use std::collections::BTreeSet;
use std::sync::Arc;

use quarry_extract::evaluation::{self, Evaluation};
use quarry_extract::graph::{Graph, verify};
use quarry_extract::pack::{Ontologies, Ontology};
use quarry_extract::{Embedded, Parameters};

/// Subject, relation, object.
pub(crate) type Fact = (String, String, String);

pub(crate) fn built_in(id: &str) -> Embedded {
    Embedded::induce(Ontologies::built_in().unwrap().get(id).unwrap())
}

pub(crate) fn induced(toml: &str) -> Embedded {
    Embedded::induce(Arc::new(Ontology::from_toml(toml).unwrap()))
}

/// The facts of a graph by names and values.
pub(crate) fn facts(graph: &Graph) -> BTreeSet<Fact> {
    evaluation::facts(graph).into_iter().map(|fact| (fact.0, fact.1, fact.2)).collect()
}

/// Compares a built-in pack's extractor with annotated lines.
pub(crate) fn score(extractor: &Embedded, jsonl: &str) -> Evaluation {
    let texts = evaluation::annotated(jsonl).unwrap();
    evaluation::evaluate(extractor, &texts, &Parameters::default())
}

/// Checks that each text gives exactly its facts.
pub(crate) fn check_facts(extractor: &Embedded, texts: &[(&str, &[[&str; 3]])]) {
    for (text, expected) in texts {
        let graph = extractor.extract(text, &Parameters::default());
        assert_eq!(verify(&graph, text), Ok(()));
        let owned = |fact: &[&str; 3]| (fact[0].into(), fact[1].into(), fact[2].into());
        assert_eq!(facts(&graph), expected.iter().map(owned).collect(), "{text}");
    }
}
