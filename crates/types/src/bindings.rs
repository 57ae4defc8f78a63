//! Which entity types live on which group of runners.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use serde::{Deserialize, Serialize};

use crate::{EntityType, Space};

/// The name of the group of types that are bound to none: their entities live on any runner.
pub const DEFAULT_GROUP: &str = "default";

/// Entity types that are bound to groups, and the spaces of these groups. The space of a type never
/// changes once the type was used: its rows are found by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindings {
    /// The groups that have a space, that of space 1 first.
    pub groups: Vec<String>,
    /// The types that are bound, with the spaces of their groups.
    pub types: BTreeMap<EntityType, Space>,
    /// Whether it is known which types were used, as of the making of the cluster.
    pub are_uses_known: bool,
    /// The types that were used, where that is known.
    pub used: BTreeSet<EntityType>,
}

impl Bindings {
    /// The space in which entities of this type live; none where the type has to be used first.
    #[must_use]
    pub fn space_of(&self, entity_type: &EntityType) -> Option<Space> {
        let is_settled = !self.are_uses_known || self.used.contains(entity_type);
        is_settled.then(|| self.bound_to(entity_type))
    }

    /// The space in which entities of this type live, or would if it was used now.
    #[must_use]
    pub fn bound_to(&self, entity_type: &EntityType) -> Space {
        self.types.get(entity_type).copied().unwrap_or_default()
    }

    /// The group whose runners own the shards of `space`; none where any runner may.
    #[must_use]
    pub fn group(&self, space: Space) -> Option<&str> {
        let place = usize::from(space.0).checked_sub(1)?;
        self.groups.get(place).map(String::as_str)
    }

    /// The name of the group of `space`, for people.
    #[must_use]
    pub fn group_name(&self, space: Space) -> &str {
        self.group(space).unwrap_or(DEFAULT_GROUP)
    }

    /// The space of a group, where it has one.
    #[must_use]
    pub fn space_named(&self, group: &str) -> Option<Space> {
        if group == DEFAULT_GROUP {
            return Some(Space::DEFAULT);
        }
        let place = self.groups.iter().position(|known| known == group)?;
        u16::try_from(place + 1).ok().map(Space)
    }

    /// All spaces, the default one first.
    pub fn spaces(&self) -> impl Iterator<Item = Space> + use<> {
        (0..=u16::try_from(self.groups.len()).unwrap_or(u16::MAX)).map(Space)
    }

    /// The types that are bound, with the names of their groups.
    pub fn bound(&self) -> impl Iterator<Item = (&EntityType, &str)> + '_ {
        self.types.iter().map(|(entity_type, space)| (entity_type, self.group_name(*space)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_lives_in_the_space_of_its_group_from_its_first_use_on() {
        let [bound, free] = ["Heavy", "Light"].map(|name| EntityType::new(name).unwrap());
        let mut bindings = Bindings::default();
        assert_eq!(bindings.space_of(&free), Some(Space::DEFAULT), "uses are not counted");
        bindings.groups.push("gpu".into());
        bindings.types.insert(bound.clone(), Space(1));
        bindings.are_uses_known = true;
        assert_eq!((bindings.space_of(&bound), bindings.space_of(&free)), (None, None));
        bindings.used.extend([bound.clone(), free.clone()]);
        assert_eq!(bindings.space_of(&bound), Some(Space(1)));
        assert_eq!(bindings.space_of(&free), Some(Space::DEFAULT));
        assert_eq!(bindings.group(Space(1)), Some("gpu"));
        assert_eq!((bindings.group(Space(0)), bindings.group(Space(2))), (None, None));
        assert_eq!(bindings.space_named("gpu"), Some(Space(1)));
        assert_eq!(bindings.space_named(DEFAULT_GROUP), Some(Space::DEFAULT));
        assert_eq!(bindings.space_named("cpu"), None);
        assert_eq!(bindings.spaces().collect::<Vec<_>>(), [Space(0), Space(1)]);
    }
}
