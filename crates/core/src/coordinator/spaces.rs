//! Entity types that are bound to groups, and the spaces in which they live.

use alloc::borrow::ToOwned;

use quarry_types::{Bindings, ClusterId, EntityType, SLOT_COUNT, ShardView, Space};

use super::{
    Founding, Ignored, Refused, Response, State,
    apply::{MAX_SHARDS, equal_shards},
    ownership::Entry,
};

/// How many types are recorded as used.
const MAX_USED: usize = 4_096;
/// How long the name of a group is.
const MAX_GROUP: usize = 64;

impl State {
    /// Makes the cluster with types that are bound to groups.
    pub(super) fn found(
        &mut self,
        entry: &mut Entry,
        cluster: ClusterId,
        (shards, max_moves): (u32, u32),
        founding: Founding,
    ) -> Response {
        if let Err(response) = self.may_be_made(cluster, shards, max_moves) {
            return response;
        }
        let Founding { bindings: wanted, groups, used } = founding;
        if let Some(types) = u32::try_from(used.len()).ok().filter(|_| used.len() > MAX_USED) {
            return Response::Refused(Refused::TooManyTypes { types });
        }
        let mut bindings = Bindings { are_uses_known: true, used, ..Bindings::default() };
        for group in groups {
            if let Err(refused) = space_of(&mut bindings, &group, shards) {
                return Response::Refused(refused);
            }
        }
        for (entity_type, group) in wanted {
            if let Err(refused) = bind(&mut bindings, entity_type, &group, shards) {
                return Response::Refused(refused);
            }
        }
        self.cluster = Some(cluster);
        self.max_moves = max_moves;
        self.shards = bindings.spaces().flat_map(|space| equal_shards(space, shards)).collect();
        self.bindings = bindings;
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// Binds a type that was never used. A group that has no space yet is given one.
    pub(super) fn bind(
        &mut self,
        entry: &mut Entry,
        entity_type: EntityType,
        group: &str,
    ) -> Response {
        let present = self.bindings.bound_to(&entity_type);
        if self.bindings.are_uses_known && self.bindings.space_named(group) == Some(present) {
            return Response::Ignored(Ignored::AlreadySo);
        }
        if !self.bindings.are_uses_known {
            return Response::Refused(Refused::UsesUnknown);
        }
        if self.bindings.used.contains(&entity_type) {
            return Response::Refused(Refused::TypeUsed);
        }
        let (mut bindings, shards) = (self.bindings.clone(), self.founded_shards());
        match bind(&mut bindings, entity_type, group, shards) {
            Ok(Some(made)) => self.shards.extend(equal_shards(made, shards)),
            Ok(None) => {}
            Err(refused) => return Response::Refused(refused),
        }
        self.bindings = bindings;
        self.settle(entry);
        Response::Applied(entry.changes)
    }

    /// Records that a type is used.
    pub(super) fn take_into_use(&mut self, entity_type: EntityType) -> Response {
        let Bindings { are_uses_known, used, .. } = &mut self.bindings;
        if !*are_uses_known || used.contains(&entity_type) {
            return Response::Ignored(Ignored::AlreadySo);
        }
        if used.len() >= MAX_USED {
            let types = u32::try_from(used.len()).unwrap_or(u32::MAX);
            return Response::Refused(Refused::TooManyTypes { types });
        }
        used.insert(entity_type);
        Response::Applied(super::Changes::default())
    }

    /// How many shards each space began with.
    fn founded_shards(&self) -> u32 {
        let width = |shard: &ShardView| {
            let range = shard.division().founded().range;
            u32::from(range.last.0) - u32::from(range.first.0) + 1
        };
        self.shards.values().next().map_or(1, |shard| SLOT_COUNT / width(shard))
    }
}

/// Binds a type; the space that was made for it, where one was.
fn bind(
    bindings: &mut Bindings,
    entity_type: EntityType,
    group: &str,
    shards: u32,
) -> Result<Option<Space>, Refused> {
    let known = bindings.groups.len();
    match space_of(bindings, group, shards)? {
        Space::DEFAULT => bindings.types.remove(&entity_type),
        space => bindings.types.insert(entity_type, space),
    };
    Ok(bindings.spaces().nth(known + 1))
}

/// The space of a group, which is made where it has none.
fn space_of(bindings: &mut Bindings, group: &str, shards: u32) -> Result<Space, Refused> {
    if let Some(space) = bindings.space_named(group) {
        return Ok(space);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if group.is_empty() || group.len() > MAX_GROUP || !group.chars().all(is_name) {
        return Err(Refused::InvalidGroup);
    }
    let groups = u32::try_from(bindings.groups.len()).unwrap_or(u32::MAX).saturating_add(1);
    let has_room = groups.saturating_add(1).saturating_mul(shards) <= MAX_SHARDS;
    let space = u16::try_from(groups).ok().map(Space).filter(|_| has_room);
    let space = space.ok_or(Refused::TooManyGroups { groups, shards })?;
    bindings.groups.push(group.to_owned());
    Ok(space)
}
