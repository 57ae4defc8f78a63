//! The operation on voters.

use quarry_types::api::{ReplaceVoter, VoterReplaced};

use super::{
    operation::{JSON, Operation},
    shape::Shape,
};
use crate::Code;

pub(crate) fn replace_voter() -> Operation {
    Operation::new("replaceVoter")
        .body("Who votes no more, and who votes instead.", true)
        .takes(JSON, Shape::of::<ReplaceVoter>())
        .answer(200, "The one votes, and the other does not; doing it again changes nothing.")
        .gives(JSON, Shape::of::<VoterReplaced>())
        .problems(&[
            Code::InvalidBody,
            Code::NoSuchNode,
            Code::CoordinatorUnavailable,
            Code::ClusterRefused,
        ])
}
