//! What an ontology knows.

use quarry_extract::pack::Ontologies;
use quarry_types::ontology::Summary;

use super::load::{is_file, load};
use crate::{
    cli::{Format, Global},
    command::connection::connect,
    failure::Failure,
    output::{Output, table},
};

/// Lists the ontologies of the server that is named, or the built-in ones.
pub(super) async fn list(global: &Global, output: Output) -> Result<(), Failure> {
    let summaries: Vec<Summary> = if global.url.is_some() {
        connect(global)?.ontologies().await?.ontologies
    } else {
        let ontologies = Ontologies::built_in().map_err(anyhow::Error::from)?;
        ontologies.iter().map(|ontology| ontology.summary()).collect()
    };
    let columns = ["id", "label", "also", "version", "classes", "relations", "examples"];
    output.list(&columns, &summaries, |summary| {
        vec![
            summary.id.clone(),
            summary.label.clone(),
            summary.aliases.join(", "),
            summary.version.clone(),
            summary.classes.to_string(),
            summary.relations.to_string(),
            summary.examples.to_string(),
        ]
    })
}

/// Shows one ontology, of the server that is named or of this process.
pub(super) async fn one(named: &str, global: &Global, output: Output) -> Result<(), Failure> {
    let shown = if global.url.is_some() && !is_file(named) {
        connect(global)?.ontology(named).await?
    } else {
        load(named)?.shown()
    };
    if output.format() != Format::Table {
        return output.record(&[], &shown);
    }
    let version = format!("{} ({}), version {}", shown.label, shown.id, shown.version);
    output.line(&format!("{version}, {} examples\n", shown.examples))?;
    let classes = shown.classes.iter().map(|class| {
        let iri = class.iri.clone().unwrap_or_default();
        vec![class.name.clone(), class.parents.join(" < "), class.labels.join(", "), iri]
    });
    output.line(&table(&["class", "is a", "labels", "iri"], classes.collect()))?;
    output.line("")?;
    let relations = shown.relations.iter().map(|relation| {
        let object = relation.literal.clone().unwrap_or_else(|| relation.range.join(", "));
        vec![
            relation.name.clone(),
            relation.domain.join(", "),
            object,
            if relation.functional { "one".to_owned() } else { String::new() },
            relation.iri.clone().unwrap_or_default(),
        ]
    });
    output.line(&table(&["relation", "subject", "object", "at most", "iri"], relations.collect()))
}
