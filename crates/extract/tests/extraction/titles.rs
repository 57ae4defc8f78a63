//! Names that are more than words with capitals side by side, and what is only meant.

use crate::score::{built_in, check_facts};

/// Checks that a built-in pack finds exactly these facts in each text.
fn check(pack: &str, texts: &[(&str, &[[&str; 3]])]) {
    check_facts(&built_in(pack), texts);
}

#[test]
fn a_title_is_not_cut_at_its_marks_and_small_words() {
    for title in [
        "Rascals!",
        "Ashes, Embers, Smoke",
        "La mer froide",
        "Beaten by the Rain",
        "The Sailor's Coat",
        "In the Heat of Summer",
        "Rudolf the Greek",
    ] {
        let text = format!("{title} was directed by Anna Berg.");
        check("film", &[(&text, &[[title, "director", "Anna Berg"]])]);
    }
    let directed = ["Grey Harbour", "director", "Anna Berg"];
    check("film", &[("Anna Berg directed ‘Grey Harbour’.", &[directed])]);
    check("film", &[("“Grey Harbour,” directed by Anna Berg, is long.", &[directed])]);
}

#[test]
fn an_owner_is_no_part_of_what_is_owned() {
    let facts = [["Harbour", "director", "Anna Berg"], ["Harbour", "genre", "comedy"]];
    check("film", &[("Anna Berg's Harbour is a comedy.", &facts)]);
}

#[test]
fn what_is_only_meant_is_no_fact() {
    for text in [
        "Anna Berg hoped to direct Grey Harbour.",
        "Anna Berg would have directed Grey Harbour.",
        "Grey Harbour was supposed to be directed by Anna Berg.",
        "Olof Strand asked Anna Berg to direct Grey Harbour.",
    ] {
        check("film", &[(text, &[])]);
    }
}

#[test]
fn a_sentence_without_its_subject_is_about_the_one_before() {
    check(
        "film",
        &[(
            "Grey Harbour is a Danish drama. Anna Berg plays Tove, and Olof Strand plays a priest.",
            &[
                ["Grey Harbour", "country", "Denmark"],
                ["Grey Harbour", "genre", "drama"],
                ["Grey Harbour", "starring", "Anna Berg"],
                ["Grey Harbour", "starring", "Olof Strand"],
            ],
        )],
    );
}

#[test]
fn the_article_belongs_to_names_as_the_pack_writes_them() {
    let text = "The Marlow Company was founded in 1921 by Edna Marlow.";
    let name = "Marlow Company";
    check("company", &[(text, &[[name, "foundedYear", "1921"], [name, "founder", "Edna Marlow"]])]);
}

#[test]
fn a_title_may_open_with_a_preposition_or_hold_two_names() {
    for (text, title) in [
        ("Out of Marlow was directed by Anna Berg.", "Out of Marlow"),
        (
            "Tove and Olof, the third feature of its studio, was directed by Anna Berg.",
            "Tove and Olof",
        ),
    ] {
        check("film", &[(text, &[[title, "director", "Anna Berg"]])]);
    }
}
