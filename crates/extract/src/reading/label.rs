//! Where the labels of a relation stand around a pair, and which way they are said.

use super::{Feature, Reading, Side, feature};
use crate::pack::Relation;
use crate::text::{is_preposition, stem};

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
    let mut features = Vec::new();
    for (name, side, backwards, reach) in [
        ("oL3", &o.left, true, 3),
        ("oL", &o.left, true, usize::MAX),
        ("oR3", &o.right, false, 3),
        ("oR", &o.right, false, usize::MAX),
        ("sL", &s.left, true, 4),
        ("sR", &s.right, false, 4),
    ] {
        let window = side.items.get(..reach.min(side.items.len())).unwrap_or_default();
        if phrases.iter().any(|phrase| position(window, phrase, backwards).is_some()) {
            features.push(feature("label", &[name, order]));
            features.push(feature("label-any", &[]));
        }
    }
    let later = if subject < object { o } else { s };
    let ways = || phrases.iter().filter_map(|phrase| way(&later.left, phrase, subject < object));
    if ways().any(|along| along) {
        features.push(feature("label-way", &["along"]));
    } else if ways().next().is_some() {
        features.push(feature("label-way", &["against"]));
    }
    features
}

/// Where a phrase begins in items, which stand backwards on a left side.
fn position(items: &[String], phrase: &[String], backwards: bool) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    items.windows(phrase.len()).position(|found| {
        let mut pairs = found.iter().zip(phrase);
        let mut mirrored = found.iter().rev().zip(phrase);
        if backwards { mirrored.all(|(a, b)| a == b) } else { pairs.all(|(a, b)| a == b) }
    })
}

/// Whether the words between a pair, which stand left of its later part, say a phrase the way the
/// pair is meant; `None` where they do not tell. *Designed by* leads from the subject to the object,
/// *designed* from the object to the subject. Other phrases lead on, and back where *of* or *by*
/// follows them: *the capital of*, *was acquired by*.
fn way(between: &Side, phrase: &[String], subject_first: bool) -> Option<bool> {
    let items = &between.items;
    let follows = |at: usize| at.checked_sub(1).and_then(|at| items.get(at)).map(String::as_str);
    let (last, words) = phrase.split_last()?;
    if let Some(at) = position(items, phrase, true) {
        let back = !is_preposition(last) && matches!(follows(at), Some("of" | "by"));
        return (back || is_preposition(last)).then_some(back != subject_first);
    }
    if last != "by" {
        return None;
    }
    let at = position(items, words, true)?;
    (follows(at) != Some("by")).then_some(!subject_first)
}
