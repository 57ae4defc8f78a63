//! The operations on the cluster.

use quarry_types::{RefusalCode, api};
use serde_json::{Value, json};

use super::{
    operation::{JSON, Operation},
    shape::Shape,
};
use crate::Code;

pub(crate) fn cluster() -> Operation {
    Operation::new("showCluster")
        .answer(200, "The cluster as the answering node knows it.")
        .gives(JSON, Shape::of::<api::Cluster>())
}

pub(crate) fn shards() -> Operation {
    Operation::new("listShards")
        .answer(200, "All shards, in order of their slots.")
        .gives(JSON, Shape::of::<api::Shards>())
}

/// Ids of nodes, as a path or a parameter takes them.
fn node_ids() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(,[0-9]+)*$" })
}

pub(crate) fn plan() -> Operation {
    Operation::new("planCluster")
        .query("if_lost", "Nodes that are taken to be lost, with commas between.", node_ids())
        .answer(200, "What would change hands until the cluster is at rest.")
        .gives(JSON, Shape::of::<api::Plan>())
        .problems(&[Code::NoSuchNode])
}

pub(crate) fn moves() -> Operation {
    Operation::new("listMoves")
        .answer(200, "The last changes of hands, newest first.")
        .gives(JSON, Shape::of::<api::Moves>())
}

fn change(id: &'static str) -> Operation {
    Operation::new(id)
        .path("id", "A node's id, or several with commas between.", node_ids())
        .answer(200, "The change is applied; doing it again changes nothing.")
        .gives(JSON, Shape::of::<api::Change>())
        .problems(&[Code::NoSuchNode, Code::CoordinatorUnavailable, Code::ClusterRefused])
}

pub(crate) fn drain() -> Operation {
    change("drainNode")
}

pub(crate) fn undrain() -> Operation {
    change("undrainNode")
}

pub(crate) fn bind_type() -> Operation {
    Operation::new("bindType")
        .body("The type, and the group of runners on which its entities are to live.", true)
        .takes(JSON, Shape::of::<api::Binding>())
        .answer(200, "The type is bound; doing it again changes nothing.")
        .gives(JSON, Shape::of::<api::Bound>())
        .problems(&[
            Code::InvalidBody,
            Code::InvalidName,
            Code::Refused(RefusalCode::UnknownType),
            Code::CoordinatorUnavailable,
            Code::ClusterRefused,
        ])
}

pub(crate) fn split_shard() -> Operation {
    Operation::new("splitShard")
        .path("id", "A shard's id.", json!({ "type": "string", "pattern": "^[0-9]+$" }))
        .answer(200, "The shard is split; doing it again changes nothing.")
        .gives(JSON, Shape::of::<api::Split>())
        .problems(&[
            Code::NoSuchShard,
            Code::CoordinatorUnavailable,
            Code::ClusterBusy,
            Code::ClusterRefused,
        ])
}
