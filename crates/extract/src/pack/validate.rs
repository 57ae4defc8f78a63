//! What a pack must satisfy, and the words that say what it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::places::Places;
use super::{
    Class, ClassId, ClassSpec, Datatype, ExampleSentence, Ontology, Pack, PackError, Problem,
    Range, Relation, RelationId, RelationSpec, Triple,
};

/// Upper bound of classes and of relations each.
const MOST_TERMS: usize = 2_000;
/// Upper bound of a class's ancestors.
const MOST_ANCESTORS: usize = 100;
/// How many mistakes are told; what is behind them is not looked at.
const MOST_PROBLEMS: usize = 100;

struct Check<'a> {
    pack: &'a Pack,
    places: &'a Places,
    names: Names<'a>,
    problems: Vec<Problem>,
}

/// Positions by name: of several with one name, the first.
struct Names<'a> {
    classes: BTreeMap<&'a str, usize>,
    relations: BTreeMap<&'a str, usize>,
    /// The other spellings of each member.
    members: BTreeMap<&'a str, Vec<&'a [String]>>,
}

impl<'a> Names<'a> {
    fn of(pack: &'a Pack) -> Self {
        let mut names =
            Self { classes: BTreeMap::new(), relations: BTreeMap::new(), members: BTreeMap::new() };
        for (at, class) in pack.classes.iter().enumerate() {
            names.classes.entry(&class.name).or_insert(at);
            for member in &class.examples {
                names.members.entry(member.name()).or_default().push(member.alternatives());
            }
        }
        for (at, relation) in pack.relations.iter().enumerate() {
            names.relations.entry(&relation.name).or_insert(at);
        }
        names
    }

    fn class(&self, name: &str) -> Option<ClassId> {
        self.classes.get(name).and_then(|at| u16::try_from(*at).ok()).map(ClassId)
    }

    /// What to write instead of a class that is none.
    fn class_instead(&self, wrong: &str) -> String {
        instead(wrong, "classes", self.classes.keys().copied())
    }
}

/// Checks a pack and resolves its names.
pub(super) fn ontology(
    pack: Pack,
    version: String,
    places: &Places,
) -> Result<Ontology, PackError> {
    let names = Names::of(&pack);
    let mut check = Check { pack: &pack, places, names, problems: Vec::new() };
    let (mut classes, mut relations) = (Vec::new(), Vec::new());
    if check.head() {
        classes = check.classes();
        relations = check.relations();
        check.sentences();
    }
    let is_cut = check.is_full();
    let mut problems = check.problems;
    if is_cut {
        let message = format!("has more mistakes than these {MOST_PROBLEMS}; mend them first");
        problems.push(Problem { line: None, place: "pack".to_owned(), message });
    }
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
        notes: Vec::new(),
    })
}

impl Check<'_> {
    fn report(&mut self, line: Option<u32>, place: String, message: String) {
        if !self.is_full() {
            self.problems.push(Problem { line, place, message });
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    /// Whether the rest is worth a look.
    fn head(&mut self) -> bool {
        let pack = self.pack;
        for id in core::iter::once(&pack.id).chain(&pack.aliases) {
            if !is_id(id) {
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
        let is_large = pack.classes.len() > MOST_TERMS || pack.relations.len() > MOST_TERMS;
        if is_large {
            let message = format!("has more than {MOST_TERMS} classes or relations; split it");
            self.report(None, "pack".to_owned(), message);
        }
        !is_large
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
            match lineage(pack, &self.names, spec) {
                Ok(lineage) => classes.push(class(pack, spec, lineage)),
                Err(message) => self.report(line, place, message),
            }
        }
        classes
    }

    fn relations(&mut self) -> Vec<Relation> {
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
            match relation(&self.names, spec) {
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

    fn sentences(&mut self) {
        let pack = self.pack;
        for (at, sentence) in pack.sentences.iter().enumerate() {
            let line = self.places.sentence(at);
            for triple in &sentence.triples {
                if self.is_full() {
                    return;
                }
                if let Err(message) = triple_stands(&self.names, sentence, triple) {
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

/// Whether `id` may name an ontology: 1 to 64 lower-case letters, digits, `-` or `_`.
pub fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !id.is_empty() && id.len() <= 64 && id.chars().all(plain)
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

fn lineage(pack: &Pack, names: &Names<'_>, spec: &ClassSpec) -> Result<Vec<ClassId>, String> {
    let mut line = Vec::new();
    let mut name = spec.name.as_str();
    loop {
        let Some(id) = names.class(name) else {
            return Err(format!("has the unknown parent `{name}`; {}", names.class_instead(name)));
        };
        if line.contains(&id) {
            return Err(format!("is its own ancestor through `{name}`; break the cycle"));
        }
        if line.len() > MOST_ANCESTORS {
            return Err(format!("has more than {MOST_ANCESTORS} ancestors; leave some out"));
        }
        line.push(id);
        match pack.classes.get(usize::from(id.0)).and_then(|class| class.parent.as_deref()) {
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

/// `musicComposer` as `music composer`, `URLOfFilm` as `url of film`.
pub(super) fn spaced(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (at, c) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let begins = c.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_numeric())
                || (before.is_some_and(|before| before.is_uppercase())
                    && letters.get(at + 1).is_some_and(|next| next.is_lowercase())));
        if begins {
            words.push(' ');
        }
        if matches!(c, '_' | '-') {
            words.push(' ');
        } else {
            words.extend(c.to_lowercase());
        }
    }
    words
}

fn relation(names: &Names<'_>, spec: &RelationSpec) -> Result<Relation, Vec<String>> {
    let mut wrong = Vec::new();
    if spec.name.trim().is_empty() {
        wrong.push("has no name; give one".to_owned());
    }
    let domain = class_ids(names, &spec.domain, "domain", &mut wrong);
    let range = class_ids(names, &spec.range, "range", &mut wrong);
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
        let at = names.relations.get(name.as_str()).copied();
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
    names: &Names<'_>,
    classes: &[String],
    side: &str,
    wrong: &mut Vec<String>,
) -> Vec<ClassId> {
    let mut ids = Vec::new();
    for class in classes {
        if wrong.len() >= MOST_PROBLEMS {
            break;
        }
        match names.class(class) {
            Some(id) if ids.contains(&id) => {}
            Some(id) => ids.push(id),
            None => wrong.push(format!(
                "names the unknown class `{class}` as {side}; {}",
                names.class_instead(class)
            )),
        }
    }
    ids
}

fn triple_stands(
    names: &Names<'_>,
    sentence: &ExampleSentence,
    Triple(subject, predicate, object): &Triple,
) -> Result<(), String> {
    if !names.relations.contains_key(predicate.as_str()) {
        return Err(format!(
            "uses the unknown relation `{predicate}`; {}",
            instead(predicate, "relations", names.relations.keys().copied())
        ));
    }
    for (side, name) in [("subject", subject), ("object", object)] {
        let spelled = |name: &str| !name.is_empty() && sentence.text.contains(name);
        let member = || {
            let others = names.members.get(name.as_str()).into_iter().flatten();
            others.copied().flatten().any(|other| spelled(other))
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
