//! What a coordinator is made with where the data of all voters were lost and the store is there still.

use std::collections::BTreeMap;

use quarry_core::coordinator::{Command, Founding, Response, State};
use quarry_store::Uses;
use quarry_types::{ClusterId, DEFAULT_GROUP, EntityType, Space};

use crate::failure::{Exit, Failure};

/// What is configured, with the spaces and uses that the store has rows of. The rows of a type are found
/// by its space, so the configuration has to bind what the lost coordinator bound.
///
/// # Errors
/// Names the type or the number of groups in which the configuration is not what the store has.
pub(crate) fn founding(
    bindings: BTreeMap<EntityType, String>,
    uses: Uses,
) -> Result<Founding, Failure> {
    let knew_groups = uses.loaded.iter().any(|space| *space != Space::DEFAULT);
    if bindings.is_empty() && !knew_groups {
        return Ok(Founding::default());
    }
    let mut places: BTreeMap<Space, &str> = BTreeMap::new();
    for (entity_type, space) in &uses.placed {
        let group = bindings.get(entity_type).map_or(DEFAULT_GROUP, String::as_str);
        let stands = *places.entry(*space).or_insert(group) == group;
        let is_alone = places.iter().all(|(other, held)| other == space || *held != group);
        let is_default = group == DEFAULT_GROUP;
        if is_default != (*space == Space::DEFAULT) || !stands || !is_alone {
            return Err(other_group(entity_type, *space, group));
        }
    }
    if let Some(unsaid) =
        uses.types.iter().find(|name| !is_placed(&uses, name) && !bindings.contains_key(*name))
        && knew_groups
    {
        return Err(unsaid_group(unsaid));
    }
    let mut rest: Vec<&str> = bindings.values().map(String::as_str).collect();
    rest.sort_unstable();
    rest.dedup();
    rest.retain(|group| !places.values().any(|held| held == group) && *group != DEFAULT_GROUP);
    let mut rest = rest.into_iter();
    let last = uses.loaded.iter().chain(places.keys()).max().copied().unwrap_or_default();
    let mut groups = Vec::new();
    for space in (1..=last.0).map(Space) {
        let group = places.get(&space).copied().or_else(|| rest.next());
        groups.push(group.ok_or_else(|| too_few(last, &groups))?.to_owned());
    }
    Ok(Founding { bindings, groups, used: uses.types })
}

/// Whether a cluster can be made with this: the coordinator would refuse it when the node serves already.
///
/// # Errors
/// What the coordinator would say.
pub(crate) fn tried(founding: &Founding, shards: u32, max_moves: u32) -> Result<(), Failure> {
    let (cluster, founding) = (ClusterId(0), founding.clone());
    let command = Command::Found { cluster, shards, max_moves, founding };
    match State::default().apply(1, command) {
        Response::Refused(reason) => Err(Failure::new(Exit::Usage, reason.to_string())
            .advise("see group in [entities] and [entities.TYPE], and cluster.shards")),
        _ => Ok(()),
    }
}

fn is_placed(uses: &Uses, entity_type: &EntityType) -> bool {
    uses.placed.iter().any(|(placed, _)| placed == entity_type)
}

fn unsaid_group(entity_type: &EntityType) -> Failure {
    let message = format!(
        "the store has states of {entity_type} and no messages that tell its group, and the \
         configuration does not either"
    );
    Failure::new(Exit::Refused, message).advise(format!(
        "bind it as the lost coordinator did: group in [entities.{entity_type}], {DEFAULT_GROUP:?} for \
         none"
    ))
}

fn other_group(entity_type: &EntityType, space: Space, group: &str) -> Failure {
    let held = match space {
        Space::DEFAULT => "those of no group".to_owned(),
        Space(number) => format!("those of the cluster's group number {number}"),
    };
    let message = format!(
        "the rows of {entity_type} are among {held}, and the configuration binds it to group \
         {group:?}: its messages would not be found"
    );
    Failure::new(Exit::Refused, message).advise(
        "bind it as the lost coordinator did: group in [entities.TYPE], or none; types of one group \
         have one group, others another",
    )
}

fn too_few(last: Space, groups: &[String]) -> Failure {
    let message = format!(
        "the store has shards of {} groups, and the configuration names {}",
        last.0,
        groups.len()
    );
    Failure::new(Exit::Refused, message)
        .advise("bind types as the lost coordinator did: group in [entities.TYPE]")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn named(name: &str) -> EntityType {
        EntityType::new(name).unwrap()
    }

    fn bindings(bound: &[(&str, &str)]) -> BTreeMap<EntityType, String> {
        bound.iter().map(|(of, group)| (named(of), (*group).to_owned())).collect()
    }

    /// Rows of types, and shards of as many spaces as there are.
    fn uses(placed: &[(&str, u16)], spaces: u16) -> Uses {
        Uses {
            loaded: (0..=spaces).map(Space).collect(),
            placed: placed.iter().map(|(of, space)| (named(of), Space(*space))).collect(),
            types: placed.iter().map(|(of, _)| named(of)).collect(),
        }
    }

    fn told(bound: &[(&str, &str)], uses: Uses) -> String {
        let failure = founding(bindings(bound), uses).unwrap_err();
        failure.to_string()
    }

    #[test]
    fn a_store_without_groups_is_taken_as_before() {
        let found = founding(bindings(&[]), uses(&[("Counter", 0)], 0)).unwrap();
        assert_eq!(found, Founding::default());
        let empty = founding(bindings(&[("Heavy", "gpu")]), Uses::default()).unwrap();
        let expected = Founding { bindings: bindings(&[("Heavy", "gpu")]), ..Founding::default() };
        assert_eq!(empty, expected);
    }

    #[test]
    fn groups_have_the_spaces_that_their_types_have_rows_in() {
        let bound = [("Heavy", "gpu"), ("Late", "late"), ("Wide", "big")];
        let rows = uses(&[("Counter", 0), ("Heavy", 3), ("Wide", 1)], 3);
        let found = founding(bindings(&bound), rows).unwrap();
        assert_eq!(found.groups, ["big", "late", "gpu"]);
        assert_eq!(found.used, BTreeSet::from(["Counter", "Heavy", "Wide"].map(named)));
    }

    #[test]
    fn what_no_cluster_can_be_made_with_is_told_before_it_is_tried() {
        let made = |group, shards| {
            let bindings = bindings(&[("Heavy", group)]);
            tried(&Founding { bindings, ..Founding::default() }, shards, 4)
        };
        assert_eq!(made("gpu", 256), Ok(()));
        let refused = made("a100.80gb", 256).unwrap_err().to_string();
        assert!(refused.contains("a group is named by"), "{refused}");
        let refused = made("gpu", 65_536).unwrap_err().to_string();
        assert!(refused.contains("65536"), "{refused}");
    }

    #[test]
    fn a_type_of_which_there_are_only_states_has_to_be_bound_in_words() {
        let with_states = || {
            let mut uses = uses(&[("Heavy", 1)], 1);
            uses.types.insert(named("Old"));
            uses
        };
        assert!(told(&[("Heavy", "gpu")], with_states()).contains("states of Old"));
        for group in ["gpu", DEFAULT_GROUP] {
            let bound = bindings(&[("Heavy", "gpu"), ("Old", group)]);
            let found = founding(bound, with_states()).unwrap();
            assert!(found.used.contains(&named("Old")), "{found:?}");
        }
    }

    #[test]
    fn what_is_configured_otherwise_is_refused() {
        let heavy = |space| uses(&[("Heavy", space)], 1);
        assert!(told(&[("Heavy", "gpu")], heavy(0)).contains("those of no group"));
        assert!(told(&[("Other", "gpu")], heavy(1)).contains("group number 1"));
        let two = uses(&[("Heavy", 1), ("Wide", 1)], 1);
        assert!(told(&[("Heavy", "gpu"), ("Wide", "big")], two).contains("Wide"));
        let apart = uses(&[("Heavy", 1), ("Wide", 2)], 2);
        assert!(told(&[("Heavy", "gpu"), ("Wide", "gpu")], apart).contains("Wide"));
        assert!(told(&[], uses(&[], 2)).contains("shards of 2 groups"));
        assert!(told(&[("Heavy", "gpu")], uses(&[("Heavy", 1)], 2)).contains("names 1"));
    }
}
