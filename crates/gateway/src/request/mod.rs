//! The parts of a request, parsed at the edge: what is malformed is refused here, with the name of
//! the part that is at fault.

mod body;
mod cursor;
mod decode;
mod headers;
mod nearest;
mod path;
mod query;
mod sound;

pub(crate) use body::{JsonBody, LinesBody, NoBody, PackBody};
pub(crate) use cursor::Cursors;
pub(crate) use decode::decode;
pub(crate) use headers::{
    IDEMPOTENCY_KEY, SendHeaders, accepted, accepts_events, accepts_json, accepts_lines,
    last_event_id,
};
pub(crate) use nearest::did_you_mean;
pub(crate) use path::{NodeIds, PathOf, check_escapes, entity_id, entity_type, method, node_ids};
pub(crate) use query::Query;
