//! Features of a subject and an object in one sentence.

use super::{Feature, Reading, Side, feature};
use crate::pack::{Ontology, Relation};
use crate::span::{Candidate, Form};
use crate::text::stem;

/// Features that each relation weighs for itself, and where labels were searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct PairFeatures {
    pub(crate) own: Vec<Feature>,
    /// Shape of the pair, weighed alike for all relations.
    pub(crate) shared: Vec<Feature>,
}

/// How the subject stands to the object.
#[derive(Clone, Copy, Debug)]
struct Stance {
    subject_first: bool,
    /// Plausible subjects between the two.
    rank: usize,
    /// No other name or reference between the two.
    adjacent: bool,
}

impl Stance {
    fn order(self) -> &'static str {
        if self.subject_first { "s<o" } else { "o<s" }
    }
}

fn stance(reading: &Reading, subject: usize, object: usize, plausible: &[bool]) -> Stance {
    let (from, to) = (subject.min(object), subject.max(object));
    let groups = (reading.group_of.get(from), reading.group_of.get(to));
    let between = (from + 1..to).filter(|at| {
        let group = reading.group_of.get(*at);
        group != groups.0 && group != groups.1
    });
    let opaque = between
        .clone()
        .filter(|at| reading.candidate(*at).is_some_and(|c| !c.is_transparent()))
        .count();
    let rank = between.filter(|at| plausible.get(*at).copied().unwrap_or(false)).count();
    Stance { subject_first: subject < object, rank, adjacent: opaque == 0 }
}

/// What kind of thing an object is, as far as its form tells.
fn kind(ontology: &Ontology, candidate: &Candidate) -> String {
    if let Some(value) = candidate.values.first() {
        return value.xsd.to_owned();
    }
    match (candidate.form, candidate.listed.first()) {
        (Form::Listed, Some((class, _))) => {
            ontology.class(*class).map_or_else(String::new, |class| class.name.clone())
        }
        (Form::Reference, _) => "reference".to_owned(),
        (Form::Phrase, _) => "phrase".to_owned(),
        _ => "name".to_owned(),
    }
}

struct Collector {
    own: Vec<Feature>,
}

impl Collector {
    fn add(&mut self, template: &str, parts: &[&str]) {
        self.own.push(feature(template, parts));
    }

    /// The neighbourhood of the object on one side.
    fn near(&mut self, name: &str, side: &Side, order: &str, kind: &str) {
        let item = |at: usize| side.items.get(at).map_or("|", String::as_str);
        // What follows a comma or a conjunction is another clause's more often than not.
        let linked = matches!(item(0), "," | "and" | ";" | "&");
        let name = &if linked { format!("{name}&") } else { name.to_owned() };
        self.add("near1", &[name, order, item(0)]);
        self.add("near2", &[name, order, item(0), item(1)]);
        self.add("near3", &[name, item(0), item(1), item(2)]);
        self.add("kind1", &[name, kind, item(0)]);
        let whole = side.items.join(" ");
        self.add("whole", &[name, order, &whole]);
        for word in side.content.iter().take(4) {
            self.add("bag", &[name, word]);
        }
        for word in &side.heads {
            self.add("head-any", &[word]);
            self.add("head", &[name, word]);
            self.add("head-order", &[name, order, word]);
        }
        if let (Some(first), Some(second)) = (side.content.first(), side.content.get(1)) {
            self.add("heads", &[name, first, second]);
        }
    }
}

/// The features of a pair. `plausible` says of each candidate whether it can be a subject at all.
pub(crate) fn pair_features(
    ontology: &Ontology,
    reading: &Reading,
    subject: usize,
    object: usize,
    plausible: &[bool],
) -> PairFeatures {
    let (Some(s), Some(o)) = (reading.group(subject), reading.group(object)) else {
        return PairFeatures::default();
    };
    let Some(candidate) = reading.candidate(object) else { return PairFeatures::default() };
    let stance = stance(reading, subject, object, plausible);
    let order = stance.order();
    let kind = kind(ontology, candidate);
    let mut collector = Collector { own: Vec::with_capacity(40) };
    collector.add("kind", &[&kind, order]);
    collector.near("L", &o.left, order, &kind);
    collector.near("R", &o.right, order, &kind);
    let adjacent = if stance.adjacent { "adjacent" } else { "apart" };
    // The subject's outer side: `the score of X was …`, `X's score …`.
    let (outer, inner) =
        if stance.subject_first { (&s.left, &s.right) } else { (&s.right, &s.left) };
    for word in outer.content.iter().take(2) {
        collector.add("subject-outer", &[order, adjacent, word]);
    }
    if let Some(word) = outer.heads.first() {
        collector.add("head-any", &[word]);
    }
    if let Some(first) = outer.items.first() {
        collector.add("subject-outer1", &[order, adjacent, first]);
    }
    if !stance.adjacent {
        for word in inner.content.iter().take(2) {
            collector.add("subject-inner", &[order, word]);
        }
    }
    let rank = ["0", "1", "2"].get(stance.rank).copied().unwrap_or("3");
    let reference = if reading.candidate(subject).is_some_and(|c| c.form == Form::Reference) {
        "reference"
    } else {
        "name"
    };
    let first = if subject == 0 { "first" } else { "later" };
    let shared = vec![
        feature("rank", &[order, rank]),
        feature("rank-adjacent", &[order, rank, adjacent]),
        feature("first", &[order, first]),
        feature("reference", &[order, reference]),
    ];
    PairFeatures { own: collector.own, shared }
}

/// Where the labels of a relation stand around the pair: the same features for every relation,
/// so that relations without examples profit from those with.
pub(crate) fn label_hits(
    relation: &Relation,
    reading: &Reading,
    subject: usize,
    object: usize,
) -> Vec<Feature> {
    let (Some(s), Some(o)) = (reading.group(subject), reading.group(object)) else {
        return Vec::new();
    };
    let order = if subject < object { "s<o" } else { "o<s" };
    let phrases: Vec<Vec<String>> =
        relation.labels.iter().map(|label| label.split_whitespace().map(stem).collect()).collect();
    let hit = |side: &Side, backwards: bool, reach: usize| {
        let window = side.items.get(..reach.min(side.items.len())).unwrap_or_default();
        phrases.iter().any(|phrase| {
            !phrase.is_empty()
                && window.windows(phrase.len()).any(|found| {
                    let mut pairs = found.iter().zip(phrase);
                    let mut mirrored = found.iter().rev().zip(phrase);
                    if backwards {
                        mirrored.all(|(a, b)| a == b)
                    } else {
                        pairs.all(|(a, b)| a == b)
                    }
                })
        })
    };
    let mut features = Vec::new();
    for (name, side, backwards, reach) in [
        ("oL3", &o.left, true, 3),
        ("oL", &o.left, true, usize::MAX),
        ("oR3", &o.right, false, 3),
        ("oR", &o.right, false, usize::MAX),
        ("sL", &s.left, true, 4),
        ("sR", &s.right, false, 4),
    ] {
        if hit(side, backwards, reach) {
            features.push(feature("label", &[name, order]));
            features.push(feature("label-any", &[]));
        }
    }
    features
}
