//! What a pack must satisfy, and the words that say what it does not.

use std::collections::BTreeSet;

use super::places::Places;
use super::{
    Class, ClassId, ClassSpec, Datatype, ExampleSentence, Ontology, Pack, PackError, Problem,
    Range, Relation, RelationId, RelationSpec, Triple,
};

/// Upper bound of classes and of relations each.
const MOST_TERMS: usize = 2_000;

struct Check<'a> {
    pack: &'a Pack,
    places: &'a Places,
    problems: Vec<Problem>,
}

/// Checks a pack and resolves its names.
pub(super) fn ontology(
    pack: Pack,
    version: String,
    places: &Places,
) -> Result<Ontology, PackError> {
    let mut check = Check { pack: &pack, places, problems: Vec::new() };
    check.head();
    let classes = check.classes();
    let relations = check.relations(&classes);
    check.sentences(&classes);
    let problems = check.problems;
    if !problems.is_empty() {
        return Err(PackError { problems });
    }
    Ok(Ontology {
        label: if pack.label.is_empty() { pack.id.clone() } else { pack.label },
        id: pack.id,
        aliases: pack.aliases,
        version,
        fully_annotated: pack.fully_annotated,
        classes,
        relations,
        sentences: pack.sentences,
    })
}

impl Check<'_> {
    fn report(&mut self, line: Option<u32>, place: String, message: String) {
        self.problems.push(Problem { line, place, message });
    }

    fn head(&mut self) {
        let pack = self.pack;
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        for id in core::iter::once(&pack.id).chain(&pack.aliases) {
            if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
                let message = format!(
                    "id `{id}` must be 1 to 64 lower-case letters, digits, `-` or `_`; rename it"
                );
                self.report(self.places.id(), "pack".to_owned(), message);
            }
        }
        if self.pack.classes.is_empty() {
            let message = "has no class; add at least one [[class]]".to_owned();
            self.report(None, "pack".to_owned(), message);
        }
        if self.pack.classes.len() > MOST_TERMS || self.pack.relations.len() > MOST_TERMS {
            let message = format!("has more than {MOST_TERMS} classes or relations; split it");
            self.report(None, "pack".to_owned(), message);
        }
    }

    fn classes(&mut self) -> Vec<Class> {
        let pack = self.pack;
        let mut seen = BTreeSet::new();
        let mut classes = Vec::new();
        for (at, spec) in pack.classes.iter().enumerate() {
            let line = self.places.class(at);
            let place = format!("class {}", spec.name);
            if spec.name.trim().is_empty() {
                self.report(line, format!("class {}", at + 1), "has no name; give one".to_owned());
            }
            if !seen.insert(spec.name.as_str()) {
                self.report(line, place.clone(), "is given twice; keep one".to_owned());
            }
            self.iri(line, &place, spec.iri.as_deref());
            match lineage(&pack.classes, spec) {
                Ok(lineage) => classes.push(class(pack, spec, lineage)),
                Err(message) => self.report(line, place, message),
            }
        }
        classes
    }

    fn relations(&mut self, classes: &[Class]) -> Vec<Relation> {
        let pack = self.pack;
        let mut seen = BTreeSet::new();
        let mut relations = Vec::new();
        for (at, spec) in pack.relations.iter().enumerate() {
            let line = self.places.relation(at);
            let place = format!("relation {}", spec.name);
            if !seen.insert(spec.name.as_str()) {
                self.report(line, place.clone(), "is given twice; keep one".to_owned());
            }
            self.iri(line, &place, spec.iri.as_deref());
            match relation(pack, classes, spec) {
                Ok(relation) => relations.push(relation),
                Err(messages) => {
                    for message in messages {
                        self.report(line, place.clone(), message);
                    }
                }
            }
        }
        relations
    }

    fn iri(&mut self, line: Option<u32>, place: &str, iri: Option<&str>) {
        let Some(iri) = iri.filter(|iri| oxrdf::NamedNode::new(*iri).is_err()) else { return };
        let message = format!(
            "has the iri `{iri}`, which is none; write it in full, such as \
             http://schema.org/Person, or drop it"
        );
        self.report(line, place.to_owned(), message);
    }

    fn sentences(&mut self, classes: &[Class]) {
        let pack = self.pack;
        for (at, sentence) in pack.sentences.iter().enumerate() {
            let line = self.places.sentence(at);
            for triple in &sentence.triples {
                if let Err(message) = triple_stands(pack, classes, sentence, triple) {
                    let place = format!("sentence {} (\"{}\")", at + 1, opening(&sentence.text));
                    self.report(line, place, message);
                }
            }
        }
    }
}

fn opening(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// How many names are listed; a pack may have thousands.
const MOST_LISTED: usize = 20;
/// How alike a name must be to be what was meant.
const ALIKE: f64 = 0.85;

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(MOST_LISTED);
    names.truncate(MOST_LISTED);
    let listed = names.join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

/// The known name that was probably meant, and what the known names are.
fn instead<'a>(wrong: &str, what: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let wrong = wrong.to_lowercase();
    let alike = |name: &str| strsim::jaro_winkler(&wrong, &name.to_lowercase());
    let meant = known
        .clone()
        .map(|name| (alike(name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let all = listed(known);
    match meant {
        Some((_, meant)) => format!("did you mean `{meant}`? the {what} are {all}"),
        None => format!("the {what} are {all}"),
    }
}

fn class_at(classes: &[ClassSpec], name: &str) -> Option<usize> {
    classes.iter().position(|class| class.name == name)
}

fn lineage(classes: &[ClassSpec], spec: &ClassSpec) -> Result<Vec<ClassId>, String> {
    let mut line = Vec::new();
    let mut name = spec.name.as_str();
    loop {
        let Some(at) = class_at(classes, name) else {
            return Err(format!(
                "has the unknown parent `{name}`; {}",
                instead(name, "classes", classes.iter().map(|c| c.name.as_str()))
            ));
        };
        let id = ClassId(u16::try_from(at).map_err(|_| "is one of too many classes".to_owned())?);
        if line.contains(&id) {
            return Err(format!("is its own ancestor through `{name}`; break the cycle"));
        }
        line.push(id);
        match classes.get(at).and_then(|class| class.parent.as_deref()) {
            Some(parent) => name = parent,
            None => return Ok(line),
        }
    }
}

fn class(pack: &Pack, spec: &ClassSpec, lineage: Vec<ClassId>) -> Class {
    let pronouns = lineage
        .iter()
        .filter_map(|id| pack.classes.get(usize::from(id.0)))
        .find(|class| !class.pronouns.is_empty())
        .map_or_else(|| vec!["it".to_owned()], |class| class.pronouns.clone());
    Class {
        name: spec.name.clone(),
        labels: labels(&spec.label, &spec.name, &spec.alternatives),
        lineage,
        iri: spec.iri.clone(),
        pronouns: pronouns.iter().map(|p| p.to_lowercase()).collect(),
        members: spec
            .examples
            .iter()
            .map(|member| (member.name().to_owned(), member.alternatives().to_vec()))
            .collect(),
    }
}

/// Label (or the name in words) and alternatives, in lower case, without doubles.
fn labels(label: &str, name: &str, alternatives: &[String]) -> Vec<String> {
    let first = if label.is_empty() { spaced(name) } else { label.to_lowercase() };
    let mut labels = vec![first];
    for alternative in alternatives {
        let alternative = alternative.to_lowercase();
        if !labels.contains(&alternative) {
            labels.push(alternative);
        }
    }
    labels
}

/// `musicComposer` as `music composer`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        if c == '_' || c == '-' {
            words.push(' ');
        } else {
            words.extend(c.to_lowercase());
        }
    }
    words
}

fn relation(pack: &Pack, classes: &[Class], spec: &RelationSpec) -> Result<Relation, Vec<String>> {
    let mut wrong = Vec::new();
    if spec.name.trim().is_empty() {
        wrong.push("has no name; give one".to_owned());
    }
    let domain = class_ids(classes, &spec.domain, "domain", &mut wrong);
    let range = class_ids(classes, &spec.range, "range", &mut wrong);
    if spec.domain.is_empty() {
        wrong.push("has no domain; name at least one class".to_owned());
    }
    let range = match (&spec.literal, spec.range.is_empty()) {
        (None, false) => Some(Range::Classes(range)),
        (Some(name), true) => {
            let datatype = Datatype::from_name(name);
            if datatype.is_none() {
                let known = listed(Datatype::ALL.iter().map(|d| d.name()));
                wrong.push(format!("has the unknown literal type `{name}`; known are {known}"));
            }
            datatype.map(Range::Literal)
        }
        (None, true) => {
            wrong.push("has neither range nor literal; give one".to_owned());
            None
        }
        (Some(_), false) => {
            wrong.push("has both range and literal; keep one".to_owned());
            None
        }
    };
    let inverse = spec.inverse.as_ref().and_then(|name| {
        let at = pack.relations.iter().position(|other| other.name == *name);
        if at.is_none() {
            wrong.push(format!("has the unknown inverse `{name}`; add it or drop it"));
        }
        at.and_then(|at| u16::try_from(at).ok()).map(RelationId)
    });
    match range {
        Some(range) if wrong.is_empty() => Ok(Relation {
            name: spec.name.clone(),
            labels: labels(&spec.label, &spec.name, &spec.alternatives),
            domain,
            range,
            functional: spec.functional,
            inverse,
            iri: spec.iri.clone(),
        }),
        _ => Err(wrong),
    }
}

fn class_ids(
    classes: &[Class],
    names: &[String],
    side: &str,
    wrong: &mut Vec<String>,
) -> Vec<ClassId> {
    let mut ids = Vec::new();
    for name in names {
        let at = classes.iter().position(|class| class.name == *name);
        match at.and_then(|at| u16::try_from(at).ok()) {
            Some(at) => ids.push(ClassId(at)),
            None => wrong.push(format!(
                "names the unknown class `{name}` as {side}; {}",
                instead(name, "classes", classes.iter().map(|c| c.name.as_str()))
            )),
        }
    }
    ids
}

fn triple_stands(
    pack: &Pack,
    classes: &[Class],
    sentence: &ExampleSentence,
    Triple(subject, predicate, object): &Triple,
) -> Result<(), String> {
    if !pack.relations.iter().any(|relation| relation.name == *predicate) {
        return Err(format!(
            "uses the unknown relation `{predicate}`; {}",
            instead(predicate, "relations", pack.relations.iter().map(|r| r.name.as_str()))
        ));
    }
    for (side, name) in [("subject", subject), ("object", object)] {
        let spelled = |name: &str| !name.is_empty() && sentence.text.contains(name);
        let member = || {
            classes.iter().flat_map(|class| &class.members).any(|(canonical, others)| {
                canonical == name && others.iter().any(|other| spelled(other))
            })
        };
        if !spelled(name) && !member() {
            return Err(format!(
                "the {side} `{name}` of `{predicate}` does not stand in the sentence; write it as \
                 it stands there"
            ));
        }
    }
    Ok(())
}
