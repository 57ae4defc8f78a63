//! `/v1/ontologies`: what extractions may name.

use axum::{Json, extract::State, http::Uri};
use quarry_extract::pack;
use quarry_types::ontology::{Class, Ontologies, Ontology, Relation, Summary};

use crate::{
    Code, Gateway, Problem,
    request::{NoBody, PathOf, Query, did_you_mean},
};

/// Lists the ontologies.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<Ontologies>, Problem> {
    Query::parse(uri.query(), &[])?;
    let ontologies = gateway.ontologies().iter().map(|ontology| summary(ontology)).collect();
    Ok(Json(Ontologies { ontologies }))
}

fn summary(ontology: &pack::Ontology) -> Summary {
    Summary {
        id: ontology.id().to_owned(),
        label: ontology.label().to_owned(),
        version: ontology.version().to_owned(),
        aliases: ontology.aliases().to_vec(),
        classes: number(ontology.classes().len()),
        relations: number(ontology.relations().len()),
        examples: number(ontology.sentences().len()),
    }
}

/// Shows one ontology.
pub(crate) async fn show(
    State(gateway): State<Gateway>,
    PathOf(id): PathOf<String>,
    uri: Uri,
    _: NoBody,
) -> Result<Json<Ontology>, Problem> {
    Query::parse(uri.query(), &[])?;
    let ontology = gateway.ontologies().get(&id).map_err(|unknown| {
        let names = || unknown.known.iter().map(String::as_str);
        let detail = format!("there is no ontology {id:?}{}", did_you_mean(&id, names()));
        Problem::new(Code::NoSuchOntology, detail).field("id").available(names())
    })?;
    Ok(Json(Ontology {
        id: ontology.id().to_owned(),
        label: ontology.label().to_owned(),
        version: ontology.version().to_owned(),
        aliases: ontology.aliases().to_vec(),
        fully_annotated: ontology.is_fully_annotated(),
        classes: ontology.classes().iter().map(|shown| class(&ontology, shown)).collect(),
        relations: ontology.relations().iter().map(|shown| relation(&ontology, shown)).collect(),
        examples: number(ontology.sentences().len()),
    }))
}

fn class(ontology: &pack::Ontology, class: &pack::Class) -> Class {
    let lineage = class.lineage.iter().filter_map(|id| ontology.class(*id));
    Class {
        name: class.name.clone(),
        labels: class.labels.clone(),
        parents: lineage
            .map(|in_line| &in_line.name)
            .filter(|name| **name != class.name)
            .cloned()
            .collect(),
        iri: class.iri.clone(),
    }
}

fn relation(ontology: &pack::Ontology, relation: &pack::Relation) -> Relation {
    let names = |classes: &[pack::ClassId]| {
        classes
            .iter()
            .filter_map(|id| ontology.class(*id))
            .map(|class| class.name.clone())
            .collect()
    };
    let (range, literal) = match &relation.range {
        pack::Range::Classes(classes) => (names(classes), None),
        pack::Range::Literal(datatype) => (Vec::new(), Some(datatype.name().to_owned())),
    };
    let inverse = relation.inverse.and_then(|id| ontology.relation(id));
    Relation {
        name: relation.name.clone(),
        labels: relation.labels.clone(),
        domain: names(&relation.domain),
        range,
        literal,
        functional: relation.functional,
        inverse: inverse.map(|inverse| inverse.name.clone()),
        iri: relation.iri.clone(),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
