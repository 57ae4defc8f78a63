//! Ontologies, as the interface shows them.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A class of an ontology.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologyClass"))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its name in graphs.
    pub name: String,
    /// What people call its members, in lower case.
    pub labels: Vec<String>,
    /// The classes that hold all its members too, by name.
    pub parents: Vec<String>,
    /// Its IRI in a public vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iri: Option<String>,
}

/// A relation of an ontology.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologyRelation"))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name in graphs.
    pub name: String,
    /// How people say it, in lower case.
    pub labels: Vec<String>,
    /// The classes that a subject may have.
    pub domain: Vec<String>,
    /// The classes that an object may have; none where it is a literal.
    pub range: Vec<String>,
    /// The datatype of its objects, where they are literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// Whether a subject has at most one object.
    pub functional: bool,
    /// The relation that says the same in the other direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<String>,
    /// Its IRI in a public vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iri: Option<String>,
}

/// Where an ontology comes from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologyOrigin"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// It is part of the program.
    BuiltIn,
    /// It was put there by a client.
    Put,
    /// It is a file on the client's machine.
    File,
}

/// An ontology in a list.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologySummary"))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The id by which requests name it.
    pub id: String,
    /// Its name for people.
    pub label: String,
    /// The hash of its content: 16 hexadecimal digits.
    pub version: String,
    /// Other names by which requests may name it.
    pub aliases: Vec<String>,
    /// How many classes it has.
    pub classes: u32,
    /// How many relations it has.
    pub relations: u32,
    /// How many example sentences it has.
    pub examples: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was put there (RFC 3339), where it was.
    #[serde(rename = "putAt", default, skip_serializing_if = "Option::is_none")]
    pub put_at: Option<String>,
}

/// The ontologies that extractions may name.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ontologies {
    /// The built-in ones first, each kind by id.
    pub ontologies: Vec<Summary>,
    /// Where the next page begins, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What became of an ontology that was put.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologyPlaced"))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// What stands there now.
    #[serde(flatten)]
    pub ontology: Summary,
    /// Whether nothing stood there before.
    pub created: bool,
    /// What is not wrong with it and costs something, or was left out or guessed.
    pub notes: Vec<String>,
}

/// An ontology that was removed.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "OntologyRemoved"))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its id.
    pub id: String,
    /// The version that it had.
    pub version: String,
}

/// A mistake in a pack.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackProblem {
    /// The line in the file, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The class, relation or sentence, such as `relation director`.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// An ontology.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ontology {
    /// The id by which requests name it.
    pub id: String,
    /// Its name for people.
    pub label: String,
    /// The hash of its content: 16 hexadecimal digits.
    pub version: String,
    /// Other names by which requests may name it.
    pub aliases: Vec<String>,
    /// Whether its examples carry every triple that it allows for them.
    pub fully_annotated: bool,
    /// Its classes.
    pub classes: Vec<Class>,
    /// Its relations.
    pub relations: Vec<Relation>,
    /// How many example sentences it has.
    pub examples: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was put there (RFC 3339), where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_at: Option<String>,
    /// What is not wrong with it and costs something, or was left out or guessed.
    pub notes: Vec<String>,
}
