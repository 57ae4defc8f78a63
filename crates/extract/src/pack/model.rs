//! The pack as it is written in a file.

use serde::{Deserialize, Serialize};

/// An ontology pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Id by which requests name the ontology: lower-case letters, digits, `-`, `_`.
    pub id: String,
    /// Other ids that name it where no ontology of their own does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Name for people.
    #[serde(default)]
    pub label: String,
    /// What the ontology is about.
    #[serde(default)]
    pub description: String,
    /// The example sentences carry every triple that the ontology allows for them, so what is
    /// not annotated is known to be no fact.
    #[serde(default)]
    pub fully_annotated: bool,
    /// Classes of entities.
    #[serde(default, rename = "class")]
    pub classes: Vec<ClassSpec>,
    /// Relations between entities, or from an entity to a literal.
    #[serde(default, rename = "relation")]
    pub relations: Vec<RelationSpec>,
    /// Example sentences.
    #[serde(default, rename = "sentence")]
    pub sentences: Vec<ExampleSentence>,
}

/// A class of entities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    /// Name within the pack, as graphs carry it.
    pub name: String,
    /// What people call one of its members (`film`, for `the film`).
    #[serde(default)]
    pub label: String,
    /// Other words for a member.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// What the class means.
    #[serde(default)]
    pub description: String,
    /// The class that holds all its members too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// IRI of the class in a public vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iri: Option<String>,
    /// Pronouns that may stand for a member (`he`, `she`, `they`); `it` where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pronouns: Vec<String>,
    /// Members by name.
    #[serde(default)]
    pub examples: Vec<Individual>,
}

/// A member of a class: a name, or a name with other spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Individual {
    /// A name.
    Name(String),
    /// A name with alternatives, such as `French` for France.
    Spelled {
        /// The name that graphs carry.
        name: String,
        /// Other words that mean it.
        #[serde(default)]
        alternatives: Vec<String>,
    },
}

impl Individual {
    /// The name that graphs carry.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Spelled { name, .. } => name,
        }
    }

    /// The other words that mean it.
    pub fn alternatives(&self) -> &[String] {
        match self {
            Self::Name(_) => &[],
            Self::Spelled { alternatives, .. } => alternatives,
        }
    }
}

/// A relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationSpec {
    /// Name within the pack, as graphs carry it.
    pub name: String,
    /// Name for people; also read as a trigger phrase.
    #[serde(default)]
    pub label: String,
    /// Other trigger phrases.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// What the relation means.
    #[serde(default)]
    pub description: String,
    /// Classes that a subject may have.
    pub domain: Vec<String>,
    /// Classes that an object may have. Exactly one of `range` and `literal` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub range: Vec<String>,
    /// Datatype of a literal object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// A subject has at most one object.
    #[serde(default)]
    pub functional: bool,
    /// The relation that says the same in the other direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<String>,
    /// IRI of the relation in a public vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iri: Option<String>,
}

/// Subject, relation, object; subject and object as they stand in the sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triple(pub String, pub String, pub String);

/// A sentence with its triples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleSentence {
    /// The text; usually one sentence.
    pub text: String,
    /// What it states.
    #[serde(default)]
    pub triples: Vec<Triple>,
}
