//! From a pack to a model.

use std::collections::HashMap;

use super::class_model::ClassModel;
use super::example::{Aligned, Example};
use super::relation_model::{Known, RelationModel, Sample};
use crate::pack::{ClassId, ExampleSentence, Ontology, Range, RelationId};
use crate::reading::{Feature, label_hits, pair_features, spelling_features};
use crate::span::{Candidate, Form, Lexicon};
use crate::text::Source;

/// All that is induced from a pack.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) lexicon: Lexicon,
    pub(crate) classes: ClassModel,
    pub(crate) relations: RelationModel,
}

/// Most examples that are learned from.
const MOST_EXAMPLES: usize = 4_000;
/// Most bytes of their texts.
const MOST_EXAMPLE_BYTES: usize = 1024 * 1024;
/// Most names whose spelling is learned, and most times classes.
const MOST_NAMES: usize = 50_000;
const MOST_NAMES_TIMES_CLASSES: usize = 10_000_000;
/// Most pairs that are learned, times relations.
const MOST_PAIRS_TIMES_RELATIONS: usize = 2_000_000;

impl Model {
    pub(crate) fn induce(ontology: &Ontology) -> Self {
        let mut lexicon = Lexicon::of(ontology);
        let lessons = lessons(ontology);
        let examples: Vec<Example> =
            lessons.iter().map(|sentence| Example::of(ontology, sentence)).collect();
        let shown = examples.iter().flat_map(|example| &example.gold.spans);
        lexicon.closed = shown.filter_map(|span| span.class).collect();
        for (example, sentence) in examples.iter().zip(&lessons) {
            example.teach(&sentence.text, &mut lexicon);
        }
        if examples.is_empty() {
            lexicon.learn_labels(ontology);
        }
        let known = known_names(&examples, &lessons);
        let mut names = members(ontology);
        let most_pairs = MOST_PAIRS_TIMES_RELATIONS / ontology.relations().len().max(1);
        let mut samples = Vec::new();
        for (at, (example, sentence)) in examples.iter().zip(&lessons).enumerate() {
            if samples.len() > most_pairs {
                break;
            }
            for aligned in example.align(ontology, &sentence.text, &lexicon) {
                names.extend(named(
                    ontology,
                    &lexicon,
                    example,
                    (&aligned, &sentence.text),
                    &known,
                ));
                samples.extend(pairs(ontology, example, at, &aligned));
            }
        }
        let classes = ClassModel::train(ontology.classes().len(), &names);
        let relations = RelationModel::train(ontology.relations().len(), samples);
        Self { lexicon, classes, relations }
    }
}

/// The listed members of all classes; of very many, the first of each.
fn members(ontology: &Ontology) -> Vec<(Vec<Feature>, usize)> {
    let classes = ontology.classes().len().max(1);
    let of_each = MOST_NAMES.min(MOST_NAMES_TIMES_CLASSES / classes).div_ceil(classes);
    let listed = ontology.class_ids().flat_map(|id| {
        let members = ontology.class(id).map_or(&[][..], |class| &class.members);
        members.iter().take(of_each).map(move |(name, _)| (name, usize::from(id.0)))
    });
    listed.map(|(name, class)| (spelling_features(name), class)).collect()
}

/// The examples that are learned from: all, or of very many as many as take some seconds and some
/// hundred megabytes (measured: 2 ms and 32 KB each), evenly chosen.
pub(crate) fn lessons(ontology: &Ontology) -> Vec<&ExampleSentence> {
    let sentences = ontology.sentences();
    let bytes: usize = sentences.iter().map(|sentence| sentence.text.len()).sum();
    let parts = sentences.len().div_ceil(MOST_EXAMPLES).max(bytes.div_ceil(MOST_EXAMPLE_BYTES));
    let mut left = MOST_EXAMPLE_BYTES;
    let mut fits = |sentence: &&ExampleSentence| {
        let rest = left.checked_sub(sentence.text.len());
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    sentences.iter().step_by(parts.max(1)).filter(|sentence| fits(sentence)).collect()
}

/// The classes of the names that the examples' facts are about.
fn known_names(examples: &[Example], lessons: &[&ExampleSentence]) -> HashMap<String, ClassId> {
    let mut known = HashMap::new();
    for (example, sentence) in examples.iter().zip(lessons) {
        let source = Source::new(&sentence.text);
        for span in &example.gold.spans {
            let name = source.slice(span.start, span.end).to_owned();
            known.extend(span.class.map(|class| (name, class)));
        }
    }
    known
}

/// The names of an example with their classes. Where all facts are annotated, a name of which no
/// example states any is of none of the classes.
fn named(
    ontology: &Ontology,
    lexicon: &Lexicon,
    example: &Example,
    (aligned, text): (&Aligned, &str),
    known: &HashMap<String, ClassId>,
) -> Vec<(Vec<Feature>, usize)> {
    let reading = &aligned.reading;
    let none = ontology.classes().len();
    let source = Source::new(text);
    let mut names = Vec::new();
    for (at, (gold, candidate)) in aligned.gold.iter().zip(&reading.candidates).enumerate() {
        if !(candidate.is_named() || candidate.form == Form::Phrase) {
            continue;
        }
        let name = source.slice(candidate.start, candidate.end);
        let class = example.class_of(*gold).or_else(|| known.get(name).copied());
        let other = ontology.is_fully_annotated() && candidate.is_named();
        let unknown = gold.is_none() && candidate.listed.is_empty() && other;
        let Some(class) = class.map(|c| usize::from(c.0)).or(unknown.then_some(none)) else {
            continue;
        };
        let features = reading.name_features(&example.tokens, lexicon, ontology, at);
        names.push((features, class));
    }
    names
}

/// Can this candidate be a subject of the relation, as far as its form tells?
pub(crate) fn may_be_subject(ontology: &Ontology, relation: RelationId, c: &Candidate) -> bool {
    let Some(relation) = ontology.relation(relation) else { return false };
    match c.form {
        Form::Literal => false,
        Form::Reference | Form::Phrase => {
            c.stands_for.iter().any(|class| may_stand(ontology, *class, &relation.domain))
        }
        _ => true,
    }
}

/// Can this candidate be an object of the relation, as far as its form tells?
pub(crate) fn may_be_object(ontology: &Ontology, relation: RelationId, c: &Candidate) -> bool {
    let Some(relation) = ontology.relation(relation) else { return false };
    match &relation.range {
        Range::Literal(crate::pack::Datatype::Text) => {
            matches!(c.form, Form::Name | Form::Quoted | Form::Phrase)
        }
        Range::Literal(datatype) => c.value(*datatype).is_some(),
        Range::Classes(classes) => match c.form {
            Form::Literal => false,
            Form::Reference | Form::Phrase => {
                c.stands_for.iter().any(|class| may_stand(ontology, *class, classes))
            }
            Form::Listed if !starts_upper(c) => {
                c.listed.iter().any(|(class, _)| ontology.fits(*class, classes))
            }
            _ => true,
        },
    }
}

/// A listed word in lower case is what the list says; a capitalised one may be another name.
fn starts_upper(c: &Candidate) -> bool {
    c.listed.iter().any(|(_, name)| name.chars().next().is_some_and(char::is_uppercase))
}

/// May something called by this class be of one of the allowed ones (by either's lineage)?
fn may_stand(ontology: &Ontology, class: ClassId, allowed: &[ClassId]) -> bool {
    ontology.fits(class, allowed) || allowed.iter().any(|other| ontology.fits(*other, &[class]))
}

fn pairs(ontology: &Ontology, example: &Example, number: usize, aligned: &Aligned) -> Vec<Sample> {
    let reading = &aligned.reading;
    let meaning: Vec<Option<usize>> = aligned
        .gold
        .iter()
        .zip(&reading.candidates)
        .map(|(gold, candidate)| match candidate.form {
            Form::Reference => example.referent(ontology, &candidate.stands_for),
            _ => *gold,
        })
        .collect();
    let domains = ontology.domains();
    let plausible: Vec<bool> = meaning
        .iter()
        .map(|at| example.class_of(*at).is_some_and(|class| ontology.fits(class, &domains)))
        .collect();
    let mut samples = Vec::new();
    for (subject, s) in reading.candidates.iter().enumerate() {
        for (object, o) in reading.candidates.iter().enumerate() {
            let known =
                (meaning.get(subject).copied().flatten(), meaning.get(object).copied().flatten());
            let usable = ontology.is_fully_annotated() || (known.0.is_some() && known.1.is_some());
            let dangling = (s.form == Form::Reference && known.0.is_none())
                || (o.form == Form::Reference && known.1.is_none());
            let together = reading.are_coordinated(subject, object);
            let said = subject != object && !together && !reading.denies(subject, object);
            if !said || !usable || dangling || s.form == Form::Literal {
                continue;
            }
            let classes = (example.class_of(known.0), example.class_of(known.1));
            let relations: Vec<Option<Known>> = ontology
                .relation_ids()
                .map(|id| {
                    let may = may_be_subject(ontology, id, s) && may_be_object(ontology, id, o);
                    let relation = ontology.relation(id).filter(|_| may)?;
                    let holds = matches!(
                        known, (Some(s), Some(o)) if holds(ontology, example, s, id, o)
                    );
                    let fits = classes.0.is_none_or(|c| ontology.fits(c, &relation.domain))
                        && match &relation.range {
                            Range::Classes(range) => {
                                classes.1.is_none_or(|c| ontology.fits(c, range))
                            }
                            Range::Literal(_) => true,
                        };
                    let labels = label_hits(relation, reading, subject, object);
                    Some(Known { labels, holds, fits, silent: false })
                })
                .collect();
            let Some(places) = reading.places(subject, object).into_iter().next() else { continue };
            let pair = pair_features(ontology, reading, (subject, object), &places, &plausible);
            samples.push(Sample { pair, relations, example: number });
        }
    }
    samples
}

/// Stated as it is, or through the inverse relation.
fn holds(
    ontology: &Ontology,
    example: &Example,
    subject: usize,
    relation: RelationId,
    object: usize,
) -> bool {
    let inverse = ontology.relation(relation).and_then(|relation| relation.inverse);
    let mirrored = ontology
        .relation_ids()
        .find(|other| ontology.relation(*other).is_some_and(|r| r.inverse == Some(relation)));
    example.states(subject, relation, object)
        || inverse.or(mirrored).is_some_and(|inverse| example.states(object, inverse, subject))
}
