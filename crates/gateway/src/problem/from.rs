//! What the runtime, the store and the coordinator say, as problems.

use quarry_ports::{CoordinatorError, StoreError};
use quarry_types::{CallError, Refusal, RefusalCode, Unknown};

use super::{Code, Problem};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, retry_after_ms } = refusal;
        let detail = message.clone();
        let mut problem = Self::new(Code::Refused(code), message);
        if let Some(milliseconds) = retry_after_ms {
            problem = problem.retry_after_ms(milliseconds);
        }
        match code {
            RefusalCode::KeyReused => problem.field("Idempotency-Key"),
            RefusalCode::UnknownType => problem.field("type"),
            RefusalCode::UnknownMethod => problem.field("method"),
            RefusalCode::NoSuchMessage => problem.field("mid"),
            RefusalCode::InvalidPayload => {
                let field = payload_field(&detail);
                problem.field(field)
            }
            _ => problem,
        }
    }
}

/// The member of the body at which decoding failed, from the decoder's `method: path: reason`;
/// `body` where it is the whole.
pub(crate) fn payload_field(detail: &str) -> String {
    let (_, rest) = detail.split_once(": ").unwrap_or(("", detail));
    let path = rest.split_once(": ").map(|(path, _)| path);
    let path = path.filter(|path| !path.is_empty() && !path.contains([' ', '`', '"']));
    let quoted = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|words| rest.split_once(words)?.1.split_once('`'))
        .map(|(name, _)| name);
    match (path, quoted) {
        (Some(path), Some(name)) if path.rsplit('.').next() != Some(name) => {
            format!("{path}.{name}")
        }
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "body".to_owned(),
    }
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Self {
        let problem = Self::new(Code::Unknown(unknown.code), unknown.message);
        match unknown.message_id {
            Some(message_id) => problem.message_id(message_id),
            None => problem,
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => refusal.into(),
            CallError::Unknown(unknown) => unknown.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable { .. } => Code::StoreUnavailable,
            StoreError::Corrupt { .. } => Code::StoreCorrupt,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CoordinatorError> for Problem {
    fn from(error: CoordinatorError) -> Self {
        let code = match error {
            CoordinatorError::Unavailable { .. } => Code::CoordinatorUnavailable,
            CoordinatorError::Refused { .. } => Code::ClusterRefused,
            CoordinatorError::NotYet { .. } => Code::ClusterBusy,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_at_fault_is_found_in_the_decoders_words() {
        for (detail, field) in [
            ("append: missing field `value` at line 1 column 2", "value"),
            ("append: unknown field `x`, expected `value`", "x"),
            ("append: to: duplicate field `x` at line 1 column 9", "to.x"),
            ("append: value: invalid type: integer `1`, expected a string", "value"),
            ("move: to[3].x: invalid value: integer `300`, expected u8", "to[3].x"),
            ("move: to: missing field `x` at line 1 column 9", "to.x"),
            ("add: invalid type: string \"a: b\", expected i64", "body"),
        ] {
            assert_eq!(payload_field(detail), field, "{detail}");
        }
    }
}
