//! Graphs and events for people.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
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
    let name = |entity: &Entity| (entity.id.clone(), entity.name.clone());
    let names: Names = graph.entities.iter().map(name).collect();
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

/// Prints the events of texts as they come, and how far each text is.
pub(crate) struct EventPrinter {
    output: Output,
    /// The names of the entities that were found.
    names: Names,
    bar: ProgressBar,
}

impl EventPrinter {
    /// Prints to `output`.
    pub(crate) fn new(output: Output) -> Self {
        let bar = ProgressBar::new(100);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} %") {
            bar.set_style(style);
        }
        Self { output, names: Names::new(), bar }
    }

    /// Prints an event, as a line of JSON or of words.
    pub(crate) fn print(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Started { .. } => self.names.clear(),
            Event::Progress { percent, .. } => self.bar.set_position(u64::from(*percent)),
            Event::EntityFound { entity } => {
                self.names.insert(entity.id.clone(), entity.name.clone());
            }
            Event::EntitiesExtracted { .. } | Event::Failed { .. } => self.bar.finish_and_clear(),
            _ => {}
        }
        self.bar.suspend(|| match self.output.format() {
            Format::Table => self.words(event).map_or(Ok(()), |line| self.output.line(&line)),
            Format::Json | Format::Jsonl => self.output.json_line(event),
        })
    }

    /// What an event says to people, where it says something.
    fn words(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::EntityFound { entity } => {
                format!("{:4} {}: {}", entity.id, entity.class, entity.name)
            }
            Event::FactFound { fact } => {
                let subject = name_of(&self.names, &fact.subject);
                let object = object_of(&self.names, &fact.object);
                format!("     {subject} {} {object}", fact.predicate)
            }
            Event::Failed { error } => format!("failed: {error}"),
            Event::ChunkFailed { chunk, error } => format!("chunk {chunk} failed: {error}"),
            Event::Completed { result_id } => format!("completed: {result_id}"),
            Event::Started { .. }
            | Event::StageStarted { .. }
            | Event::Progress { .. }
            | Event::StageCompleted { .. }
            | Event::EntitiesExtracted { .. }
            | Event::RelationsExtracted { .. }
            | Event::JournalDestroyed => return None,
        })
    }
}

/// Names of entities by their ids.
type Names = BTreeMap<String, String>;

fn name_of(names: &Names, id: &str) -> String {
    names.get(id).cloned().unwrap_or_else(|| id.to_owned())
}

fn object_of(names: &Names, object: &Object) -> String {
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
