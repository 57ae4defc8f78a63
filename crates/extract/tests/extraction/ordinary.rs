//! Sentences as people write them: each states what is listed and nothing else.

use crate::score::{built_in, check_facts};
use quarry_extract::Embedded;
use quarry_extract::pack::{Format, Source};

const BRIDGES: &str = r#"
@prefix : <http://example.org/bridges#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
:Bridge a owl:Class ; rdfs:label "bridge" .
:Architect a owl:Class ; rdfs:label "architect" .
:River a owl:Class ; rdfs:label "river" .
:designedBy a owl:ObjectProperty ; rdfs:domain :Bridge ; rdfs:range :Architect .
:crosses a owl:ObjectProperty ; rdfs:domain :Bridge ; rdfs:range :River .
:opened a owl:DatatypeProperty ; rdfs:label "opened in" ;
    rdfs:domain :Bridge ; rdfs:range xsd:gYear .
"#;

#[test]
fn a_date_belongs_to_the_word_that_governs_it() {
    let born = ["Nora Vik", "birthPlace", "Bodø"];
    let on = ["Nora Vik", "birthDate", "1901-05-02"];
    let died = ["Nora Vik", "deathPlace", "Tromsø"];
    let until = ["Nora Vik", "deathDate", "1970-06-09"];
    check_facts(
        &built_in("person"),
        &[
            ("Nora Vik was born in Bodø on 2 May 1901.", &[born, on]),
            ("Nora Vik died in Tromsø on 9 June 1970.", &[died, until]),
            (
                "Nora Vik was born in Bodø on 2 May 1901 and died in Tromsø on 9 June 1970.",
                &[born, on, died, until],
            ),
            (
                "Nora Vik founded Vik House in Bodø in 1931.",
                &[["Nora Vik", "founderOf", "Vik House"]],
            ),
        ],
    );
}

#[test]
fn a_person_does_what_the_own_verb_says() {
    let directed = ["Grey Harbour", "director", "Anna Berg"];
    let written = ["Grey Harbour", "writer", "Olof Strand"];
    check_facts(
        &built_in("film"),
        &[
            (
                "Grey Harbour was directed by Anna Berg and written by Olof Strand.",
                &[directed, written],
            ),
            (
                "Grey Harbour was written by Olof Strand and directed by Anna Berg.",
                &[directed, written],
            ),
            (
                "Anna Berg directed Grey Harbour. Ben Lund photographed the film, and Mira Toft wrote \
                 its music.",
                &[
                    directed,
                    ["Grey Harbour", "cinematography", "Ben Lund"],
                    ["Grey Harbour", "musicComposer", "Mira Toft"],
                ],
            ),
        ],
    );
}

#[test]
fn what_is_denied_is_no_fact() {
    let married = ["Elsa Grün", "spouse", "Hugo Lang"];
    check_facts(
        &built_in("person"),
        &[
            ("Elsa Grün was not born in Vienna.", &[]),
            ("Elsa Grün never met Jonas Kern.", &[]),
            ("Elsa Grün didn't study at the University of Graz.", &[]),
            ("Neither Elsa Grün nor Hugo Lang was born in Vienna.", &[]),
            ("Elsa Grün refused to join the Royal Society.", &[]),
            ("Nobody met Elsa Grün in Basel.", &[]),
            ("Elsa Grün married Hugo Lang, not Jonas Kern.", &[married]),
            (
                "Elsa Grün, who never married, was born in Graz.",
                &[["Elsa Grün", "birthPlace", "Graz"]],
            ),
            (
                "Elsa Grün did not know Jonas Kern and was born in Graz.",
                &[["Elsa Grün", "birthPlace", "Graz"]],
            ),
            (
                "Elsa Grün was not only a poet but also a sculptor.",
                &[["Elsa Grün", "occupation", "poet"], ["Elsa Grün", "occupation", "sculptor"]],
            ),
        ],
    );
    check_facts(
        &built_in("film"),
        &[
            ("Night Ferry was not directed by Paul Hale.", &[]),
            ("Paul Hale did not write or direct Night Ferry.", &[]),
            (
                "Night Ferry was directed by Anna Berg, not by Paul Hale.",
                &[["Night Ferry", "director", "Anna Berg"]],
            ),
            ("Night Ferry was not released until 1950.", &[["Night Ferry", "releaseYear", "1950"]]),
        ],
    );
}

#[test]
fn a_text_about_something_else_states_nothing() {
    check_facts(
        &built_in("company"),
        &[
            ("Nobody knew that the train had been late.", &[]),
            ("Everybody said that the tram had been cold.", &[]),
            ("Dinner was served at eight.", &[]),
            ("Lunch was over at two.", &[]),
            ("Yesterday the children played near the river.", &[]),
            (
                "Nordvik Paper had a turnover of 40 million.",
                &[["Nordvik Paper", "revenue", "40000000"]],
            ),
        ],
    );
}

#[test]
fn a_language_without_examples_is_not_read() {
    let war = ["Das Boot", "genre", "war"];
    check_facts(
        &built_in("film"),
        &[
            ("Das Boot is a war film. Jürgen Prochnow spielte die Hauptrolle.", &[war]),
            ("Das Boot is a war film. Der Film wurde von Bavaria Film produziert.", &[war]),
        ],
    );
    check_facts(&built_in("person"), &[("Elsa Grün lebte in Basel und malte Bilder.", &[])]);
}

#[test]
fn a_label_says_which_way_a_relation_leads() {
    let source = Source { format: Format::Turtle, text: BRIDGES.to_owned() };
    let extractor = Embedded::induce(source.compile(Some("bridges")).unwrap().into());
    let designed = ["Harbour Span", "designedBy", "Mira Toft"];
    let opened = ["Harbour Span", "opened", "1931"];
    check_facts(
        &extractor,
        &[
            ("The bridge Harbour Span was designed by the architect Mira Toft.", &[designed]),
            ("Harbour Span was designed by Mira Toft.", &[designed]),
            ("Mira Toft designed Harbour Span.", &[designed]),
            ("The architect Mira Toft designed the bridge Harbour Span.", &[designed]),
            ("Harbour Span was not designed by Mira Toft.", &[]),
            (
                "The bridge Harbour Span was designed by the architect Mira Toft and opened in 1931.",
                &[designed, opened],
            ),
            ("Harbour Span was designed by Mira Toft and opened in 1931.", &[designed, opened]),
            (
                "Harbour Span crosses the river Alder. It opened in 1931.",
                &[["Harbour Span", "crosses", "Alder"], opened],
            ),
        ],
    );
}
