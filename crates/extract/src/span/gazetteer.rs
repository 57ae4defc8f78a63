//! The pack's lists of names, matched on tokens.

use std::collections::HashMap;

use crate::pack::{ClassId, Ontology};
use crate::text::{Source, Token, TokenKind, tokenize};

#[derive(Clone, Debug)]
struct Entry {
    words: Vec<String>,
    /// The entry is written with a capital, so the text has to be.
    capital: bool,
    class: ClassId,
    name: String,
}

/// Names of the pack by their first word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gazetteer {
    by_first: HashMap<String, Vec<Entry>>,
}

impl Gazetteer {
    pub(crate) fn of(ontology: &Ontology) -> Self {
        let mut gazetteer = Self::default();
        for id in ontology.class_ids() {
            let members = ontology.class(id).map_or(&[][..], |class| &class.members);
            for (name, others) in members {
                gazetteer.add(id, name, name);
                for other in others {
                    gazetteer.add(id, name, other);
                }
            }
        }
        gazetteer
    }

    fn add(&mut self, class: ClassId, name: &str, surface: &str) {
        let source = Source::new(surface);
        let words: Vec<String> = tokenize(&source).into_iter().map(|token| token.lower).collect();
        let Some(first) = words.first().cloned() else { return };
        let capital = surface.chars().next().is_some_and(char::is_uppercase);
        let entry = Entry { words, capital, class, name: name.to_owned() };
        self.by_first.entry(first).or_default().push(entry);
    }

    /// The longest names that start at a token: how many tokens, and each class with the name there.
    pub(crate) fn longest_at(&self, tokens: &[Token]) -> Option<(usize, Vec<(ClassId, String)>)> {
        let first = tokens.first()?;
        let entries = self.by_first.get(&first.lower)?;
        let mut best = 0;
        let mut readings = Vec::new();
        for entry in entries {
            let length = entry.words.len();
            let capital = !entry.capital || first.capital || first.kind != TokenKind::Word;
            let same = || {
                tokens.get(..length).is_some_and(|window| {
                    window.iter().zip(&entry.words).all(|(token, word)| token.lower == *word)
                })
            };
            if length < best || !capital || !same() {
                continue;
            }
            if length > best {
                readings.clear();
                best = length;
            }
            let reading = (entry.class, entry.name.clone());
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
        (best > 0).then_some((best, readings))
    }
}
