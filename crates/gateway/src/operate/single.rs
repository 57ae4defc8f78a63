//! `DELETE /v1/messages/{mid}`, `POST /v1/messages/{mid}:redrive` and `:drop`.

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quarry_types::{
    Answer, Intervention, MessageId, Outcome, RefusalCode,
    api::MessageStatus,
    operate::{Intervened, Redrive},
};

use crate::{
    Code, Gateway, Problem,
    messages::{self, MESSAGE_ID, Raw, VERBS, ended, not_allowed},
    request::{JsonBody, NoBody, PathOf, Query, decode},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Ends a message, whatever it waits for.
pub(crate) async fn cancel(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let query = query(&uri)?;
    intervene(&gateway, messages::id(&id)?, &Intervention::Cancel, &query).await
}

/// Does to a message what the verb behind its id says.
pub(crate) async fn act(
    State(gateway): State<Gateway>,
    PathOf(text): PathOf<String>,
    request: Request,
) -> Result<Response, Problem> {
    let Some((id, verb)) = text.rsplit_once(':') else {
        let detail = "a message is looked at and ended here; POST takes a verb behind its id";
        return Err(not_allowed(detail.to_owned(), "GET,HEAD,DELETE"));
    };
    if !VERBS.contains(&verb) {
        let detail = format!("{verb:?} is nothing that can be done to a message");
        return Err(Problem::new(Code::NoSuchRoute, detail).field("mid").available(VERBS));
    }
    let query = query(request.uri())?;
    let message_id = messages::id(id)?;
    let intervention = if verb == "drop" {
        let NoBody = NoBody::from_request(request, &gateway).await?;
        Intervention::Drop
    } else {
        let JsonBody(body) = JsonBody::from_request(request, &gateway).await?;
        let payload = if body.is_empty() { None } else { decode::<Redrive<Raw>>(&body)?.payload };
        let payload = payload.map(|json| Bytes::from(Box::<str>::from(json).into_string()));
        if let Some(payload) = &payload {
            check(&gateway, message_id, payload).await?;
        }
        Intervention::Redrive { payload }
    };
    intervene(&gateway, message_id, &intervention, &query).await
}

fn query(uri: &Uri) -> Result<Query, Problem> {
    Query::parse(uri.query(), &["timeout"])
}

/// Refuses a payload that the message's method does not take.
async fn check(gateway: &Gateway, message_id: MessageId, payload: &[u8]) -> Result<(), Problem> {
    let message = messages::find(gateway, message_id, None).await?.message;
    let registry = gateway.node().registry();
    let checked = registry.check(&message.address.entity_type, &message.method, payload);
    checked.map(drop).map_err(|refusal| {
        let is_payload = refusal.code == RefusalCode::InvalidPayload;
        let problem = Problem::from(refusal);
        let code = problem.code();
        if is_payload { problem.within(code, "payload") } else { problem }
    })
}

async fn intervene(
    gateway: &Gateway,
    message_id: MessageId,
    intervention: &Intervention,
    query: &Query,
) -> Result<Response, Problem> {
    let config = gateway.config();
    let timeout = query.duration("timeout", config.longest_timeout)?;
    let timeout = timeout.unwrap_or(config.call_timeout);
    let node = gateway.node();
    let answer = node.intervene(gateway.tenant(), message_id, intervention, timeout).await?;
    let document = document(&answer);
    let is_replayed = document.replayed;
    let headers = [(MESSAGE_ID, document.message_id.clone())];
    let mut response = (headers, Json(document)).into_response();
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn document(answer: &Answer) -> Intervened<Raw> {
    let (message_id, state, outcome, replayed) = match answer {
        Answer::Handled { message_id, outcome, replayed } => {
            (message_id, MessageStatus::Finished, Some(outcome), *replayed)
        }
        Answer::Accepted { message_id, replayed } => {
            (message_id, MessageStatus::Open, None, *replayed)
        }
    };
    let outcome = outcome.map(|outcome: &Outcome| ended(outcome));
    Intervened { message_id: message_id.to_string(), state, outcome, replayed }
}
