//! The route: tells the forms apart by what the body says that it is.

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    response::Response,
};
use serde_json::Value;

use super::{
    frame::{self, Dialect},
    frames, short,
};
use crate::{
    Code, Gateway, Problem,
    request::{LinesBody, Query, accepts_json},
    trace::Trace,
};

/// Calls procedures.
pub(crate) async fn call(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let headers = request.headers().clone();
    match LinesBody::from_request(request, &gateway).await? {
        LinesBody::Lines { lines, media_type } => {
            let dialect = Dialect::of_lines(&media_type);
            Ok(frames::lines(gateway, trace, frame::lines(&lines), dialect, &media_type))
        }
        LinesBody::Json(body) => {
            let value: Value = serde_json::from_slice(&body).map_err(|error| {
                let detail = format!("the body is no call: {error}");
                Problem::new(Code::InvalidCall, detail).field("body")
            })?;
            match frame::whole(value) {
                frame::Body::Frames(frames) => {
                    accepts_json(&headers)?;
                    Ok(frames::json(gateway, trace, frames).await)
                }
                frame::Body::Call(call) => short::answer(&gateway, &trace, &headers, call).await,
            }
        }
    }
}
