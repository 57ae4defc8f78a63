//! What is not wrong with a pack, and costs something.

use std::collections::BTreeSet;

use super::{Ontology, Triple};
use crate::induce::lessons;

/// How many relations are named; a pack may have thousands.
const MOST_NAMED: usize = 10;

/// Everything that a pack lacks, and what that costs.
pub(super) fn of(ontology: &Ontology) -> Vec<String> {
    let mut notes = Vec::new();
    let sentences = ontology.sentences();
    if sentences.is_empty() {
        let relations = ontology.relations().len();
        notes.push(format!(
            "has no example sentences; its {relations} relations are found by their labels only, \
             at lower recall"
        ));
        return notes;
    }
    let shown: BTreeSet<&str> = sentences
        .iter()
        .flat_map(|sentence| &sentence.triples)
        .map(|Triple(_, relation, _)| relation.as_str())
        .collect();
    let unseen: Vec<&str> = ontology
        .relations()
        .iter()
        .map(|relation| relation.name.as_str())
        .filter(|relation| !shown.contains(relation))
        .collect();
    for relation in unseen.iter().take(MOST_NAMED) {
        notes.push(format!(
            "relation {relation} has no example sentence; it is found by its labels only, at \
             lower recall"
        ));
    }
    if unseen.len() > MOST_NAMED {
        notes.push(format!("{} more relations have none", unseen.len() - MOST_NAMED));
    }
    if !ontology.is_fully_annotated() {
        notes.push(
            "the examples are not said to be fully annotated; with `fully_annotated = true`, and \
             every triple given, precision is higher"
                .to_owned(),
        );
    }
    let learned = lessons(ontology).len();
    if learned < sentences.len() {
        notes.push(format!(
            "has {} example sentences; {learned} of them, evenly chosen, are learned from",
            sentences.len()
        ));
    }
    notes
}
