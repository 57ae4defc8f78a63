//! Features of a name that speak for its class: its words, its shape, its neighbours.

use super::{Feature, Reading, feature};
use crate::pack::{ClassId, Ontology};
use crate::span::{Candidate, Form, Lexicon};
use crate::text::{Source, Token, TokenKind};

/// Features of the name itself.
fn shape(tokens: &[Token], form: Form) -> Vec<Feature> {
    let mut features = Vec::new();
    let words: Vec<&Token> = tokens.iter().filter(|t| t.kind != TokenKind::Mark).collect();
    for token in &words {
        features.push(feature("word", &[&token.lower]));
    }
    if let (Some(first), Some(last)) = (words.first(), words.last()) {
        features.push(feature("first", &[&first.lower]));
        features.push(feature("last", &[&last.lower]));
        let tail: String = {
            let letters: Vec<char> = last.lower.chars().collect();
            letters.iter().skip(letters.len().saturating_sub(3)).collect()
        };
        features.push(feature("tail", &[&tail]));
    }
    let count = words.len().min(5).to_string();
    features.push(feature("count", &[&count]));
    let small = words.iter().filter(|t| t.kind == TokenKind::Word && !t.capital).count();
    let function = words.iter().filter(|t| crate::text::is_function_word(&t.lower)).count();
    features.push(feature("small", &[&small.min(2).to_string(), &count]));
    features.push(feature("function", &[&function.min(2).to_string()]));
    let two_plain = words.len() == 2 && function == 0 && small == 0;
    for (name, holds) in [
        ("digits", words.iter().any(|t| t.lower.starts_with(|c: char| c.is_ascii_digit()))),
        ("initial", words.iter().any(|t| t.is_initial())),
        ("hyphen", words.iter().any(|t| t.lower.contains('-'))),
        ("marks", tokens.iter().any(|t| t.kind == TokenKind::Mark && t.lower != ".")),
        ("possessive", words.iter().any(|t| t.kind == TokenKind::Possessive)),
        ("quoted", form == Form::Quoted),
        ("two", two_plain),
    ] {
        if holds {
            features.push(feature(name, &[]));
        }
    }
    features
}

/// Features of a name that stands alone, as in a pack's list.
pub(crate) fn spelling_features(name: &str) -> Vec<Feature> {
    shape(&crate::text::tokenize(&Source::new(name)), Form::Name)
}

impl Reading {
    /// Features of a name in its sentence.
    pub(crate) fn name_features(
        &self,
        tokens: &[Token],
        lexicon: &Lexicon,
        ontology: &Ontology,
        at: usize,
    ) -> Vec<Feature> {
        let Some(candidate) = self.candidates.get(at) else { return Vec::new() };
        let span = tokens.get(candidate.inner.clone()).unwrap_or_default();
        let mut features = shape(span, candidate.form);
        let Some(group) = self.group(at) else { return features };
        let item = |items: &[String], at: usize| {
            items.get(at).map_or_else(|| "|".to_owned(), Clone::clone)
        };
        features.push(feature("before", &[&item(&group.left.items, 0)]));
        features
            .push(feature("before2", &[&item(&group.left.items, 0), &item(&group.left.items, 1)]));
        features.push(feature("after", &[&item(&group.right.items, 0)]));
        features
            .push(feature("after2", &[&item(&group.right.items, 0), &item(&group.right.items, 1)]));
        if let Some(word) = group.left.content.first() {
            features.push(feature("content-before", &[word]));
        }
        if let Some(word) = group.right.content.first() {
            features.push(feature("content-after", &[word]));
        }
        for class in label_before(tokens, lexicon, candidate) {
            if let Some(class) = ontology.class(class) {
                features.push(feature("label-before", &[&class.name]));
            }
        }
        features
    }
}

/// The classes whose label stands right before a candidate: `the film X`.
pub(crate) fn label_before(
    tokens: &[Token],
    lexicon: &Lexicon,
    candidate: &Candidate,
) -> Vec<ClassId> {
    (1..=2)
        .rev()
        .find_map(|length| {
            let start = candidate.outer.start.checked_sub(length)?;
            let (used, classes) = lexicon.label_at(tokens.get(start..candidate.outer.start)?)?;
            (used == length).then_some(classes)
        })
        .unwrap_or_default()
}
