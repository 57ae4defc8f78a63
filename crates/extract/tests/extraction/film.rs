//! The film pack on sentences it was not written from.

use crate::score::{Score, built_in};

/// Least share of predicted facts that are right.
const PRECISION: f64 = 0.8;
/// Least share of annotated facts that are found.
const RECALL: f64 = 0.5;

fn check(score: &Score) {
    let (precision, recall) = (score.precision(), score.recall());
    let said = format!("precision {precision:.3}, recall {recall:.3}\n{}", score.report);
    assert!(precision >= PRECISION && recall >= RECALL, "{said}");
}

#[test]
fn held_out_film_sentences_give_their_facts() {
    check(&crate::score::score(&built_in("film"), include_str!("data/held_out_film.jsonl")));
}

#[test]
fn development_film_sentences_give_their_facts() {
    let score = crate::score::score(&built_in("film"), include_str!("data/dev_film.jsonl"));
    check(&score);
}
