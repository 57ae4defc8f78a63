//! Documents that are read here and belong to other crates, or stand for several types: described
//! for the interface. Tests hold them against what they describe.

use std::collections::BTreeMap;

use quarry_types::{api::HealthStatus, graph::Graph};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rpc::{ClientFrame, ServerFrame, ShortAnswer, ShortEvent, StatusAnswer};

/// A text to extract from, with the ontology to extract by.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Submission {
    /// The text: offsets count its Unicode scalar values. At most 1 MiB.
    text: String,
    /// The id, or another name, of an ontology.
    ontology_id: String,
    /// The ontology's version; the current one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ontology_version: Option<String>,
    /// What it may choose.
    options: Option<Options>,
    /// The document that the facts belong to.
    document_id: Option<String>,
    /// Names the submission; by default it is named by what it asks for.
    request_id: Option<String>,
}

/// What a submission may choose.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// Which extractor; by default the embedded one.
    extractor: Option<Extractor>,
    /// Most tokens of a chunk, 50 to 5,000.
    #[schemars(range(min = 50, max = 5_000))]
    chunk_size: Option<u32>,
    /// Tokens that a chunk repeats of the one before; less than half of the chunk size.
    overlap: Option<u32>,
    /// Facts below this confidence are dropped.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_confidence: Option<f64>,
    /// Most tokens that a language model may answer with; the embedded extractor has no use for it.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// The temperature of a language model; the embedded extractor has none.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// How long the extraction may take: a number of minutes, or a text such as `90s`; more than
    /// nothing, at most 5 minutes, which is the default.
    timeout: Option<Timeout>,
}

/// A time that something may take.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Timeout {
    /// In minutes.
    Minutes(f64),
    /// In words.
    Text(String),
}

/// An extractor.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Extractor {
    /// Induced from the ontology's examples; no network.
    Embedded,
    /// A language model; refused where none is configured.
    Llm,
}

/// A call in the short form.
#[derive(JsonSchema)]
#[schemars(tag = "_tag", content = "payload", rename = "Call")]
#[expect(dead_code, reason = "a description of what is read elsewhere")]
pub(super) enum ShortCall {
    /// Text and ontology in, knowledge graph out. The graph is stored, and answered at once when
    /// the same is asked for again.
    #[schemars(rename = "extraction.extract")]
    Extract(Submission),
    /// The same, told as it happens.
    #[schemars(rename = "extraction.streamExtract")]
    StreamExtract(Submission),
    /// How far an extraction is.
    #[schemars(rename = "extraction.getStatus")]
    GetStatus(StatusPayload),
}

/// Which extraction is asked about: by its request id, or by what was submitted.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a description of what is read elsewhere")]
pub(super) enum StatusPayload {
    /// By its request id.
    #[schemars(rename_all = "camelCase")]
    Named {
        /// Its request id.
        request_id: String,
    },
    /// By what was submitted.
    Submitted(Submission),
}

/// A call in the short form, or frames.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a description of what is read elsewhere")]
pub(super) enum CallBody {
    /// The short form.
    Short(ShortCall),
    /// A frame.
    Frame(ClientFrame),
    /// Several frames.
    Frames(Vec<ClientFrame>),
}

/// The answer to a call in the short form, or frames.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a description of what is written elsewhere")]
pub(super) enum CallAnswer {
    /// To the short form.
    Short(Box<ShortAnswer<CallValue>>),
    /// To frames.
    Frames(Vec<ServerFrame>),
}

/// A line of an answer: an event of a call in the short form, or a frame.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a description of what is written elsewhere")]
pub(super) enum CallLine {
    /// Of `extraction.streamExtract`.
    Event(Box<ShortEvent<Graph>>),
    /// To frames in lines.
    Frame(Box<ServerFrame>),
}

/// What a procedure answers.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a description of what is written elsewhere")]
pub(super) enum CallValue {
    /// Of `extraction.extract`.
    Graph(Box<Graph>),
    /// Of `extraction.getStatus`.
    Status(Box<StatusAnswer<Graph>>),
}

/// The answer of `/livez`.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Alive {
    /// Always `healthy`.
    status: HealthStatus,
}

/// The description that is being read.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Description {
    /// The version of `OpenAPI`.
    openapi: String,
    /// The rest.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[cfg(test)]
mod tests {
    use quarry_extract as extract;
    use schemars::schema_for;
    use serde_json::{Map, json};

    use super::*;
    use crate::rpc::Procedure;

    fn members(value: &Value) -> Vec<&String> {
        value.as_object().map(Map::keys).into_iter().flatten().collect()
    }

    #[test]
    fn a_submission_is_described_with_all_that_it_has() {
        let whole = extract::Submission {
            text: "t".to_owned(),
            ontology_id: "o".to_owned(),
            ontology_version: Some("v".to_owned()),
            options: extract::Options::default(),
            document_id: Some("d".to_owned()),
            request_id: Some("r".to_owned()),
        };
        let whole = serde_json::to_value(whole).unwrap();
        let described: Submission = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(described).unwrap(), whole);
        let schema = schema_for!(Submission).to_value();
        assert_eq!(members(&schema["properties"]), members(&whole));
        let schema = schema_for!(Options).to_value();
        assert_eq!(members(&schema["properties"]), members(&whole["options"]));
    }

    #[test]
    fn every_procedure_is_described() {
        let schema = schema_for!(ShortCall).to_value();
        let tags: Vec<_> = schema["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variant| variant["properties"]["_tag"]["const"].clone())
            .collect();
        let procedures: Vec<_> = Procedure::ALL.iter().map(|known| json!(known.tag())).collect();
        assert_eq!(tags, procedures);
    }
}
