//! `POST /v1/messages:cancel`, `:redrive` and `:drop`: one page of what a filter means.

use axum::{Extension, Json, extract::State, http::Uri};
use futures_util::{StreamExt, stream};
use quarry_ports::MessageStateKind;
use quarry_types::{
    CallError, Intervention, MessageId,
    api::MessageStatus,
    operate::{Bulk, BulkAnswer, BulkProblem, Filter},
};

use super::filter::{Texts, Wanted};
use crate::{
    Code, Gateway, Problem,
    request::{Cursors, JsonBody, Query, decode},
    trace::Trace,
};

/// How many messages are looked at where the request does not say, and at most.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;
/// How many of them are acted on at a time.
const TOGETHER: usize = 64;

/// Cancels what the filter means.
pub(crate) async fn cancel_many(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<BulkAnswer>, Problem> {
    act(&gateway, &trace, &uri, &body, &Intervention::Cancel).await
}

/// Lets what the filter means run again.
pub(crate) async fn redrive_many(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<BulkAnswer>, Problem> {
    act(&gateway, &trace, &uri, &body, &Intervention::Redrive { payload: None }).await
}

/// Drops what the filter means.
pub(crate) async fn drop_many(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Result<Json<BulkAnswer>, Problem> {
    act(&gateway, &trace, &uri, &body, &Intervention::Drop).await
}

async fn act(
    gateway: &Gateway,
    trace: &Trace,
    uri: &Uri,
    body: &[u8],
    intervention: &Intervention,
) -> Result<Json<BulkAnswer>, Problem> {
    let query = Query::parse(uri.query(), &["timeout"])?;
    let config = gateway.config();
    let timeout = query.duration("timeout", config.longest_timeout)?;
    let timeout = timeout.unwrap_or(config.call_timeout);
    let Bulk { filter, limit, cursor, dry_run } = decode(body)?;
    if filter == Filter::default() {
        let detail = "filter: it means every message there is; name at least a state or an entity";
        return Err(Problem::new(Code::InvalidBody, detail).field("filter"));
    }
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(invalid("limit", &format!("must be from 1 to {LARGEST_PAGE}")));
    }
    let state = state(intervention, filter.state)?;
    let texts = Texts {
        entity: filter.entity.as_deref(),
        entity_type: filter.entity_type.as_deref(),
        before: filter.before.as_deref(),
        older_than: filter.older_than.as_deref(),
        error: filter.error.as_deref(),
    };
    let wanted = Wanted::parse(gateway, Some(state), &texts, |member, reason| {
        let member = if member == "older_than" { "olderThan" } else { member };
        invalid(&format!("filter.{member}"), reason)
    })?;
    let cursors = Cursors::of(wanted.name(&texts));
    let cursor = cursor.map(|sealed| cursors.open(&sealed)).transpose();
    let cursor = cursor.map_err(|_| invalid("cursor", "it is not one of this filter"))?;
    let page = gateway.store().messages(wanted.filter.clone(), cursor, limit).await?;
    let fitting = page.items.iter().filter(|record| wanted.fits(record));
    let ids: Vec<MessageId> = fitting.map(|record| record.message.message_id).collect();
    let next = page.next.map(|next| cursors.seal(&next));
    let matched = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let mut answer = BulkAnswer { matched, next, ..BulkAnswer::default() };
    if dry_run {
        return Ok(Json(answer));
    }
    let (node, tenant) = (gateway.node(), gateway.tenant());
    let acts = stream::iter(ids).map(|message_id| async move {
        (message_id, node.intervene(tenant, message_id, intervention, timeout).await)
    });
    let mut acts = acts.buffered(TOGETHER);
    while let Some((message_id, result)) = acts.next().await {
        let Err(error) = result else {
            answer.done += 1;
            continue;
        };
        match &error {
            CallError::Refused(_) => answer.refused += 1,
            CallError::Unknown(_) => answer.unknown += 1,
        }
        let problem = Problem::from(error).document(trace, uri.path());
        answer.problems.push(BulkProblem { message_id: message_id.to_string(), problem });
    }
    Ok(Json(answer))
}

/// The state of what is acted on: of what is let run again or dropped, there is no choice.
fn state(
    intervention: &Intervention,
    asked: Option<MessageStatus>,
) -> Result<MessageStateKind, Problem> {
    match (intervention, asked) {
        (Intervention::Cancel, None) => Ok(MessageStateKind::Unfinished),
        (Intervention::Cancel, Some(MessageStatus::Open)) => Ok(MessageStateKind::Open),
        (Intervention::Cancel, Some(MessageStatus::Delayed)) => Ok(MessageStateKind::Delayed),
        (_, None | Some(MessageStatus::Quarantined)) => Ok(MessageStateKind::Quarantined),
        (Intervention::Cancel, Some(MessageStatus::Finished)) => {
            Err(invalid("filter.state", "what has finished cannot be cancelled"))
        }
        (Intervention::Redrive { .. } | Intervention::Drop, Some(_)) => {
            Err(invalid("filter.state", "only what is quarantined is redriven or dropped"))
        }
    }
}

fn invalid(member: &str, reason: &str) -> Problem {
    Problem::new(Code::InvalidBody, format!("{member}: {reason}")).field(member)
}
