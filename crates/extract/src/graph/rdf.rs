//! A graph as RDF triples, written as Turtle or N-Triples.
//!
//! Classes and relations have the IRIs of the pack; what has none, and every entity, gets one under
//! `urn:quarry:`. Each fact stands as a plain triple; an `rdf:Statement` beside it carries its
//! confidence, its unit and, as Web Annotation positions, every place that states it, derived in
//! PROV-O's terms from one extraction. No blank nodes: the same graph gives the same bytes.

use oxrdf::{
    IriParseError, Literal, NamedNode, NamedNodeRef, Term, Triple,
    vocab::{rdf, rdfs, xsd},
};
use oxttl::{NTriplesSerializer, TurtleSerializer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::{Entity, Graph, Object, Provenance, Relation};
use crate::pack::Ontology;

const PROV: &str = "http://www.w3.org/ns/prov#";
const OA: &str = "http://www.w3.org/ns/oa#";
const SKOS: &str = "http://www.w3.org/2004/02/skos/core#";
const XSD: &str = "http://www.w3.org/2001/XMLSchema#";
const QUARRY: &str = "urn:quarry:vocabulary:";

/// What is escaped in a URN: all but its unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Prefixes of a Turtle file.
const PREFIXES: [(&str, &str); 10] = [
    ("dbo", "http://dbpedia.org/ontology/"),
    ("foaf", "http://xmlns.com/foaf/0.1/"),
    ("oa", OA),
    ("prov", PROV),
    ("quarry", QUARRY),
    ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
    ("rdfs", "http://www.w3.org/2000/01/rdf-schema#"),
    ("schema", "http://schema.org/"),
    ("skos", SKOS),
    ("xsd", XSD),
];

/// Why a graph cannot be written as RDF.
#[derive(Debug, thiserror::Error)]
pub enum RdfError {
    /// A term of the pack is not an IRI.
    #[error("`{iri}` is not an IRI: {reason}")]
    Iri {
        /// What was to be one.
        iri: String,
        /// What is wrong with it.
        reason: IriParseError,
    },
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// The graph as Turtle.
///
/// # Errors
/// Where a term of the pack is not an IRI.
pub fn turtle(graph: &Graph, ontology: &Ontology) -> Result<String, RdfError> {
    let mut serializer = TurtleSerializer::new();
    for (prefix, iri) in PREFIXES {
        let reason = |reason| RdfError::Iri { iri: iri.to_owned(), reason };
        serializer = serializer.with_prefix(prefix, iri).map_err(reason)?;
    }
    let mut writer = serializer.for_writer(Vec::new());
    for triple in triples(graph, ontology)? {
        writer.serialize_triple(triple.as_ref())?;
    }
    Ok(text(&writer.finish()?))
}

/// The graph as N-Triples.
///
/// # Errors
/// Where a term of the pack is not an IRI.
pub fn ntriples(graph: &Graph, ontology: &Ontology) -> Result<String, RdfError> {
    let mut writer = NTriplesSerializer::new().for_writer(Vec::new());
    for triple in triples(graph, ontology)? {
        writer.serialize_triple(triple.as_ref())?;
    }
    Ok(text(&writer.finish()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The triples of a graph, in the order of its entities and facts.
///
/// # Errors
/// Where a term of the pack is not an IRI.
pub fn triples(graph: &Graph, ontology: &Ontology) -> Result<Vec<Triple>, RdfError> {
    let mut writer = Writer { graph, ontology, triples: Vec::new() };
    writer.extraction()?;
    for entity in &graph.entities {
        writer.entity(entity)?;
    }
    for (number, fact) in (1_usize..).zip(&graph.relations) {
        writer.fact(number, fact)?;
    }
    Ok(writer.triples)
}

struct Writer<'a> {
    graph: &'a Graph,
    ontology: &'a Ontology,
    triples: Vec<Triple>,
}

impl Writer<'_> {
    fn say(&mut self, subject: &NamedNode, predicate: NamedNodeRef<'_>, object: impl Into<Term>) {
        self.triples.push(Triple::new(subject.clone(), predicate.into_owned(), object));
    }

    /// A node of this graph.
    fn node(&self, part: &str) -> Result<NamedNode, RdfError> {
        iri(format!("urn:quarry:graph:{}:{part}", escaped(&self.graph.request_id)))
    }

    fn extraction(&mut self) -> Result<(), RdfError> {
        let extraction = self.node("extraction")?;
        let Graph { ontology_id, ontology_version, document_id, .. } = self.graph;
        let id = escaped(ontology_id);
        let ontology = iri(format!("urn:quarry:ontology:{id}:{}", escaped(ontology_version)))?;
        self.say(&extraction, rdf::TYPE, iri(format!("{PROV}Activity"))?);
        self.say(&extraction, iri(format!("{PROV}used"))?.as_ref(), ontology);
        if let Some(document) = document_id {
            let document = iri(format!("urn:quarry:document:{}", escaped(document)))?;
            self.say(&extraction, iri(format!("{PROV}used"))?.as_ref(), document);
        }
        Ok(())
    }

    fn entity(&mut self, entity: &Entity) -> Result<(), RdfError> {
        let node = self.node(&entity.id)?;
        let class = self.ontology.class_named(&entity.class).and_then(|id| self.ontology.class(id));
        let class = self.term(&entity.class, class.and_then(|class| class.iri.as_deref()))?;
        self.say(&node, rdf::TYPE, class);
        self.say(&node, rdfs::LABEL, Literal::new_simple_literal(&entity.name));
        let also = iri(format!("{SKOS}altLabel"))?;
        for alias in &entity.aliases {
            self.say(&node, also.as_ref(), Literal::new_simple_literal(alias));
        }
        Ok(())
    }

    /// The pack's IRI of a term, or one of ours.
    fn term(&self, name: &str, public: Option<&str>) -> Result<NamedNode, RdfError> {
        if let Some(public) = public {
            return iri(public.to_owned());
        }
        let ontology = escaped(&self.graph.ontology_id);
        iri(format!("urn:quarry:ontology:{ontology}:{}", escaped(name)))
    }

    fn fact(&mut self, number: usize, fact: &Relation) -> Result<(), RdfError> {
        let relation = self.ontology.relation_named(&fact.predicate);
        let relation = relation.and_then(|id| self.ontology.relation(id));
        let relation = relation.and_then(|relation| relation.iri.as_deref());
        let predicate = self.term(&fact.predicate, relation)?;
        let subject = self.node(&fact.subject)?;
        let object: Term = match &fact.object {
            Object::Entity { entity } => self.node(entity)?.into(),
            Object::Literal(literal) => typed(&literal.value, &literal.datatype)?.into(),
        };
        self.say(&subject, predicate.as_ref(), object.clone());
        let statement = self.node(&format!("f{number}"))?;
        self.say(&statement, rdf::TYPE, rdf::STATEMENT.into_owned());
        self.say(&statement, rdf::SUBJECT, subject);
        self.say(&statement, rdf::PREDICATE, predicate);
        self.say(&statement, rdf::OBJECT, object);
        self.say(&statement, own("confidence")?.as_ref(), decimal(fact.confidence));
        if let Object::Literal(literal) = &fact.object
            && let Some(unit) = &literal.unit
        {
            self.say(&statement, own("unit")?.as_ref(), Literal::new_simple_literal(unit));
        }
        let generated = iri(format!("{PROV}wasGeneratedBy"))?;
        self.say(&statement, generated.as_ref(), self.node("extraction")?);
        for (place, provenance) in (1_usize..).zip(&fact.provenance) {
            self.provenance(&statement, &format!("f{number}.{place}"), provenance)?;
        }
        Ok(())
    }

    fn provenance(
        &mut self,
        statement: &NamedNode,
        name: &str,
        provenance: &Provenance,
    ) -> Result<(), RdfError> {
        let place = self.node(name)?;
        let derived = iri(format!("{PROV}wasDerivedFrom"))?;
        self.say(statement, derived.as_ref(), place.clone());
        self.say(&place, rdf::TYPE, iri(format!("{PROV}Entity"))?);
        self.say(&place, rdf::TYPE, iri(format!("{OA}TextPositionSelector"))?);
        let ends = [("start", provenance.evidence.start), ("end", provenance.evidence.end)];
        for (name, offset) in ends {
            self.say(&place, iri(format!("{OA}{name}"))?.as_ref(), integer(offset));
        }
        for (name, offset) in [
            ("subjectStart", provenance.subject.start),
            ("subjectEnd", provenance.subject.end),
            ("objectStart", provenance.object.start),
            ("objectEnd", provenance.object.end),
            ("chunk", provenance.chunk),
            ("attempt", provenance.attempt),
        ] {
            self.say(&place, own(name)?.as_ref(), integer(offset));
        }
        let inferred = Literal::from(provenance.inferred);
        self.say(&place, own("inferred")?.as_ref(), inferred);
        let extractor = Literal::new_simple_literal(&provenance.extractor);
        self.say(&place, own("extractor")?.as_ref(), extractor);
        if let Some(model) = &provenance.model {
            self.say(&place, own("model")?.as_ref(), Literal::new_simple_literal(model));
        }
        Ok(())
    }
}

fn own(name: &str) -> Result<NamedNode, RdfError> {
    iri(format!("{QUARRY}{name}"))
}

fn iri(text: String) -> Result<NamedNode, RdfError> {
    NamedNode::new(&text).map_err(|reason| RdfError::Iri { iri: text, reason })
}

fn integer(number: u32) -> Literal {
    Literal::new_typed_literal(number.to_string(), xsd::NON_NEGATIVE_INTEGER)
}

/// A confidence, to four places.
fn decimal(number: f64) -> Literal {
    Literal::new_typed_literal(format!("{number:.4}"), xsd::DECIMAL)
}

fn typed(value: &str, datatype: &str) -> Result<Literal, RdfError> {
    let datatype = match datatype.strip_prefix("xsd:") {
        Some(name) => iri(format!("{XSD}{name}"))?,
        None => iri(datatype.to_owned())?,
    };
    Ok(Literal::new_typed_literal(value, datatype))
}

/// The part of a URN that a text becomes.
fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}
