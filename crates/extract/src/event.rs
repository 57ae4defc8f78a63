//! What an extraction tells on its way: the chunks of a submission's reply, one JSON object each.
//!
//! Events say nothing that another run would say otherwise (no clock, no node, no attempt), so a
//! run that is repeated repeats them, and a stored stream stays as it is. Number and time are the
//! stream's.
//!
//! A submission tells `started`; the stage `extract`, unless its graph is stored already; what was
//! found and which chunks were not read, with the counts; and last `completed` or `failed`. The work
//! behind it, which may serve several submissions, tells all stages with `progress`. An extraction in
//! process tells all of this in one stream.

use serde::{Deserialize, Serialize};

use crate::graph::{Entity, FailedChunk, Graph, Relation};

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The submission is good and was taken up.
    Started {
        /// Names the submission.
        request_id: String,
    },
    /// A stage begins.
    StageStarted {
        /// The stage.
        stage: Stage,
        /// The id of the `ExtractionWork` that the submission waits for meanwhile, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        work: Option<String>,
    },
    /// How far the whole extraction is.
    Progress {
        /// The stage that it is in.
        stage: Stage,
        /// From 0 to 100; it never falls.
        percent: u32,
    },
    /// A stage ended.
    StageCompleted {
        /// The stage.
        stage: Stage,
    },
    /// A chunk contributes nothing; the others go on.
    ChunkFailed {
        /// The chunk.
        chunk: u32,
        /// Why.
        error: String,
    },
    /// An entity of the graph.
    EntityFound {
        /// As the graph has it, with at most its first 64 mentions and aliases.
        entity: Entity,
    },
    /// All entities were told.
    EntitiesExtracted {
        /// How many there are.
        count: u64,
    },
    /// A fact of the graph.
    FactFound {
        /// As the graph has it, with at most the first 64 places that state it.
        fact: Relation,
    },
    /// All facts were told.
    RelationsExtracted {
        /// How many there are.
        count: u64,
    },
    /// The graph is stored.
    Completed {
        /// Names the graph: the submission's request id.
        result_id: String,
    },
    /// There is no graph.
    Failed {
        /// Why, for people.
        error: String,
    },
    /// What was recorded before is gone from the journal.
    JournalDestroyed,
}

/// A stage of an extraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The text is cut into chunks.
    Chunk,
    /// Entities and facts are found, chunk by chunk.
    Extract,
    /// Chunks are joined, names resolved, facts checked, spans verified.
    Merge,
}

impl Event {
    /// A stage begins here.
    pub fn begun(stage: Stage) -> Self {
        Self::StageStarted { stage, work: None }
    }

    /// What is told of a graph once it is there: the chunks that are missing from it, its entities,
    /// its facts, the counts and its name.
    pub fn of_graph(graph: &Graph) -> impl Iterator<Item = Self> {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let entities = graph.entities.iter().map(Self::of_entity);
        let facts = graph.relations.iter().map(Self::of_fact);
        let (entity_count, fact_count) =
            (count(graph.entities.len()), count(graph.relations.len()));
        let failed = graph.failed_chunks.iter().map(|FailedChunk { chunk, error }| {
            Self::ChunkFailed { chunk: *chunk, error: error.clone() }
        });
        failed
            .chain(entities)
            .chain([Self::EntitiesExtracted { count: entity_count }])
            .chain(facts)
            .chain([Self::RelationsExtracted { count: fact_count }])
            .chain([Self::Completed { result_id: graph.request_id.clone() }])
    }

    fn of_entity(entity: &Entity) -> Self {
        let entity = Entity {
            id: entity.id.clone(),
            class: entity.class.clone(),
            name: entity.name.clone(),
            aliases: first(&entity.aliases),
            confidence: entity.confidence,
            mentions: first(&entity.mentions),
        };
        Self::EntityFound { entity }
    }

    fn of_fact(fact: &Relation) -> Self {
        let fact = Relation {
            subject: fact.subject.clone(),
            predicate: fact.predicate.clone(),
            object: fact.object.clone(),
            confidence: fact.confidence,
            provenance: first(&fact.provenance),
        };
        Self::FactFound { fact }
    }

    /// How far an extraction is that has read `done` of `all` chunks. Cutting is the first twentieth
    /// of it and merging the last.
    pub fn chunks_read(done: usize, all: usize) -> Self {
        let part = done.saturating_mul(90).checked_div(all).unwrap_or(90).min(90);
        let percent = 5 + u32::try_from(part).unwrap_or(90);
        Self::Progress { stage: Stage::Extract, percent }
    }
}

/// How many mentions or places an event has, so that events stay small in long texts. The graph has
/// them all.
const MOST: usize = 64;

fn first<T: Clone>(all: &[T]) -> Vec<T> {
    all.iter().take(MOST).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_public_names() {
        for (event, json) in [
            (
                Event::Started { request_id: "r".into() },
                serde_json::json!({"type": "started", "requestId": "r"}),
            ),
            (
                Event::begun(Stage::Chunk),
                serde_json::json!({"type": "stage_started", "stage": "chunk"}),
            ),
            (
                Event::StageStarted { stage: Stage::Extract, work: Some("k".into()) },
                serde_json::json!({"type": "stage_started", "stage": "extract", "work": "k"}),
            ),
            (
                Event::chunks_read(1, 3),
                serde_json::json!({"type": "progress", "stage": "extract", "percent": 35}),
            ),
            (
                Event::ChunkFailed { chunk: 2, error: "so".into() },
                serde_json::json!({"type": "chunk_failed", "chunk": 2, "error": "so"}),
            ),
            (
                Event::EntitiesExtracted { count: 1 },
                serde_json::json!({"type": "entities_extracted", "count": 1}),
            ),
            (
                Event::Completed { result_id: "r".into() },
                serde_json::json!({"type": "completed", "resultId": "r"}),
            ),
            (
                Event::Failed { error: "so".into() },
                serde_json::json!({"type": "failed", "error": "so"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&event).unwrap(), json);
            assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }

    #[test]
    fn progress_never_falls_and_stays_below_the_end() {
        let percent = |done, all| match Event::chunks_read(done, all) {
            Event::Progress { percent, .. } => percent,
            _ => 0,
        };
        let told: Vec<u32> = (0..=700).map(|done| percent(done, 700)).collect();
        assert!(told.is_sorted() && told[0] == 5 && told[700] == 95, "{told:?}");
        assert_eq!(percent(0, 0), 95);
    }
}
