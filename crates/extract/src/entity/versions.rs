//! What is kept of an ontology: the pack that its id stands for, and earlier ones.

use quarry::{prelude::*, types::Timestamp};

use super::ontology::{Described, MOST_PACKED, Shown};
use crate::pack::{Format, Ontology, Packed};

/// How many earlier versions are kept at most.
const MOST_EARLIER: usize = 8;

/// The version that an id stands for, and earlier ones: as many as fit beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Versions {
    current: Option<Kept>,
    /// Newest first; none is the current one.
    earlier: Vec<Kept>,
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) version: String,
    format: Format,
    label: String,
    classes: u32,
    relations: u32,
    examples: u32,
    put_at: Timestamp,
    packed: Packed,
}

impl Kept {
    pub(super) fn of(
        ontology: &Ontology,
        format: Format,
        packed: Packed,
        put_at: Timestamp,
    ) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            version: ontology.version().to_owned(),
            format,
            label: ontology.label().to_owned(),
            classes: number(ontology.classes().len()),
            relations: number(ontology.relations().len()),
            examples: number(ontology.sentences().len()),
            put_at,
            packed,
        }
    }

    pub(super) fn described(&self) -> Described {
        Described {
            version: self.version.clone(),
            format: self.format,
            label: self.label.clone(),
            classes: self.classes,
            relations: self.relations,
            examples: self.examples,
            put_at: self.put_at,
        }
    }

    pub(super) fn shown(&self) -> Shown {
        let (version, packed) = (self.version.clone(), self.packed.clone());
        Shown { version, format: self.format, packed }
    }
}

impl Versions {
    pub(super) fn current(&self) -> Option<&Kept> {
        self.current.as_ref()
    }

    /// A version, the current one where none is named.
    pub(super) fn get(&self, version: Option<&str>) -> Option<&Kept> {
        let Some(version) = version else { return self.current() };
        self.current.iter().chain(&self.earlier).find(|kept| kept.version == version)
    }

    /// Makes this version the current one. The same again changes nothing.
    pub(super) fn place(&mut self, kept: Kept) -> &Kept {
        if self.current.as_ref().is_none_or(|current| current.version != kept.version) {
            self.clear();
            self.earlier.retain(|earlier| earlier.version != kept.version);
            self.current = Some(kept.clone());
        }
        self.trim();
        self.current.get_or_insert(kept)
    }

    /// Takes the current version among the earlier ones, and answers it.
    pub(super) fn clear(&mut self) -> Option<String> {
        let current = self.current.take()?;
        let version = current.version.clone();
        self.earlier.insert(0, current);
        self.trim();
        Some(version)
    }

    fn trim(&mut self) {
        self.earlier.truncate(MOST_EARLIER);
        let size = |kept: &Kept| kept.packed.len();
        let mut left = MOST_PACKED.saturating_sub(self.current.as_ref().map_or(0, size));
        let fits = |kept: &Kept| {
            let rest = left.checked_sub(size(kept));
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        let count = self.earlier.iter().map(fits).take_while(|fits| *fits).count();
        self.earlier.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random digits, which do not shrink much.
    fn kept(version: u32, bytes: usize) -> Kept {
        let mut state = u64::from(version) + 1;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_digit(u32::try_from(state >> 60).unwrap_or(0), 16).unwrap_or('0')
        });
        let packed = Packed::of(&noise.take(bytes).collect::<String>());
        let ontology = Ontology::from_toml("id = \"a\"\n[[class]]\nname = \"A\"\n").unwrap();
        let kept = Kept::of(&ontology, Format::Toml, packed, Timestamp(0));
        Kept { version: version.to_string(), ..kept }
    }

    fn shown(versions: &Versions) -> (Option<&str>, Vec<&str>) {
        let current = versions.current().map(|kept| kept.version.as_str());
        (current, versions.earlier.iter().map(|kept| kept.version.as_str()).collect())
    }

    #[test]
    fn earlier_versions_are_kept_until_newer_ones_push_them_out() {
        let mut versions = Versions::default();
        for version in 0..12 {
            versions.place(kept(version, 10));
        }
        let (current, earlier) = shown(&versions);
        assert_eq!(current, Some("11"));
        assert_eq!(earlier, ["10", "9", "8", "7", "6", "5", "4", "3"]);
        assert!(versions.get(Some("3")).is_some() && versions.get(Some("2")).is_none());
    }

    #[test]
    fn the_same_again_changes_nothing_and_an_earlier_one_comes_back() {
        let mut versions = Versions::default();
        versions.place(kept(1, 10));
        versions.place(Kept { put_at: Timestamp(9), ..kept(1, 10) });
        assert_eq!(shown(&versions), (Some("1"), vec![]));
        assert_eq!(versions.current().map(|kept| kept.put_at), Some(Timestamp(0)));
        versions.place(kept(2, 10));
        versions.place(kept(1, 10));
        assert_eq!(shown(&versions), (Some("1"), vec!["2"]));
    }

    #[test]
    fn what_is_deleted_can_still_be_read_by_its_version() {
        let mut versions = Versions::default();
        assert_eq!(versions.clear(), None);
        versions.place(kept(1, 10));
        assert_eq!(versions.clear().as_deref(), Some("1"));
        assert!(versions.get(None).is_none());
        assert!(versions.get(Some("1")).is_some());
    }

    #[test]
    fn a_large_pack_pushes_out_what_does_not_fit_beside_it() {
        let mut versions = Versions::default();
        versions.place(kept(1, 10));
        versions.place(kept(2, 2_000_000));
        versions.place(kept(3, 5_000_000));
        assert_eq!(shown(&versions), (Some("3"), vec!["2", "1"]), "as much as 6 MiB holds");
        versions.place(kept(4, 6_000_000));
        assert_eq!(shown(&versions), (Some("4"), vec![]));
    }
}
