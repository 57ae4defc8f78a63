//! What a schedule is made of.

use alloc::{vec, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;
use quarry_types::Intervention;

/// One decision of the schedule; what cannot happen now is passed over.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send {
        entity: u8,
        key: u8,
        is_one_way: bool,
        delay: u64,
    },
    /// What an operator does to a message that was sent.
    Intervene {
        which: usize,
        intervention: Intervention,
    },
    Work,
    FailHandler,
    BreakHandler,
    Crash,
    /// The process ends in a handler.
    CrashInHandler,
    CrashAfterWrite,
    StoreAway,
    Reject,
    LoseShard,
    /// The shard moves to another process when nothing runs.
    Close,
    /// The same, and what runs is stopped.
    CutOff,
    Tick,
    /// A page that was asked for comes.
    Page,
    /// It is looked for what nothing would wake.
    Audit,
    /// A query of the entity.
    Ask {
        entity: u8,
    },
    /// The query that has run longest ends.
    AnswerQuery,
}

/// Most messages are not delayed.
fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 1 => 1..2_000_u64]
}

/// The payload with which a poisonous message is handled.
pub(super) const EDITED: Bytes = Bytes::from_static(b"edited");

fn intervention() -> impl Strategy<Value = Intervention> {
    prop_oneof![
        3 => Just(Intervention::Cancel),
        2 => Just(Intervention::Redrive { payload: None }),
        2 => Just(Intervention::Redrive { payload: Some(EDITED) }),
        2 => Just(Intervention::Drop),
    ]
}

/// What happens without a crash.
fn common() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..30_u8, any::<bool>(), delay())
            .prop_map(|(entity, key, is_one_way, delay)| Step::Send { entity, key, is_one_way, delay }),
        2 => (any::<usize>(), intervention())
            .prop_map(|(which, intervention)| Step::Intervene { which, intervention }),
        12 => Just(Step::Work),
        2 => Just(Step::FailHandler),
        2 => Just(Step::BreakHandler),
        1 => Just(Step::StoreAway),
        1 => Just(Step::Reject),
        1 => Just(Step::LoseShard),
        1 => prop_oneof![Just(Step::Close), Just(Step::CutOff)],
        2 => Just(Step::Tick),
        2 => Just(Step::Page),
        1 => Just(Step::Audit),
        1 => (0..3_u8).prop_map(|entity| Step::Ask { entity }),
        1 => Just(Step::AnswerQuery),
    ]
}

/// Whatever may happen.
pub(super) fn anything() -> impl Strategy<Value = Vec<Step>> {
    let crash =
        prop_oneof![Just(Step::Crash), Just(Step::CrashInHandler), Just(Step::CrashAfterWrite)];
    let step = prop_oneof![20 => common(), 1 => crash];
    prop::collection::vec(step, 1..300)
}

/// A short schedule without crashes.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(common(), 20..80)
}
