//! Strict evaluation: a predicted fact counts only if subject, relation and object agree with the
//! annotation; every other prediction is wrong, every other annotation missed.

use std::collections::{BTreeMap, BTreeSet};

use quarry_types::in_words_of_json;
use serde::{Deserialize, Serialize};

use crate::{
    Embedded, Parameters,
    graph::{Graph, Object, verify},
};

/// Subject, relation and object, by name or in the lexical form of the literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fact(pub String, pub String, pub String);

/// A text with all the facts that it states, one line of a JSON Lines file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotated {
    /// The text.
    pub text: String,
    /// Its facts; none where it states none.
    pub facts: Vec<Fact>,
}

/// A line that is no annotated text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {message}; a line is {{\"text\": \"…\", \"facts\": [[\"subject\", \"relation\", \"object\"]]}}"
)]
pub struct BadLine {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

/// How many facts were predicted, annotated, and both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Predicted and annotated.
    pub right: u32,
    /// Predicted.
    pub predicted: u32,
    /// Annotated.
    pub expected: u32,
}

impl Counts {
    /// Share of the predicted facts that are right; 0 where nothing was predicted.
    pub fn precision(self) -> f64 {
        f64::from(self.right) / f64::from(self.predicted.max(1))
    }

    /// Share of the annotated facts that were predicted; 0 where nothing was annotated.
    pub fn recall(self) -> f64 {
        f64::from(self.right) / f64::from(self.expected.max(1))
    }

    /// Harmonic mean of both.
    pub fn f1(self) -> f64 {
        2.0 * f64::from(self.right) / f64::from((self.predicted + self.expected).max(1))
    }
}

/// A text on which prediction and annotation differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The text.
    pub text: String,
    /// Annotated and not predicted.
    pub missed: Vec<Fact>,
    /// Predicted and not annotated.
    pub wrong: Vec<Fact>,
}

/// What an evaluation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evaluation {
    /// Texts that were read.
    pub texts: u32,
    /// All relations.
    pub total: Counts,
    /// Each relation that was predicted or annotated.
    pub relations: BTreeMap<String, Counts>,
    /// Texts with a span that does not say what it claims; none, unless there is a bug.
    pub unverified: u32,
    /// Where prediction and annotation differ.
    pub differences: Vec<Difference>,
}

/// Reads annotated texts, one per line; empty lines are passed over.
///
/// # Errors
/// The first line that is none.
pub fn annotated(lines: &str) -> Result<Vec<Annotated>, BadLine> {
    let mut texts = Vec::new();
    for (line, text) in (1_u32..).zip(lines.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let read = serde_json::from_str(text);
        texts.push(
            read.map_err(|error| BadLine { line, message: in_words_of_json(&error.to_string()) })?,
        );
    }
    Ok(texts)
}

/// The facts of a graph by names and values.
pub fn facts(graph: &Graph) -> BTreeSet<Fact> {
    let names: BTreeMap<&str, &str> =
        graph.entities.iter().map(|entity| (entity.id.as_str(), entity.name.as_str())).collect();
    let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
    graph
        .relations
        .iter()
        .map(|fact| {
            let object = match &fact.object {
                Object::Entity { entity } => name(entity),
                Object::Literal(literal) => literal.value.clone(),
            };
            Fact(name(&fact.subject), fact.predicate.clone(), object)
        })
        .collect()
}

/// Extracts from every text and compares.
pub fn evaluate(extractor: &Embedded, texts: &[Annotated], parameters: &Parameters) -> Evaluation {
    let mut evaluation = Evaluation::default();
    for annotated in texts {
        let graph = extractor.extract(&annotated.text, parameters);
        evaluation.texts += 1;
        evaluation.unverified += u32::from(verify(&graph, &annotated.text).is_err());
        evaluation.compare(annotated, &facts(&graph));
    }
    evaluation
}

impl Evaluation {
    fn compare(&mut self, annotated: &Annotated, found: &BTreeSet<Fact>) {
        let expected: BTreeSet<Fact> = annotated.facts.iter().cloned().collect();
        for fact in found.union(&expected) {
            let (is_found, is_expected) = (found.contains(fact), expected.contains(fact));
            let of_relation = self.relations.entry(fact.1.clone()).or_default();
            for counts in [of_relation, &mut self.total] {
                counts.right += u32::from(is_found && is_expected);
                counts.predicted += u32::from(is_found);
                counts.expected += u32::from(is_expected);
            }
        }
        if *found != expected {
            self.differences.push(Difference {
                text: annotated.text.clone(),
                missed: expected.difference(found).cloned().collect(),
                wrong: found.difference(&expected).cloned().collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prediction_that_is_not_annotated_is_wrong() {
        let fact = |object: &str| Fact("a".into(), "r".into(), object.into());
        let annotated = Annotated { text: String::new(), facts: vec![fact("x"), fact("y")] };
        let mut evaluation = Evaluation::default();
        evaluation.compare(&annotated, &BTreeSet::from([fact("x"), fact("z"), fact("w")]));
        assert_eq!(evaluation.total, Counts { right: 1, predicted: 3, expected: 2 });
        assert_eq!(evaluation.relations["r"], evaluation.total);
        assert!((evaluation.total.precision() - 1.0 / 3.0).abs() < 1e-9);
        assert!((evaluation.total.recall() - 0.5).abs() < 1e-9);
        assert!((evaluation.total.f1() - 0.4).abs() < 1e-9);
        assert_eq!(evaluation.differences[0].missed, [fact("y")]);
        assert_eq!(evaluation.differences[0].wrong, [fact("w"), fact("z")]);
    }

    #[test]
    fn a_line_that_is_no_annotated_text_is_named() {
        let good = "{\"text\": \"x\", \"facts\": [[\"a\", \"r\", \"b\"]]}";
        assert_eq!(annotated(&format!("{good}\n\n{good}")).unwrap().len(), 2);
        let error = annotated(&format!("{good}\n{{\"text\": 1}}")).unwrap_err();
        assert_eq!(error.line, 2);
    }
}
