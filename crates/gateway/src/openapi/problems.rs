//! Which problems a route answers with.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use quarry_types::{Epoch, RefusalCode, UnknownCode};

use super::operation::Operation;
use crate::{Code, router::Route};

/// How a route sends messages to entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// It does not.
    Nothing,
    /// It reads, which stores nothing.
    Reading,
    /// As its client says, by headers and parameters.
    Sending,
    /// It acts on messages, which may be refused.
    Operating,
    /// In procedures, whose errors are answers.
    Inside,
}

/// What any route may answer.
const ALWAYS: &[Code] = &[Code::MalformedPath, Code::UnknownParameter];

/// What comes of reading a body, also where there should be none.
const BODY: &[Code] = &[Code::UnreadableBody, Code::BodyTooLarge, Code::BodyTimeout];

const REFUSALS: &[RefusalCode] = &[
    RefusalCode::NotOwner(Epoch(0)),
    RefusalCode::NoOwner,
    RefusalCode::LeaseOver,
    RefusalCode::Overloaded,
    RefusalCode::Draining,
    RefusalCode::UnknownType,
    RefusalCode::UnknownMethod,
    RefusalCode::InvalidPayload,
    RefusalCode::KeyReused,
    RefusalCode::TooLarge,
    RefusalCode::StoreUnavailable,
    RefusalCode::Deadline,
    RefusalCode::HandlerFailed,
];

const UNKNOWNS: &[UnknownCode] = &[
    UnknownCode::Deadline,
    UnknownCode::LinkLost,
    UnknownCode::OwnerLost,
    UnknownCode::Quarantined,
];

/// All problems of a route, by status, under the names that programs see. An empty name stands for
/// the codes that entities declare.
pub(crate) fn problems(
    route: &Route,
    operation: &Operation,
) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut codes: Vec<Code> = [ALWAYS, &operation.problems].concat();
    codes.extend(if route.method == Method::GET {
        [Code::ReadTimeout, Code::ReadPanic]
    } else {
        [Code::ChangeTimeout, Code::ChangePanic]
    });
    if route.path.contains('{') {
        codes.push(Code::InvalidName);
    }
    if operation.calls == Calls::Operating {
        codes.extend(called().filter(|code| *code != Code::Failed));
    }
    if !route.is_probe() {
        codes.push(Code::GatewayBusy);
        codes.extend(BODY);
        codes.extend(match operation.body {
            Some(_) => [Code::MalformedJson, Code::UnsupportedMediaType].as_slice(),
            None => &[Code::UnexpectedBody],
        });
    }
    if operation.parameters.iter().any(|parameter| parameter.place == "query") {
        codes.push(Code::InvalidParameter);
    }
    match operation.calls {
        Calls::Nothing | Calls::Operating => {}
        Calls::Reading => codes.extend(called()),
        Calls::Sending => {
            codes.extend(called());
            codes.extend([Code::InvalidHeader, Code::NotAcceptable, Code::NotDurable]);
        }
        Calls::Inside => codes.push(Code::NotAcceptable),
    }
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for code in codes {
        let name = if code == Code::Failed { "" } else { code.as_str() };
        by_status.entry(code.status().as_u16()).or_default().insert(name);
    }
    by_status
}

/// How a call ends without success.
fn called() -> impl Iterator<Item = Code> {
    let refused = REFUSALS.iter().copied().map(Code::Refused);
    refused.chain(UNKNOWNS.iter().copied().map(Code::Unknown)).chain([Code::Failed])
}
