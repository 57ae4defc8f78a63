//! The procedures.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    events::{Events, follow},
    extraction::{Asked, Raw, begin, end},
    fault::Fault,
    status,
};
use crate::{Gateway, request::did_you_mean, trace::Trace};

/// A procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Procedure {
    /// Text and ontology in, knowledge graph out.
    Extract,
    /// The same, told as it happens.
    StreamExtract,
    /// How far an extraction is.
    GetStatus,
}

/// What a procedure answers.
pub(super) enum Answer {
    /// One value.
    Value(Raw),
    /// Events, the last of which ends it.
    Events(Events),
}

/// For how much of a procedure's work its caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// For its result.
    Result,
    /// For its being stored; the value is `null`.
    Stored,
}

impl Procedure {
    /// Every procedure.
    pub(crate) const ALL: &[Self] = &[Self::Extract, Self::StreamExtract, Self::GetStatus];

    /// Its name in calls.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Extract => "extraction.extract",
            Self::StreamExtract => "extraction.streamExtract",
            Self::GetStatus => "extraction.getStatus",
        }
    }

    /// The procedure of this name.
    ///
    /// # Errors
    /// A text that says what was meant or exists.
    pub(super) fn named(tag: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|procedure| procedure.tag() == tag);
        found.copied().ok_or_else(|| {
            let meant = did_you_mean(tag, Self::tags());
            let known: Vec<_> = Self::tags().collect();
            format!("there is no procedure {tag:?}{meant}; there are {}", known.join(", "))
        })
    }

    /// The names of all procedures.
    pub(super) fn tags() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|procedure| procedure.tag())
    }

    /// Runs the procedure with its payload.
    pub(super) async fn run(
        self,
        gateway: &Gateway,
        trace: &Trace,
        payload: Value,
        until: Until,
    ) -> Result<Answer, Fault> {
        match (self, until) {
            (Self::StreamExtract, Until::Result) => {
                follow(gateway, trace, payload).await.map(Answer::Events)
            }
            (Self::Extract | Self::StreamExtract, _) => {
                let asked = Asked::parse(gateway, trace, payload).await?;
                let message_id = begin(gateway, trace, &asked).await?;
                if until == Until::Stored {
                    return Ok(Answer::Value(RawValue::NULL.to_owned()));
                }
                end(gateway, message_id, asked.left(gateway)).await.map(Answer::Value)
            }
            (Self::GetStatus, _) => status::get(gateway, trace, payload).await.map(Answer::Value),
        }
    }
}

/// The bytes of what is answered.
pub(super) fn bytes<T: Serialize>(value: &T) -> Bytes {
    // Texts, numbers and JSON that was read before: writing them cannot fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}
