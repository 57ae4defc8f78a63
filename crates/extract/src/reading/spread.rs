//! What is said of a pair by several words at once, said by each alone: *wrote, directed and edited
//! X* says of `X` what *wrote X*, *directed X* and *edited X* say.

use std::borrow::Cow;

use super::Side;
use super::group::Group;
use crate::text::is_preposition;

/// The places of a subject and an object in their sentence.
#[derive(Clone, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) subject: Cow<'a, Group>,
    pub(crate) object: Cow<'a, Group>,
}

impl Places<'_> {
    /// The same places, once for each of the coordinated words between subject and object. None
    /// where there are no two of them.
    pub(super) fn spread(&self, subject_first: bool) -> Vec<Self> {
        let between = if subject_first { &self.object.left } else { &self.object.right };
        if between.heads.len() < 2 {
            return Vec::new();
        }
        between.heads.iter().map(|head| self.with_only(head, subject_first)).collect()
    }

    fn with_only(&self, head: &str, subject_first: bool) -> Self {
        let mut subject = self.subject.clone().into_owned();
        let mut object = self.object.clone().into_owned();
        let between = if subject_first {
            [&mut subject.right, &mut object.left]
        } else {
            [&mut subject.left, &mut object.right]
        };
        for side in between {
            side.keep_only(head);
        }
        Self { subject: Cow::Owned(subject), object: Cow::Owned(object) }
    }
}

impl Side {
    /// Leaves of the coordinated words only `head`, if it is one of them.
    fn keep_only(&mut self, head: &str) {
        let places: Vec<usize> = self.places_of_heads();
        let (Some(first), Some(last)) = (places.first().copied(), places.last().copied()) else {
            return;
        };
        if places.len() < 2 || !self.heads.iter().any(|other| other == head) {
            return;
        }
        let is_nearest = self.items.get(first).is_some_and(|nearest| nearest == head);
        // `directed and starred in X`: the preposition is the nearest word's alone.
        let governs = |item: &String| is_preposition(item) && item != "by";
        let near = self.items.get(..first).unwrap_or_default().iter();
        let near = near.filter(|item| is_nearest || !governs(item)).cloned();
        let far = self.items.get(last + 1..).unwrap_or_default().iter().cloned();
        let items = near.chain([head.to_owned()]).chain(far).collect();
        self.items = items;
        let heads = std::mem::replace(&mut self.heads, vec![head.to_owned()]);
        self.content.retain(|word| word == head || !heads.contains(word));
    }

    /// Where the coordinated words stand among the items.
    fn places_of_heads(&self) -> Vec<usize> {
        let mut from = 0;
        let mut places = Vec::new();
        for head in &self.heads {
            let rest = self.items.get(from..).unwrap_or_default();
            let Some(at) = rest.iter().position(|item| item == head) else { break };
            places.push(from + at);
            from += at + 1;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(items: &[&str], heads: &[&str]) -> Side {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Side { items: owned(items), content: owned(heads), heads: owned(heads), ..Side::default() }
    }

    fn kept(items: &[&str], heads: &[&str], head: &str) -> String {
        let mut side = side(items, heads);
        side.keep_only(head);
        format!("{} | {} | {}", side.items.join(" "), side.content.join(" "), side.heads.join(" "))
    }

    #[test]
    fn of_coordinated_words_one_is_left_with_what_belongs_to_it() {
        let active = ["edit", "and", "direct", ",", "write"];
        let heads = ["edit", "direct", "write"];
        assert_eq!(kept(&active, &heads, "direct"), "direct | direct | direct");
        let passive = ["was", "produce", "and", "direct", "by"];
        let said = kept(&passive, &["produce", "direct"], "direct");
        assert_eq!(said, "was direct by | direct | direct");
    }

    #[test]
    fn a_preposition_stays_with_the_word_before_it() {
        let items = ["in", "star", "and", "direct"];
        assert_eq!(kept(&items, &["star", "direct"], "direct"), "direct | direct | direct");
        assert_eq!(kept(&items, &["star", "direct"], "star"), "in star | star | star");
        let agent = ["by", "direct", "and", "produce"];
        assert_eq!(
            kept(&agent, &["direct", "produce"], "produce"),
            "by produce | produce | produce"
        );
    }

    #[test]
    fn one_word_alone_stays_as_it_is() {
        assert_eq!(kept(&["direct"], &["direct"], "direct"), "direct | direct | direct");
        assert_eq!(kept(&["direct", "x"], &["direct"], "write"), "direct x | direct | direct");
    }
}
