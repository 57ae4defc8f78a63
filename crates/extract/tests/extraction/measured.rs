//! The built-in packs on sentences that they were not written from. The held-out and unseen files
//! are about other subjects than the packs; the unseen ones were committed before any extractor was
//! run on them. Failures of either name relations and counts only, so that nobody tunes to their
//! sentences.
//!
//! The blind and fresh files were written without a look at the extractor or at what it finds, in the words of
//! encyclopaedias and newspapers; they are harder, and what is reached on them is held by a floor of
//! their own. The rough files are such sentences too, for tuning: the packs have sentences that were
//! written with a look at them, so they say what was learned rather than what is new.

use std::collections::BTreeSet;

use crate::score::{built_in, score};
use quarry_extract::evaluation::{self, Evaluation};

/// Least share of predicted facts that are right.
const PRECISION: f64 = 0.8;
/// Least share of annotated facts that are found.
const RECALL: f64 = 0.5;
/// Least number of texts in a file that measures.
const TEXTS: u32 = 30;

/// What is reached, in precision and recall, and is not to be lost.
struct Floor(f64, f64);

/// What is asked for.
const ASKED: Floor = Floor(PRECISION, RECALL);

fn check(evaluation: &Evaluation, floor: &Floor, said: &str) {
    let (precision, recall) = (evaluation.total.precision(), evaluation.total.recall());
    let said = format!("precision {precision:.3}, recall {recall:.3}\n{said}");
    assert!(precision >= floor.0 && recall >= floor.1, "{said}");
    assert_eq!(evaluation.unverified, 0, "every span says what it claims");
}

fn check_held_out(id: &str, lines: &str) {
    let evaluation = score(&built_in(id), lines);
    assert!(evaluation.texts >= TEXTS, "{id}: {}", evaluation.texts);
    check(&evaluation, &ASKED, &format!("{:#?}", evaluation.relations));
}

/// Checks that a file's subjects occur neither in the pack nor among the sentences for tuning.
fn check_unseen(id: &str, lines: &str, known: &[&str]) {
    let texts = evaluation::annotated(lines).unwrap();
    let subjects: BTreeSet<&str> =
        texts.iter().flat_map(|text| &text.facts).map(|fact| fact.0.as_str()).collect();
    for subject in subjects {
        assert!(!known.iter().any(|text| text.contains(subject)), "{subject} is known");
    }
    check_held_out(id, lines);
}

fn check_reached(id: &str, lines: &str, reached: &Floor) {
    let evaluation = score(&built_in(id), lines);
    check(&evaluation, reached, &format!("{:#?}", evaluation.relations));
}

fn check_development(id: &str, lines: &str) {
    let evaluation = score(&built_in(id), lines);
    check(&evaluation, &ASKED, &format!("{:#?}", evaluation.differences));
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
fn unseen_company_sentences_give_their_facts() {
    let known = [
        include_str!("../../packs/company.toml"),
        include_str!("data/dev_company.jsonl"),
        include_str!("data/held_out_company.jsonl"),
    ];
    check_unseen("company", include_str!("data/unseen_company.jsonl"), &known);
}

#[test]
fn unseen_film_sentences_give_their_facts() {
    let known = [
        include_str!("../../packs/film.toml"),
        include_str!("data/dev_film.jsonl"),
        include_str!("data/held_out_film.jsonl"),
    ];
    check_unseen("film", include_str!("data/unseen_film.jsonl"), &known);
}

#[test]
fn unseen_person_sentences_give_their_facts() {
    let known = [
        include_str!("../../packs/person.toml"),
        include_str!("data/dev_person.jsonl"),
        include_str!("data/held_out_person.jsonl"),
    ];
    check_unseen("person", include_str!("data/unseen_person.jsonl"), &known);
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

#[test]
fn blind_company_sentences_give_what_they_gave() {
    let lines = include_str!("data/blind_company.jsonl");
    check_reached("company", lines, &Floor(0.8, 0.66));
}

#[test]
fn rough_company_sentences_give_what_they_gave() {
    let lines = include_str!("data/rough_company.jsonl");
    check_reached("company", lines, &Floor(0.88, 0.85));
}

#[test]
fn blind_film_sentences_give_what_they_gave() {
    let lines = include_str!("data/blind_film.jsonl");
    check_reached("film", lines, &Floor(0.85, 0.6));
}

#[test]
fn rough_film_sentences_give_what_they_gave() {
    let lines = include_str!("data/rough_film.jsonl");
    check_reached("film", lines, &Floor(0.84, 0.8));
}

#[test]
fn blind_person_sentences_give_what_they_gave() {
    let lines = include_str!("data/blind_person.jsonl");
    check_reached("person", lines, &Floor(0.88, 0.7));
}

#[test]
fn rough_person_sentences_give_what_they_gave() {
    let lines = include_str!("data/rough_person.jsonl");
    check_reached("person", lines, &Floor(0.95, 0.91));
}

#[test]
fn fresh_company_sentences_give_what_they_gave() {
    check_reached("company", include_str!("data/fresh_company.jsonl"), &Floor(0.82, 0.64));
}

#[test]
fn fresh_film_sentences_give_what_they_gave() {
    check_reached("film", include_str!("data/fresh_film.jsonl"), &Floor(0.87, 0.76));
}

#[test]
fn fresh_person_sentences_give_what_they_gave() {
    check_reached("person", include_str!("data/fresh_person.jsonl"), &Floor(0.88, 0.62));
}
