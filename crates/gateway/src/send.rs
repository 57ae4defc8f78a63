//! `POST /v1/entities/{type}/{id}/{method}`: a message to an entity.

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    response::Response,
};
use quarry_types::{Address, Delivery, Method, RefusalCode};

use crate::{
    Code, Gateway, Problem,
    dispatch::{ANY, Terms, dispatch},
    placement::address,
    request::{JsonBody, PathOf, did_you_mean, method as parse_method},
    stream,
    trace::Trace,
};

/// Sends the message and answers with what became of it.
pub(crate) async fn send(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf((entity_type, id, method)): PathOf<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let address = address(&gateway, &entity_type, &id)?;
    let method = parse_method(&method)?;
    let delivery = delivery(&gateway, &address, &method)?;
    let terms = Terms::parse(&gateway, request.headers(), request.uri(), ANY, delivery)?;
    let JsonBody(payload) = JsonBody::from_request(request, &gateway).await?;
    let form = terms.stream();
    let (sent, answer) = dispatch(&gateway, &trace, address, method, payload, terms).await;
    let Some(form) = form else { return sent.answer(answer) };
    let location = |message_id| format!("/v1/messages/{message_id}/chunks");
    let told = async |message_id| Ok(stream::tell(&gateway, message_id, 0, form));
    sent.stream(answer, told, location).await
}

/// How the method is delivered; refuses one that the type does not have.
pub(crate) fn delivery(
    gateway: &Gateway,
    address: &Address,
    method: &Method,
) -> Result<Delivery, Problem> {
    let spec = gateway.node().registry().get(&address.entity_type);
    let methods = spec.map(|spec| spec.methods).unwrap_or_default();
    let found = methods.iter().find(|spec| spec.name == method.as_str());
    found.map(|spec| spec.delivery).ok_or_else(|| {
        let names = || methods.iter().map(|spec| spec.name);
        let meant = did_you_mean(method.as_str(), names());
        let detail = format!("entity type {} has no method {method}{meant}", address.entity_type);
        let problem = Problem::new(Code::Refused(RefusalCode::UnknownMethod), detail);
        problem.field("method").available(names())
    })
}
