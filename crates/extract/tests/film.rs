//! The film pack on sentences it was not written from.

mod score;

use score::{Score, built_in};

fn check(score: &Score) {
    let (precision, recall) = (score.precision(), score.recall());
    println!("precision {precision:.3} recall {recall:.3} of {} facts", score.expected);
    assert!(precision >= 0.8, "precision {precision:.3}, recall {recall:.3}");
    assert!(recall >= 0.5, "precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn held_out_film_sentences_give_their_facts() {
    check(&score::score(&built_in("film"), include_str!("data/held_out_film.jsonl")));
}

#[test]
fn development_film_sentences_give_their_facts() {
    let score = score::score(&built_in("film"), include_str!("data/dev_film.jsonl"));
    println!("{}", score.report);
    check(&score);
}
