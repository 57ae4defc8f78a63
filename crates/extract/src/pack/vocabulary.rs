//! What an RDF vocabulary says of its subjects.

use std::collections::BTreeMap;

use oxrdf::{Literal, NamedOrBlankNode, Term, Triple, vocab::rdf};

const RDFS: &str = "http://www.w3.org/2000/01/rdf-schema#";
const OWL: &str = "http://www.w3.org/2002/07/owl#";
const SKOS: &str = "http://www.w3.org/2004/02/skos/core#";
const SCHEMA: [&str; 2] = ["http://schema.org/", "https://schema.org/"];

/// How many parts of a list are read; a union of more classes is cut.
const MOST_PARTS: usize = 2_000;

/// Subjects by IRI, or by the label of a blank node.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    nodes: BTreeMap<String, Node>,
}

/// What is said of one subject.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the line begins that first speaks of it.
    pub(super) begin: usize,
    pub(super) types: Vec<String>,
    pub(super) labels: Vec<Text>,
    pub(super) alternatives: Vec<Text>,
    pub(super) descriptions: Vec<Text>,
    /// Superclasses, or superproperties.
    pub(super) parents: Vec<String>,
    pub(super) domain: Vec<String>,
    pub(super) range: Vec<String>,
    pub(super) inverse: Option<String>,
    union: Option<String>,
    first: Option<String>,
    rest: Option<String>,
}

/// A text with its language, in lower case; none where none is given.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    language: Option<String>,
}

impl Text {
    /// It is English, or of no language.
    pub(super) fn is_plain(&self) -> bool {
        self.language.as_deref().is_none_or(|it| it == "en" || it.starts_with("en-"))
    }
}

/// What the terms of the vocabularies mean here.
#[derive(Clone, Copy)]
enum Meaning {
    Type,
    Label,
    Alternative,
    Description,
    Parent,
    Domain,
    Range,
    Inverse,
    Union,
    First,
    Rest,
}

fn meaning(predicate: &str) -> Option<Meaning> {
    let of = |base: &str| predicate.strip_prefix(base);
    if let Some(name) = of(RDFS) {
        return Some(match name {
            "label" => Meaning::Label,
            "comment" => Meaning::Description,
            "subClassOf" | "subPropertyOf" => Meaning::Parent,
            "domain" => Meaning::Domain,
            "range" => Meaning::Range,
            _ => return None,
        });
    }
    if let Some(name) = of(OWL) {
        return Some(match name {
            "inverseOf" => Meaning::Inverse,
            "unionOf" => Meaning::Union,
            _ => return None,
        });
    }
    if let Some(name) = of(SKOS) {
        return Some(match name {
            "prefLabel" => Meaning::Label,
            "altLabel" => Meaning::Alternative,
            "definition" => Meaning::Description,
            _ => return None,
        });
    }
    if let Some(name) = SCHEMA.iter().find_map(|base| of(base)) {
        return Some(match name {
            "domainIncludes" => Meaning::Domain,
            "rangeIncludes" => Meaning::Range,
            "inverseOf" => Meaning::Inverse,
            _ => return None,
        });
    }
    match predicate {
        it if it == rdf::TYPE.as_str() => Some(Meaning::Type),
        it if it == rdf::FIRST.as_str() => Some(Meaning::First),
        it if it == rdf::REST.as_str() => Some(Meaning::Rest),
        _ => None,
    }
}

/// An IRI as it is; the label of a blank node with the sign of one.
fn name(term: &Term) -> Option<String> {
    match term {
        Term::NamedNode(node) => Some(node.as_str().to_owned()),
        Term::BlankNode(node) => Some(format!("_:{}", node.as_str())),
        Term::Literal(_) => None,
    }
}

impl Vocabulary {
    /// Takes what a triple says. `begin` is where the line begins that completes it.
    pub(super) fn hear(&mut self, begin: usize, triple: Triple) {
        let Some(meaning) = meaning(triple.predicate.as_str()) else { return };
        let subject = match triple.subject {
            NamedOrBlankNode::NamedNode(node) => node.into_string(),
            NamedOrBlankNode::BlankNode(node) => format!("_:{}", node.as_str()),
        };
        let node = self.nodes.entry(subject);
        let node = node.or_insert_with(|| Node { begin, ..Node::default() });
        node.hear(meaning, &triple.object);
    }

    /// The subjects that are of one of these types, in the order of the file.
    pub(super) fn of_types(&self, types: &[&str]) -> Vec<(&str, &Node)> {
        let is = |node: &Node| node.types.iter().any(|it| types.contains(&it.as_str()));
        self.sorted(is)
    }

    /// The named subjects of which `is` holds, in the order of the file.
    pub(super) fn sorted(&self, is: impl Fn(&Node) -> bool) -> Vec<(&str, &Node)> {
        let named = self.nodes.iter().filter(|(iri, node)| !iri.starts_with("_:") && is(node));
        let mut found: Vec<(&str, &Node)> = named.map(|(iri, node)| (iri.as_str(), node)).collect();
        found.sort_by_key(|(_, node)| node.begin);
        found
    }

    /// What is said of a subject.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The terms, each union of classes by its parts. Blank nodes that are none say nothing.
    pub(super) fn flat(&self, terms: &[String]) -> Vec<String> {
        let mut flat = Vec::new();
        for term in terms {
            if !term.starts_with("_:") {
                flat.push(term.clone());
                continue;
            }
            let mut rest = self.nodes.get(term).and_then(|node| node.union.as_ref());
            while let Some(part) = rest.and_then(|rest| self.nodes.get(rest)) {
                flat.extend(part.first.clone().filter(|first| !first.starts_with("_:")));
                rest = part.rest.as_ref().filter(|_| flat.len() < MOST_PARTS);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        flat.retain(|term| seen.insert(term.clone()));
        flat
    }
}

impl Node {
    fn hear(&mut self, meaning: Meaning, object: &Term) {
        let text = |object: &Term| match object {
            Term::Literal(literal) => Some(Text::of(literal)),
            Term::NamedNode(_) | Term::BlankNode(_) => None,
        };
        match meaning {
            Meaning::Type => self.types.extend(name(object)),
            Meaning::Label => self.labels.extend(text(object)),
            Meaning::Alternative => self.alternatives.extend(text(object)),
            Meaning::Description => self.descriptions.extend(text(object)),
            Meaning::Parent => self.parents.extend(name(object)),
            Meaning::Domain => self.domain.extend(name(object)),
            Meaning::Range => self.range.extend(name(object)),
            Meaning::Inverse => self.inverse = self.inverse.take().or(name(object)),
            Meaning::Union => self.union = name(object),
            Meaning::First => self.first = name(object),
            Meaning::Rest => self.rest = name(object),
        }
    }

    /// Its English label, else one of no language, else the first.
    pub(super) fn label(&self) -> Option<&str> {
        let plain = self.labels.iter().find(|label| label.is_plain());
        plain.or(self.labels.first()).map(|label| label.text.as_str())
    }

    /// Its other labels: those in English or of no language.
    pub(super) fn others(&self) -> Vec<String> {
        let label = self.label();
        let all = self.labels.iter().chain(&self.alternatives).filter(|text| text.is_plain());
        all.map(|text| text.text.clone()).filter(|text| Some(text.as_str()) != label).collect()
    }

    /// What is said about its meaning.
    pub(super) fn description(&self) -> String {
        let plain = self.descriptions.iter().find(|text| text.is_plain());
        plain.map(|text| text.text.clone()).unwrap_or_default()
    }
}

impl Text {
    fn of(literal: &Literal) -> Self {
        Self {
            text: literal.value().trim().to_owned(),
            language: literal.language().map(str::to_lowercase),
        }
    }
}
