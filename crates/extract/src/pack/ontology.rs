//! A validated pack, with names resolved to ids.

use super::ExampleSentence;

/// Position of a class in its ontology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub(crate) u16);

/// Position of a relation in its ontology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub(crate) u16);

/// Datatypes of literal objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datatype {
    /// `xsd:gYear`, such as 1982.
    Year,
    /// `xsd:date`, such as 1982-06-25; a month without a day is an `xsd:gYearMonth`.
    Date,
    /// `xsd:duration`, such as PT117M.
    Duration,
    /// `xsd:integer`.
    Integer,
    /// `xsd:decimal`, with a unit where the text gives one.
    Decimal,
    /// `xsd:string`.
    Text,
}

impl Datatype {
    /// Every datatype that a pack may name.
    pub const ALL: [Self; 6] =
        [Self::Year, Self::Date, Self::Duration, Self::Integer, Self::Decimal, Self::Text];

    /// The datatype's name in packs and graphs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Year => "xsd:gYear",
            Self::Date => "xsd:date",
            Self::Duration => "xsd:duration",
            Self::Integer => "xsd:integer",
            Self::Decimal => "xsd:decimal",
            Self::Text => "xsd:string",
        }
    }

    /// The datatype of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }
}

/// What a relation's object may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// An entity of one of these classes.
    Classes(Vec<ClassId>),
    /// A literal.
    Literal(Datatype),
}

/// A class of an ontology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Name in graphs.
    pub name: String,
    /// Label and alternative labels, in lower case.
    pub labels: Vec<String>,
    /// The class itself and all its parents.
    pub lineage: Vec<ClassId>,
    /// IRI in a public vocabulary.
    pub iri: Option<String>,
    /// Pronouns that may stand for a member, in lower case.
    pub pronouns: Vec<String>,
    /// Members: name and alternatives.
    pub members: Vec<(String, Vec<String>)>,
}

/// A relation of an ontology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Name in graphs.
    pub name: String,
    /// Label and alternative labels, in lower case.
    pub labels: Vec<String>,
    /// Classes of subjects.
    pub domain: Vec<ClassId>,
    /// What objects are.
    pub range: Range,
    /// A subject has at most one object.
    pub functional: bool,
    /// The same in the other direction.
    pub inverse: Option<RelationId>,
    /// IRI in a public vocabulary.
    pub iri: Option<String>,
}

/// A validated ontology, compiled from a [`Source`](super::Source).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ontology {
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) label: String,
    pub(super) version: String,
    pub(super) fully_annotated: bool,
    pub(super) classes: Vec<Class>,
    pub(super) relations: Vec<Relation>,
    pub(super) sentences: Vec<ExampleSentence>,
    pub(super) notes: Vec<String>,
}

impl Ontology {
    /// Id by which requests name it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Other ids that name it where no ontology of their own does.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Name for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// First 16 hexadecimal digits of the content's SHA-256.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Do the examples carry every triple that the ontology allows for them?
    pub fn is_fully_annotated(&self) -> bool {
        self.fully_annotated
    }

    /// The classes, by [`ClassId`].
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The relations, by [`RelationId`].
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The example sentences.
    pub fn sentences(&self) -> &[ExampleSentence] {
        &self.sentences
    }

    /// What is not wrong with the pack and costs something, or was left out or guessed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A class by its id.
    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(usize::from(id.0))
    }

    /// A relation by its id.
    pub fn relation(&self, id: RelationId) -> Option<&Relation> {
        self.relations.get(usize::from(id.0))
    }

    /// A class by its name.
    pub fn class_named(&self, name: &str) -> Option<ClassId> {
        let at = self.classes.iter().position(|class| class.name == name)?;
        u16::try_from(at).ok().map(ClassId)
    }

    /// A relation by its name.
    pub fn relation_named(&self, name: &str) -> Option<RelationId> {
        let at = self.relations.iter().position(|relation| relation.name == name)?;
        u16::try_from(at).ok().map(RelationId)
    }

    /// Is a member of `class` a member of one of the `allowed` classes?
    pub fn fits(&self, class: ClassId, allowed: &[ClassId]) -> bool {
        self.class(class).is_some_and(|class| class.lineage.iter().any(|c| allowed.contains(c)))
    }

    /// The classes that relations are said of, in order.
    pub(crate) fn domains(&self) -> Vec<ClassId> {
        let mut classes: Vec<ClassId> =
            self.relations.iter().flat_map(|relation| relation.domain.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    pub(crate) fn class_ids(&self) -> impl Iterator<Item = ClassId> + use<> {
        (0..u16::try_from(self.classes.len()).unwrap_or(u16::MAX)).map(ClassId)
    }

    pub(crate) fn relation_ids(&self) -> impl Iterator<Item = RelationId> + use<> {
        (0..u16::try_from(self.relations.len()).unwrap_or(u16::MAX)).map(RelationId)
    }
}
