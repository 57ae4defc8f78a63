//! What an ontology knows.

use quarry_extract::pack::Ontologies;
use quarry_types::ontology::{Origin, Summary};

use super::load::{is_file, load, server};
use crate::{
    cli::{Format, Global},
    failure::Failure,
    output::{Output, table},
};

/// Lists the ontologies of the server; without one, those that are built in.
pub(super) async fn list(global: &Global, output: Output) -> Result<(), Failure> {
    let summaries: Vec<Summary> = if let Some(client) = server(global).await? {
        client.ontologies().await?
    } else {
        let ontologies = Ontologies::built_in().map_err(anyhow::Error::from)?;
        ontologies.iter().map(|ontology| ontology.summary(Origin::BuiltIn)).collect()
    };
    let columns = ["id", "label", "also", "version", "classes", "relations", "examples", "origin"];
    output.list(&columns, &summaries, |summary| {
        vec![
            summary.id.clone(),
            summary.label.clone(),
            summary.aliases.join(", "),
            summary.version.clone(),
            summary.classes.to_string(),
            summary.relations.to_string(),
            summary.examples.to_string(),
            match (summary.origin, &summary.put_at) {
                (Origin::Put, Some(time)) => format!("put {time}"),
                (Origin::Put, None) => "put".to_owned(),
                (Origin::BuiltIn, _) => "built in".to_owned(),
                (Origin::File, _) => "file".to_owned(),
            },
        ]
    })
}

/// Shows one ontology: of a file, of the server, or without one of this process.
pub(super) async fn one(named: &str, global: &Global, output: Output) -> Result<(), Failure> {
    let shown = if is_file(named) {
        load(named)?.shown(Origin::File)
    } else {
        match server(global).await? {
            Some(client) => client.ontology(named).await?,
            None => load(named)?.shown(Origin::BuiltIn),
        }
    };
    for note in &shown.notes {
        output.say(&format!("note: {note}"));
    }
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
