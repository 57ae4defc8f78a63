//! The built-in packs on sentences that they were not written from. The held-out files are about
//! other subjects than the packs and were written before anything was tuned; failures of a
//! held-out file name relations and counts only, so that nobody tunes to its sentences.

use crate::score::{built_in, score};
use quarry_extract::evaluation::Evaluation;

/// Least share of predicted facts that are right.
const PRECISION: f64 = 0.8;
/// Least share of annotated facts that are found.
const RECALL: f64 = 0.5;
/// Least number of texts in a file that measures.
const TEXTS: u32 = 30;

fn check(evaluation: &Evaluation, said: &str) {
    let (precision, recall) = (evaluation.total.precision(), evaluation.total.recall());
    let said = format!("precision {precision:.3}, recall {recall:.3}\n{said}");
    assert!(precision >= PRECISION && recall >= RECALL, "{said}");
    assert_eq!(evaluation.unverified, 0, "every span says what it claims");
}

fn check_held_out(id: &str, lines: &str) {
    let evaluation = score(&built_in(id), lines);
    assert!(evaluation.texts >= TEXTS, "{id}: {}", evaluation.texts);
    check(&evaluation, &format!("{:#?}", evaluation.relations));
}

fn check_development(id: &str, lines: &str) {
    let evaluation = score(&built_in(id), lines);
    check(&evaluation, &format!("{:#?}", evaluation.differences));
}

#[test]
fn held_out_company_sentences_give_their_facts() {
    check_held_out("company", include_str!("data/held_out_company.jsonl"));
}

#[test]
fn held_out_film_sentences_give_their_facts() {
    check_held_out("film", include_str!("data/held_out_film.jsonl"));
}

#[test]
fn held_out_person_sentences_give_their_facts() {
    check_held_out("person", include_str!("data/held_out_person.jsonl"));
}

#[test]
fn development_company_sentences_give_their_facts() {
    check_development("company", include_str!("data/dev_company.jsonl"));
}

#[test]
fn development_film_sentences_give_their_facts() {
    check_development("film", include_str!("data/dev_film.jsonl"));
}

#[test]
fn development_person_sentences_give_their_facts() {
    check_development("person", include_str!("data/dev_person.jsonl"));
}
