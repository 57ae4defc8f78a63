//! `POST /api/rpc`: procedures, called in one of two ways.
//!
//! The short form is one call, `{"_tag": "extraction.extract", "payload": {…}}`, answered with
//! `{"_tag": "Success", "value": …}` or `{"_tag": "Failure", "error": {"_tag": …, "message": …}}`,
//! or with events, one per line or server-sent.
//! The frames are those of Effect's RPC protocol over HTTP, as JSON or one per line, so that its
//! clients work as they are. `route` tells the two apart; both end in `procedure`.

mod arguments;
mod events;
mod extraction;
mod fault;
mod frame;
mod frames;
mod procedure;
mod route;
mod short;
mod status;

pub(crate) use frame::{ClientFrame, ServerFrame};
#[cfg(test)]
pub(crate) use procedure::Procedure;
pub(crate) use route::call;
pub(crate) use short::{ShortAnswer, ShortEvent};
pub(crate) use status::StatusAnswer;
