//! The operations on many messages, and on messages that stand.

use quarry_types::batch::{Batch, BatchAnswers, BatchMessage};
use serde_json::Value;

use super::{
    operation::{JSON, Operation, duration},
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
