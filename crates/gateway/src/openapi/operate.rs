//! The operations on many messages, and on messages that stand.

use quarry_types::{
    RefusalCode,
    batch::{Batch, BatchAnswers, BatchMessage},
    operate::{Bulk, BulkAnswer, Intervened, Redrive},
};
use serde_json::Value;

use super::{
    operation::{JSON, Operation, duration},
    problems::Calls,
    shape::Shape,
};
use crate::Code;

pub(crate) fn send_batch() -> Operation {
    Operation::new("sendMessages")
        .query("timeout", "How long to wait for the outcomes; 30s by default.", duration())
        .body("The messages.", true)
        .takes(JSON, Shape::of::<Batch<BatchMessage<Value>>>())
        .answer(200, "What became of each message, in their order.")
        .gives(JSON, Shape::of::<BatchAnswers<Value>>())
        .problems(&[Code::InvalidBody])
}

/// What acting on a message may be refused with.
const REFUSED: &[Code] = &[
    Code::Refused(RefusalCode::NoSuchMessage),
    Code::Refused(RefusalCode::AlreadyFinished),
    Code::Refused(RefusalCode::NotQuarantined),
];

/// An operation on one message that stands.
fn acting(id: &'static str, does: &'static str) -> Operation {
    Operation::new(id)
        .calls(Calls::Operating)
        .query("timeout", "How long to wait for it to be stored; 30s by default.", duration())
        .answer(200, does)
        .gives(JSON, Shape::of::<Intervened<Value>>())
        .with(&["Quarry-Message-Id", "Idempotency-Replayed"])
        .problems(REFUSED)
}

pub(crate) fn cancel() -> Operation {
    acting("cancelMessage", "The message has ended with the failure `cancelled`.")
}

pub(crate) fn drop_one() -> Operation {
    acting("dropMessage", "The message has ended with the failure `dropped`.")
}

pub(crate) fn redrive() -> Operation {
    acting("redriveMessage", "The message runs again, with all its attempts before it.")
        .body("Another argument of the method; nothing to keep the one that it has.", false)
        .takes(JSON, Shape::of::<Redrive<Value>>())
        .problems(&[Code::InvalidBody, Code::StoreUnavailable, Code::StoreCorrupt])
}

/// An operation on a page of messages.
fn acting_on_many(id: &'static str) -> Operation {
    Operation::new(id)
        .query("timeout", "How long to wait for each to be stored; 30s by default.", duration())
        .body("Which messages. The page behind `cursor` is acted on.", true)
        .takes(JSON, Shape::of::<Bulk>())
        .answer(200, "What came of a page of them. Go on with `next` until there is none.")
        .gives(JSON, Shape::of::<BulkAnswer>())
        .problems(&[
            Code::InvalidBody,
            Code::Refused(RefusalCode::UnknownType),
            Code::StoreUnavailable,
            Code::StoreCorrupt,
        ])
}

pub(crate) fn cancel_many() -> Operation {
    acting_on_many("cancelMessages")
}

pub(crate) fn redrive_many() -> Operation {
    acting_on_many("redriveMessages")
}

pub(crate) fn drop_many() -> Operation {
    acting_on_many("dropMessages")
}
