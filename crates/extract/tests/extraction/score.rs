//! Strict scoring: a predicted fact counts only if subject, relation and object agree with the
//! annotation; every other prediction is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use quarry_extract::graph::{Graph, Object};
use quarry_extract::pack::{Ontologies, Ontology};
use quarry_extract::{Embedded, Parameters};

/// Subject, relation, object.
pub(crate) type Fact = (String, String, String);

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Annotated {
    pub(crate) text: String,
    pub(crate) facts: Vec<Fact>,
}

#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) right: u32,
    pub(crate) predicted: u32,
    pub(crate) expected: u32,
    pub(crate) report: String,
}

impl Score {
    pub(crate) fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from(self.predicted.max(1))
    }

    pub(crate) fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from(self.expected.max(1))
    }
}

pub(crate) fn built_in(id: &str) -> Embedded {
    Embedded::induce(Ontologies::built_in().unwrap().get(id).unwrap())
}

pub(crate) fn induced(toml: &str) -> Embedded {
    Embedded::induce(Arc::new(Ontology::from_toml(toml).unwrap()))
}

/// The facts of a graph by names and values.
pub(crate) fn facts(graph: &Graph) -> BTreeSet<Fact> {
    let name = |id: &str| graph.entities.iter().find(|e| e.id == id).unwrap().name.clone();
    graph
        .relations
        .iter()
        .map(|fact| {
            let object = match &fact.object {
                Object::Entity { entity } => name(entity),
                Object::Literal(literal) => literal.value.clone(),
            };
            (name(&fact.subject), fact.predicate.clone(), object)
        })
        .collect()
}

pub(crate) fn score(extractor: &Embedded, jsonl: &str) -> Score {
    let mut score = Score::default();
    for line in jsonl.lines() {
        let annotated: Annotated = serde_json::from_str(line).unwrap();
        let graph = extractor.extract(&annotated.text, &Parameters::default());
        let found = facts(&graph);
        let expected: BTreeSet<Fact> = annotated.facts.into_iter().collect();
        let count = |n: usize| u32::try_from(n).unwrap();
        score.right += count(found.intersection(&expected).count());
        score.predicted += count(found.len());
        score.expected += count(expected.len());
        if found != expected {
            let missed: Vec<_> = expected.difference(&found).collect();
            let wrong: Vec<_> = found.difference(&expected).collect();
            let said = [format!("missed {missed:?}"), format!("wrong {wrong:?}")].join(
                "
  ",
            );
            score.report.push_str(&[annotated.text.as_str(), said.as_str(), ""].join(
                "
  ",
            ));
        }
    }
    score
}
