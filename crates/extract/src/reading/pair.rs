//! Features of a subject and an object in one sentence.

use super::group::Group;
use super::{Feature, Places, Reading, Side, feature};
use crate::pack::Ontology;
use crate::span::{Candidate, Form};

/// Features that each relation weighs for itself, and where labels were searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct PairFeatures {
    pub(crate) own: Vec<Feature>,
    /// Shape of the pair, weighed alike for all relations.
    pub(crate) shared: Vec<Feature>,
    /// The content words around the pair, with their place.
    pub(crate) words: Vec<Feature>,
    /// Those between the two that stand by the subject, where others stand by the object: they may be
    /// about another object. `directed` for `B` in `X was directed by A and written by B`.
    pub(crate) distant: Vec<Feature>,
}

impl PairFeatures {
    /// All words around the pair, and whether they are about its object.
    pub(crate) fn all_words(&self) -> impl Iterator<Item = (&Feature, bool)> {
        let near = self.words.iter().map(|word| (word, true));
        near.chain(self.distant.iter().map(|word| (word, false)))
    }
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
        let unit = if value.unit.is_some() { "+unit" } else { "" };
        return format!("{}{unit}", value.xsd);
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
        let linked = side.is_linked();
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

/// The features of a pair at its `places`. `plausible` says of each candidate whether it can be a
/// subject at all.
pub(crate) fn pair_features(
    ontology: &Ontology,
    reading: &Reading,
    (subject, object): (usize, usize),
    places: &Places<'_>,
    plausible: &[bool],
) -> PairFeatures {
    let (s, o) = (&places.subject, &places.object);
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
    let governor = governor(reading, subject, stance, &o.left);
    if let Some(word) = governor {
        collector.add("governor", &[word]);
        collector.add("governor-kind", &[word, &kind]);
    } else if !stance.adjacent {
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
    let mut shared = vec![
        feature("rank", &[order, rank]),
        feature("rank-adjacent", &[order, rank, adjacent]),
        feature("first", &[order, first]),
        feature("reference", &[order, reference]),
    ];
    // `was designed by A and opened in`: what is said next is not said of the agent.
    let begins = |side: &Side, word: &str| side.items.first().is_some_and(|item| item == word);
    if stance.subject_first && begins(&s.left, "by") && begins(&s.right, "and") {
        shared.push(feature("agent-and", &[]));
    }
    let (mut words, distant) = words(stance, o, (outer, inner));
    words.extend(governor.map(|word| feature("governs", &[word])));
    PairFeatures { own: collector.own, shared, words, distant }
}

/// The content words around a pair, and those of them that may be about another object.
fn words(
    stance: Stance,
    o: &Group,
    (outer, inner): (&Side, &Side),
) -> (Vec<Feature>, Vec<Feature>) {
    let mut words: Vec<Feature> = near("oL", &o.left).chain(near("oR", &o.right)).collect();
    words.extend(near("sO", outer));
    let between = if stance.subject_first { &o.left } else { &o.right };
    if stance.adjacent || between.content.is_empty() {
        words.extend(near("sI", inner));
        return (words, Vec::new());
    }
    (words, near("sI", inner).collect())
}

/// The content words of a side, with its place.
fn near<'a>(place: &'a str, side: &'a Side) -> impl Iterator<Item = Feature> + 'a {
    let linked = if side.is_linked() { "&" } else { "" };
    side.content.iter().map(move |word| feature("near", &[place, linked, word]))
}

/// The word that governs the object, if it stands between the subject and the object.
fn governor<'a>(
    reading: &Reading,
    subject: usize,
    stance: Stance,
    left: &'a Side,
) -> Option<&'a str> {
    let (word, at) = left.governor.as_ref()?;
    let subject = reading.candidate(subject)?;
    (stance.subject_first && *at >= subject.outer.end).then_some(word)
}
