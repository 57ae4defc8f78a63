//! The graph of a text, as it is sent and stored. Offsets count Unicode scalar values of the
//! request's text, end exclusive.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// How complete a graph is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Every chunk was read and at least one fact was found.
    Complete,
    /// Some chunks failed.
    Partial,
    /// Every chunk was read; entities were found, but no fact.
    EntitiesOnly,
    /// The graph is an older one of the same work, served because a new run failed.
    CachedFallback,
    /// Nothing was found.
    Empty,
}

/// A knowledge graph with the provenance of every fact.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// The submission that asked for it.
    pub request_id: String,
    /// The document that it belongs to, if one was named.
    pub document_id: Option<String>,
    /// The ontology's id.
    pub ontology_id: String,
    /// The ontology's content hash, 16 hexadecimal digits.
    pub ontology_version: String,
    /// How complete it is.
    pub grade: Grade,
    /// Entities, in the order of their first mention.
    pub entities: Vec<Entity>,
    /// Facts.
    pub relations: Vec<Relation>,
    /// Facts that were refused, counted by reason.
    pub refused: Vec<Refused>,
    /// Why the graph is not complete; always given where there is no fact.
    pub reason: Option<String>,
    /// Chunks of the text that contribute nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_chunks: Vec<FailedChunk>,
    /// What it cost.
    pub usage: Usage,
}

/// An entity of a graph.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Id within the graph.
    pub id: String,
    /// Name of its class.
    #[serde(rename = "type")]
    pub class: String,
    /// Its fullest name.
    pub name: String,
    /// Other names that the text uses.
    pub aliases: Vec<String>,
    /// From 0 to 1.
    pub confidence: f64,
    /// Where the text mentions it, in order.
    pub mentions: Vec<Mention>,
}

/// A place where a text mentions an entity, by name, pronoun or description.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mention {
    /// First scalar.
    pub start: u32,
    /// One past the last scalar.
    pub end: u32,
    /// The text there.
    pub text: String,
    /// The chunk that found it.
    pub chunk: u32,
}

/// A piece of text, end exclusive.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First scalar.
    pub start: u32,
    /// One past the last scalar.
    pub end: u32,
}

/// A fact.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Id of the subject.
    pub subject: String,
    /// Name of the relation.
    pub predicate: String,
    /// What it relates the subject to.
    pub object: Object,
    /// From 0 to 1.
    pub confidence: f64,
    /// Every place that states it, in order.
    pub provenance: Vec<Provenance>,
}

/// The object of a fact.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Object {
    /// An entity of the graph, by id.
    Entity {
        /// The entity's id.
        entity: String,
    },
    /// A literal.
    Literal(Literal),
}

/// A typed value.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Literal {
    /// In the lexical form of the datatype.
    pub value: String,
    /// `xsd:` name of the datatype.
    pub datatype: String,
    /// Unit of a number, such as `USD` or `kg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Where a fact comes from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Provenance {
    /// The chunk that found it.
    pub chunk: u32,
    /// The sentence that states it.
    pub evidence: Span,
    /// The subject's mention.
    pub subject: Span,
    /// The object's mention.
    pub object: Span,
    /// The value was normalised, or the subject stands in another sentence.
    pub inferred: bool,
    /// Extractor and version, such as `embedded/1`.
    pub extractor: String,
    /// The language model, if one was used.
    pub model: Option<String>,
    /// The attempt that found it, from 1.
    pub attempt: u32,
}

/// Facts refused for one reason.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `domain`, `range`, `functional` or `ambiguous`.
    pub reason: String,
    /// How many.
    pub count: u32,
}

/// A chunk that contributes nothing to a graph.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedChunk {
    /// The chunk.
    pub chunk: u32,
    /// Why.
    pub error: String,
}

/// What an extraction cost.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Requests to a provider.
    pub requests: u32,
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub completion_tokens: u64,
    /// In the provider's currency.
    pub cost: f64,
}
