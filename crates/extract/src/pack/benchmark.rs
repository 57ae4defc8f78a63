//! The layout of Text2KGBench's ontologies as a pack: `concepts` and `relations` by id and label.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    ClassSpec, Datatype, Pack, RelationSpec,
    terms::{datatype_named, words},
};

/// An ontology as the benchmark writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    id: String,
    #[serde(default)]
    title: String,
    concepts: Vec<Concept>,
    relations: Vec<Relation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Concept {
    qid: String,
    label: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relation {
    pid: String,
    label: String,
    domain: String,
    /// Empty where the objects are no concepts.
    #[serde(default)]
    range: String,
}

/// Whether a JSON document has this layout.
pub(super) fn is_layout(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Members {
        concepts: Option<IgnoredAny>,
        class: Option<IgnoredAny>,
    }
    serde_json::from_str::<Members>(text)
        .is_ok_and(|members| members.concepts.is_some() && members.class.is_none())
}

impl Layout {
    /// The pack, and what it had to be guessed from.
    pub(super) fn pack(self) -> (Pack, Vec<String>) {
        let Self { id, title, concepts, relations } = self;
        let mut classes = Classes::default();
        for concept in concepts {
            classes.add(&concept.qid, &concept.label);
        }
        let mut notes = Vec::new();
        let mut names = BTreeSet::new();
        let specs = relations.into_iter().map(|relation| {
            let Relation { pid, label, domain, range } = relation;
            let name = if names.insert(label.clone()) {
                label.clone()
            } else {
                format!("{label} ({pid})")
            };
            let literal = match datatype_named(&range) {
                Some(literal) => Some(literal),
                None if range.is_empty() => {
                    let literal = guessed(&label);
                    notes.push(format!(
                        "relation {name} has no range; its objects are read as {}",
                        literal.name()
                    ));
                    Some(literal)
                }
                None => None,
            };
            let range =
                if literal.is_some() { Vec::new() } else { vec![classes.name(&range, &mut notes)] };
            RelationSpec {
                label: words(&label),
                domain: vec![classes.name(&domain, &mut notes)],
                range,
                literal: literal.map(|datatype| datatype.name().to_owned()),
                iri: wikidata('P', &pid)
                    .map(|id| format!("http://www.wikidata.org/prop/direct/{id}")),
                name,
                ..RelationSpec::default()
            }
        });
        let relations = specs.collect();
        let pack = Pack {
            id,
            aliases: Vec::new(),
            label: title,
            description: String::new(),
            fully_annotated: false,
            classes: classes.specs,
            relations,
            sentences: Vec::new(),
        };
        (pack, notes)
    }
}

/// Concepts as classes, by their ids.
#[derive(Default)]
struct Classes {
    specs: Vec<ClassSpec>,
    names: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Classes {
    /// A concept has its label as name; where another has it too, its id with it.
    fn add(&mut self, id: &str, label: &str) {
        let is_new = self.taken.insert(label.to_owned());
        let name = if is_new { label.to_owned() } else { format!("{label} ({id})") };
        self.specs.push(ClassSpec {
            name: name.clone(),
            label: words(label),
            iri: wikidata('Q', id).map(|id| format!("http://www.wikidata.org/entity/{id}")),
            ..ClassSpec::default()
        });
        self.names.insert(id.to_owned(), name);
    }

    /// The class of a concept, which is added where the ontology only refers to it.
    fn name(&mut self, id: &str, notes: &mut Vec<String>) -> String {
        if !self.names.contains_key(id) {
            notes.push(format!("concept {id} is referred to and not listed; it is added"));
            self.add(id, id);
        }
        self.names.get(id).cloned().unwrap_or_default()
    }
}

/// An id of Wikidata: a letter and digits.
fn wikidata(letter: char, id: &str) -> Option<&str> {
    let digits = id.strip_prefix(letter)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(id)
}

/// The datatype that the label of a relation without a range speaks of.
fn guessed(label: &str) -> Datatype {
    let label = words(label).to_lowercase();
    let speaks = |words: &[&str]| label.split_whitespace().any(|word| words.contains(&word));
    if speaks(&["year"]) {
        Datatype::Year
    } else if speaks(&["date", "time", "inception"]) {
        Datatype::Date
    } else if speaks(&["number", "count", "cost", "population", "height", "length", "width"]) {
        Datatype::Decimal
    } else {
        Datatype::Text
    }
}
