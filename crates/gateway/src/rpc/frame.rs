//! Frames of Effect's RPC protocol, as its HTTP protocol sends them.
//!
//! There are two generations of it. They differ in how the cause of a failure is written (one
//! reason, or a list of reasons), in how nothing is (absent, or `null`), in the type of request ids
//! (texts, or numbers as well) and in the media type of lines; each client is answered in its own.

use quarry_types::in_words_of_json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json, value::RawValue};

use super::extraction::Raw;

/// How a client writes causes and nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// One reason; nothing is absent.
    Reason,
    /// A list of reasons; nothing is `null`.
    Reasons,
}

impl Dialect {
    /// Of a client that sends lines under this media type.
    pub(super) fn of_lines(media_type: &str) -> Self {
        if media_type == "application/x-ndjson" { Self::Reasons } else { Self::Reason }
    }

    /// Of the answer to a request with this id.
    pub(super) fn of_request(self, id: &RequestId) -> Self {
        match id {
            RequestId::Number(_) => Self::Reasons,
            RequestId::Text(_) => self,
        }
    }

    fn cause(self, reason: Value) -> Value {
        match self {
            Self::Reason => reason,
            Self::Reasons => json!([reason]),
        }
    }
}

/// The id of a request, as its client writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RequestId {
    /// A whole number in a text.
    Text(String),
    /// A number.
    Number(#[schemars(with = "u64")] Number),
}

/// What a client sends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "_tag")]
pub(crate) enum ClientFrame {
    /// Calls a procedure.
    #[serde(rename_all = "camelCase")]
    Request {
        /// Names the request in the answers to it.
        id: RequestId,
        /// The procedure.
        tag: String,
        /// Its argument.
        #[serde(default)]
        payload: Value,
        /// Whether nobody wants an answer.
        #[serde(default)]
        is_notification: bool,
        /// Whether the client wants to know that the request is stored, and no more.
        #[serde(default)]
        discard: bool,
    },
    /// A chunk arrived. Nothing waits for it over HTTP.
    #[serde(rename_all = "camelCase")]
    Ack {
        /// The request of the chunk.
        request_id: RequestId,
    },
    /// The client gives up a request of the same body.
    #[serde(rename_all = "camelCase")]
    Interrupt {
        /// The request.
        request_id: RequestId,
    },
    /// Whether anybody is there.
    Ping,
    /// Nothing follows.
    Eof,
}

/// What a client gets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "_tag")]
pub(crate) enum ServerFrame {
    /// A request ended.
    #[serde(rename_all = "camelCase")]
    Exit {
        /// The request.
        request_id: RequestId,
        /// How it ended.
        exit: Exit,
    },
    /// Values of a stream.
    #[serde(rename_all = "camelCase")]
    Chunk {
        /// The request.
        request_id: RequestId,
        /// The values, at least one.
        values: Vec<Value>,
    },
    /// The frames are malformed; ends all requests of the client.
    Defect {
        /// What is wrong.
        defect: String,
    },
    /// Somebody is there.
    Pong,
}

/// How a request ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "_tag")]
pub(crate) enum Exit {
    /// With a value.
    Success {
        /// The value; absent or `null`, as the client writes it, where there is nothing to say.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<Value>")]
        value: Option<Raw>,
    },
    /// Without one.
    Failure {
        /// A reason, or a list of reasons: `{"_tag": "Fail", "error"}`, `{"_tag": "Die",
        /// "defect"}`, `{"_tag": "Interrupt"}`.
        cause: Value,
    },
}

impl Exit {
    /// With a value.
    pub(super) fn success(value: Raw) -> Self {
        Self::Success { value: Some(value) }
    }

    /// Without anything to say: the end of a stream, the receipt of a discarded request.
    pub(super) fn nothing(dialect: Dialect) -> Self {
        let value = match dialect {
            Dialect::Reason => None,
            Dialect::Reasons => Some(RawValue::NULL.to_owned()),
        };
        Self::Success { value }
    }

    /// With an error that the client knows by its type.
    pub(super) fn fail(dialect: Dialect, error: impl Serialize) -> Self {
        Self::Failure { cause: dialect.cause(json!({ "_tag": "Fail", "error": error })) }
    }

    /// With an error that no client can mend at run time.
    pub(super) fn die(dialect: Dialect, defect: &str) -> Self {
        Self::Failure { cause: dialect.cause(json!({ "_tag": "Die", "defect": defect })) }
    }

    /// Given up by the client.
    pub(super) fn interrupt(dialect: Dialect) -> Self {
        let nobody = match dialect {
            Dialect::Reason => json!({ "_tag": "None" }),
            Dialect::Reasons => Value::Null,
        };
        let reason = json!({ "_tag": "Interrupt", "fiberId": nobody });
        Self::Failure { cause: dialect.cause(reason) }
    }
}

/// What a body of one JSON value is.
pub(super) enum Body {
    /// Frames; one that is none is a text that says why.
    Frames(Vec<Result<ClientFrame, String>>),
    /// A call in the short form, or nothing that is known.
    Call(Value),
}

/// The tags of frames; no procedure has such a name.
const TAGS: &[&str] = &["Request", "Ack", "Interrupt", "Ping", "Eof"];

/// Tells a frame, or a list of them, from a call.
pub(super) fn whole(value: Value) -> Body {
    match value {
        Value::Array(frames) => Body::Frames(frames.into_iter().map(parse).collect()),
        Value::Object(ref members)
            if members
                .get("_tag")
                .and_then(Value::as_str)
                .is_some_and(|tag| TAGS.contains(&tag)) =>
        {
            Body::Frames(vec![parse(value)])
        }
        call => Body::Call(call),
    }
}

/// The frames of lines: each a frame, or a list of frames.
pub(super) fn lines(body: &[u8]) -> Vec<Result<ClientFrame, String>> {
    let lines = body.split(|byte| *byte == b'\n').zip(1_u32..);
    let mut frames = Vec::new();
    for (line, number) in lines.filter(|(line, _)| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Value::Array(values)) => frames.extend(values.into_iter().map(parse)),
            Ok(value) => frames.push(parse(value)),
            Err(error) => frames.push(Err(format!("line {number} is no JSON: {error}"))),
        }
    }
    frames
}

fn parse(value: Value) -> Result<ClientFrame, String> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| format!("malformed frame: {}", in_words_of_json(&error.to_string())))
}
