//! The operations that tell how a node is.

use quarry_types::api;

use super::{
    bodies::Alive,
    operation::{JSON, Operation, PROBLEM, flag},
    shape::Shape,
};
use crate::Code;

pub(crate) fn live() -> Operation {
    Operation::new("isAlive").answer(200, "The process is alive.").gives(JSON, Shape::of::<Alive>())
}

fn health(id: &'static str, well: &'static str, (ill, code): (&'static str, &[Code])) -> Operation {
    Operation::new(id)
        .answer(200, well)
        .gives(JSON, Shape::of::<api::Health>())
        .answer(503, ill)
        .gives(PROBLEM, Shape::of::<api::IllHealth>())
        .problems(code)
}

pub(crate) fn ready() -> Operation {
    let ill = ("The node takes no work now.", [Code::NotReady].as_slice());
    health("isReady", "The node takes work.", ill).query(
        "verbose",
        "Show all checks, not only those that failed.",
        flag(),
    )
}

pub(crate) fn deep() -> Operation {
    let ill = ("The node cannot do its work.", [Code::Unhealthy].as_slice());
    health("isHealthy", "The node does its work.", ill)
}
