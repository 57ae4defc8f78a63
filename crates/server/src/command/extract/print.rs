//! Graphs and events for people.

use std::collections::BTreeMap;

use quarry_extract::{
    event::Event,
    graph::{Entity, Graph, Object, Relation},
};

use crate::{
    cli::Format,
    failure::Failure,
    output::{Output, table},
};

/// Prints the entities and facts of `graph`, each fact with its words in `text`.
pub(crate) fn print_tables(graph: &Graph, text: &str, output: Output) -> Result<(), Failure> {
    if let Some(reason) = &graph.reason {
        output.say(&format!("note: {reason}"));
    }
    let entities = graph.entities.iter().map(|entity| {
        vec![
            entity.id.clone(),
            entity.class.clone(),
            entity.name.clone(),
            entity.aliases.join(", "),
            entity.mentions.len().to_string(),
            format!("{:.2}", entity.confidence),
        ]
    });
    let columns = ["entity", "type", "name", "also", "mentions", "confidence"];
    output.line(&table(&columns, entities.collect()))?;
    output.line("")?;
    let names: BTreeMap<&str, &Entity> =
        graph.entities.iter().map(|entity| (entity.id.as_str(), entity)).collect();
    let facts = graph.relations.iter().map(|relation| {
        vec![
            name_of(&names, &relation.subject),
            relation.predicate.clone(),
            object_of(&names, &relation.object),
            format!("{:.2}", relation.confidence),
            evidence_of(relation, text),
        ]
    });
    output.line(&table(
        &["subject", "predicate", "object", "confidence", "evidence"],
        facts.collect(),
    ))
}

/// Prints an event, as a line of JSON or of words.
pub(crate) fn print_event(event: &Event, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.json_line(event);
    }
    match event {
        Event::EntityFound { entity } => {
            output.line(&format!("{:4} {}: {}", entity.id, entity.class, entity.name))
        }
        Event::FactFound { fact } => {
            let object = object_of(&BTreeMap::new(), &fact.object);
            output.line(&format!("     {} {} {object}", fact.subject, fact.predicate))
        }
        Event::Failed { error } => output.line(&format!("failed: {error}")),
        Event::ChunkFailed { chunk, error } => {
            output.line(&format!("chunk {chunk} failed: {error}"))
        }
        Event::Progress { percent, .. } => {
            output.say_more(&format!("{percent} %"));
            Ok(())
        }
        Event::Completed { result_id } => output.line(&format!("completed: {result_id}")),
        Event::Started { .. }
        | Event::StageStarted { .. }
        | Event::StageCompleted { .. }
        | Event::EntitiesExtracted { .. }
        | Event::RelationsExtracted { .. } => Ok(()),
    }
}

fn name_of(names: &BTreeMap<&str, &Entity>, id: &str) -> String {
    names.get(id).map_or_else(|| id.to_owned(), |entity| entity.name.clone())
}

fn object_of(names: &BTreeMap<&str, &Entity>, object: &Object) -> String {
    match object {
        Object::Entity { entity } => name_of(names, entity),
        Object::Literal(literal) => match &literal.unit {
            Some(unit) => format!("{} {unit}", literal.value),
            None => literal.value.clone(),
        },
    }
}

/// The evidence's words, on one line and cut where they are many.
fn evidence_of(relation: &Relation, text: &str) -> String {
    const MOST: usize = 60;
    let Some(provenance) = relation.provenance.first() else { return String::new() };
    let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let (start, end) = (offset(provenance.evidence.start), offset(provenance.evidence.end));
    let words: String = text.chars().skip(start).take(end.saturating_sub(start)).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= MOST {
        return words;
    }
    words.chars().take(MOST - 1).chain(['…']).collect()
}
