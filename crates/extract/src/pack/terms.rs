//! From an RDF vocabulary to a pack.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ClassSpec, Datatype, Individual, Pack, RelationSpec,
    validate::spaced,
    vocabulary::{Node, Vocabulary},
};

const CLASSES: [&str; 2] =
    ["http://www.w3.org/2002/07/owl#Class", "http://www.w3.org/2000/01/rdf-schema#Class"];
const PROPERTIES: [&str; 4] = [
    "http://www.w3.org/2002/07/owl#ObjectProperty",
    DATATYPE_PROPERTY,
    FUNCTIONAL,
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#Property",
];
const DATATYPE_PROPERTY: &str = "http://www.w3.org/2002/07/owl#DatatypeProperty";
const FUNCTIONAL: &str = "http://www.w3.org/2002/07/owl#FunctionalProperty";
const ONTOLOGY: [&str; 1] = ["http://www.w3.org/2002/07/owl#Ontology"];
/// Classes of everything.
const ANYTHING: [&str; 4] = [
    "http://www.w3.org/2002/07/owl#Thing",
    "http://www.w3.org/2000/01/rdf-schema#Resource",
    "http://schema.org/Thing",
    "https://schema.org/Thing",
];

/// A vocabulary as a pack, with where its parts begin and what was left out.
pub(super) struct Read {
    pub(super) pack: Pack,
    pub(super) classes: Vec<usize>,
    pub(super) relations: Vec<usize>,
    pub(super) notes: Vec<String>,
}

/// The pack of this id that a vocabulary describes.
pub(super) fn read(vocabulary: &Vocabulary, id: &str) -> Read {
    let classes: Vec<(&str, &Node)> = vocabulary
        .of_types(&CLASSES)
        .into_iter()
        .filter(|(iri, _)| !ANYTHING.contains(iri))
        .collect();
    let names: BTreeMap<&str, &str> = classes.iter().map(|(iri, _)| (*iri, local(iri))).collect();
    let mut reader = Reader { vocabulary, names, notes: Vec::new() };
    let head = vocabulary.of_types(&ONTOLOGY).into_iter().next();
    let specs: Vec<ClassSpec> = classes.iter().map(|(iri, node)| reader.class(iri, node)).collect();
    let mut specs = with_members(vocabulary, &classes, specs);
    let properties = vocabulary.of_types(&PROPERTIES);
    let implied = reader.implied(&properties);
    specs.extend(implied.iter().map(|iri| named(iri)));
    let (mut relations, mut begins) = (Vec::new(), Vec::new());
    for (iri, node) in properties {
        if let Some(relation) = reader.relation(iri, node) {
            relations.push(relation);
            begins.push(node.begin);
        }
    }
    keep_inverses(&mut relations);
    let Reader { notes, .. } = reader;
    let pack = Pack {
        id: id.to_owned(),
        aliases: Vec::new(),
        label: head.and_then(|(_, node)| node.label()).unwrap_or_default().to_owned(),
        description: head.map(|(_, node)| node.description()).unwrap_or_default(),
        fully_annotated: false,
        classes: specs,
        relations,
        sentences: Vec::new(),
    };
    let classes = classes.iter().map(|(_, node)| node.begin).collect();
    Read { pack, classes, relations: begins, notes }
}

/// A class of which no more than the name is known.
fn named(iri: &str) -> ClassSpec {
    let name = local(iri);
    ClassSpec {
        name: name.to_owned(),
        label: words(name),
        iri: Some(iri.to_owned()),
        ..ClassSpec::default()
    }
}

struct Reader<'a> {
    vocabulary: &'a Vocabulary,
    /// Of the classes, by IRI.
    names: BTreeMap<&'a str, &'a str>,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn class(&mut self, iri: &str, node: &Node) -> ClassSpec {
        let name = local(iri);
        let mut parents = node.parents.iter().filter(|parent| *parent != iri);
        let known = parents.by_ref().find_map(|parent| self.names.get(parent.as_str()).copied());
        let left: Vec<&str> =
            parents.filter_map(|it| self.names.get(it.as_str()).copied()).collect();
        if let (Some(kept), [_, ..]) = (known, left.as_slice()) {
            self.notes.push(format!(
                "class {name} has several superclasses; only the first, {kept}, is used, not {}",
                left.join(", ")
            ));
        }
        ClassSpec {
            name: name.to_owned(),
            label: words(node.label().unwrap_or(name)),
            alternatives: node.others(),
            description: node.description(),
            parent: known.map(str::to_owned),
            iri: Some(iri.to_owned()),
            ..ClassSpec::default()
        }
    }

    /// The classes that are not declared and are used as one: what has a domain or a range makes it
    /// a class, by the rules of RDFS.
    fn implied(&mut self, properties: &[(&str, &Node)]) -> Vec<String> {
        let mut implied: Vec<String> = Vec::new();
        for (_, node) in properties {
            let used = [&node.domain, &node.range].map(|terms| self.vocabulary.flat(terms));
            for iri in used.into_iter().flatten() {
                let is_known = self.names.contains_key(iri.as_str())
                    || ANYTHING.contains(&iri.as_str())
                    || self.datatype(&iri).is_some();
                if !is_known && !implied.contains(&iri) {
                    self.notes.push(format!(
                        "class {} is used as a domain or range and not declared; it is added",
                        local(&iri)
                    ));
                    implied.push(iri);
                }
            }
        }
        implied
    }

    /// The datatype that a term is; one that is declared a class is none.
    fn datatype(&self, iri: &str) -> Option<Datatype> {
        if self.names.contains_key(iri) {
            return None;
        }
        datatype(iri).or_else(|| datatype_named(local(iri)))
    }

    /// A property as a relation; none where it says too little to be one.
    fn relation(&mut self, iri: &str, node: &Node) -> Option<RelationSpec> {
        let name = local(iri);
        let domain = self.classes_of(&self.vocabulary.flat(&node.domain));
        let range = self.vocabulary.flat(&node.range);
        let literal = self.literal(name, node, &range)?;
        let range = match literal {
            Some(_) => range.into_iter().filter(|it| self.datatype(it).is_none()).collect(),
            None => range,
        };
        let range = self.classes_of(&range);
        for (side, is_missing) in
            [("domain", domain.is_empty()), ("range", literal.is_none() && range.is_empty())]
        {
            if is_missing {
                self.notes.push(format!(
                    "relation {name} has no {side} and is left out; name its classes with \
                     rdfs:{side}"
                ));
                return None;
            }
        }
        Some(RelationSpec {
            name: name.to_owned(),
            label: words(node.label().unwrap_or(name)),
            alternatives: node.others(),
            description: node.description(),
            domain,
            range,
            literal: literal.map(|datatype| datatype.name().to_owned()),
            functional: node.types.iter().any(|it| it == FUNCTIONAL),
            inverse: node.inverse.as_deref().map(|inverse| local(inverse).to_owned()),
            iri: Some(iri.to_owned()),
        })
    }

    /// The datatype of a property's objects, if they are literals; none where it has one that is
    /// not known here.
    #[expect(clippy::option_option, reason = "left out, a relation to entities, one to literals")]
    fn literal(&mut self, name: &str, node: &Node, range: &[String]) -> Option<Option<Datatype>> {
        let known: BTreeSet<Datatype> = range.iter().filter_map(|it| self.datatype(it)).collect();
        if let Some(datatype) = known.first() {
            return Some(Some(*datatype));
        }
        if !node.types.iter().any(|it| it == DATATYPE_PROPERTY) {
            return Some(None);
        }
        let Some(other) = range.first() else { return Some(Some(Datatype::Text)) };
        self.notes.push(format!(
            "relation {name} has the datatype <{other}>, which is not known here, and is left out"
        ));
        None
    }

    /// The names of classes; of a class of everything, those of all classes without a superclass.
    fn classes_of(&self, iris: &[String]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for iri in iris {
            if ANYTHING.contains(&iri.as_str()) {
                let is_root = |iri: &&&str| {
                    let parents = self.vocabulary.get(iri).map(|node| node.parents.as_slice());
                    !parents
                        .unwrap_or_default()
                        .iter()
                        .any(|it| self.names.contains_key(it.as_str()))
                };
                let roots = self.names.keys().filter(is_root);
                names.extend(roots.map(|iri| local(iri).to_owned()));
            } else {
                names.push(local(iri).to_owned());
            }
        }
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

/// The classes with the individuals of the vocabulary as their members.
fn with_members(
    vocabulary: &Vocabulary,
    classes: &[(&str, &Node)],
    mut specs: Vec<ClassSpec>,
) -> Vec<ClassSpec> {
    let at: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(at, (iri, _))| (*iri, at)).collect();
    for (iri, node) in vocabulary.sorted(|node| !node.types.is_empty()) {
        let Some(name) = node.label().filter(|_| !at.contains_key(iri)) else { continue };
        let of = node.types.iter().find_map(|class| at.get(class.as_str()));
        if let Some(spec) = of.and_then(|at| specs.get_mut(*at)) {
            let (name, alternatives) = (name.to_owned(), node.others());
            spec.examples.push(Individual::Spelled { name, alternatives });
        }
    }
    specs
}

/// An inverse that is no relation here says nothing; one that is said once holds for both.
fn keep_inverses(relations: &mut [RelationSpec]) {
    let names: BTreeSet<String> = relations.iter().map(|relation| relation.name.clone()).collect();
    for relation in relations {
        relation.inverse = relation.inverse.take().filter(|inverse| names.contains(inverse));
    }
}

/// The last part of an IRI.
fn local(iri: &str) -> &str {
    let trimmed = iri.trim_end_matches(['#', '/']);
    trimmed.rsplit(['#', '/', ':']).next().filter(|name| !name.is_empty()).unwrap_or(iri)
}

/// A label that is written as a name (`cityServed`) in words; any other as it is.
pub(super) fn words(label: &str) -> String {
    if label.contains(char::is_whitespace) { label.to_owned() } else { spaced(label) }
}

/// The datatype that a plain word names.
pub(super) fn datatype_named(name: &str) -> Option<Datatype> {
    Some(match name.to_ascii_lowercase().as_str() {
        "number" => Datatype::Decimal,
        "integer" => Datatype::Integer,
        "string" => Datatype::Text,
        "date" => Datatype::Date,
        "year" => Datatype::Year,
        _ => return None,
    })
}

/// The datatype of a range, if it is one.
fn datatype(iri: &str) -> Option<Datatype> {
    let name = ["http://www.w3.org/2001/XMLSchema#", "http://schema.org/", "https://schema.org/"]
        .iter()
        .find_map(|base| iri.strip_prefix(base));
    Some(match name {
        Some("gYear") => Datatype::Year,
        Some("date" | "dateTime" | "dateTimeStamp" | "gYearMonth" | "Date" | "DateTime") => {
            Datatype::Date
        }
        Some("duration" | "dayTimeDuration" | "yearMonthDuration" | "Duration") => {
            Datatype::Duration
        }
        Some(
            "integer" | "int" | "long" | "short" | "byte" | "nonNegativeInteger"
            | "positiveInteger" | "nonPositiveInteger" | "negativeInteger" | "unsignedInt"
            | "unsignedLong" | "unsignedShort" | "unsignedByte" | "Integer",
        ) => Datatype::Integer,
        Some("decimal" | "double" | "float" | "Number" | "Float") => Datatype::Decimal,
        Some("string" | "normalizedString" | "token" | "anyURI" | "Text" | "URL") => Datatype::Text,
        _ => match iri {
            "http://www.w3.org/2000/01/rdf-schema#Literal"
            | "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString" => Datatype::Text,
            _ => return None,
        },
    })
}
