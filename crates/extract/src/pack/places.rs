//! Where the parts of a pack stand in its file.

use serde::Deserialize;
use serde_json::value::RawValue;
use toml::Spanned;

/// Where classes, relations and sentences begin, in their order.
#[derive(Debug, Default)]
pub(super) struct Places {
    id: Option<usize>,
    classes: Vec<usize>,
    relations: Vec<usize>,
    sentences: Vec<usize>,
    line_starts: Vec<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Toml {
    id: Option<Spanned<toml::Value>>,
    class: Vec<Spanned<toml::Value>>,
    relation: Vec<Spanned<toml::Value>>,
    sentence: Vec<Spanned<toml::Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound = "'de: 'a")]
struct Json<'a> {
    id: Option<&'a RawValue>,
    #[serde(alias = "concepts")]
    class: Vec<&'a RawValue>,
    #[serde(alias = "relations")]
    relation: Vec<&'a RawValue>,
    sentence: Vec<&'a RawValue>,
}

impl Places {
    /// Of a TOML pack; without its parts where it cannot be read.
    pub(super) fn of_toml(text: &str) -> Self {
        let Toml { id, class, relation, sentence } = toml::from_str(text).unwrap_or_default();
        let starts = |parts: Vec<Spanned<toml::Value>>| {
            parts.into_iter().map(|part| part.span().start).collect()
        };
        Self {
            id: id.map(|id| id.span().start),
            classes: starts(class),
            relations: starts(relation),
            sentences: starts(sentence),
            line_starts: line_starts(text),
        }
    }

    /// Of a file whose classes and relations begin at these bytes.
    pub(super) fn of_lines(text: &str, classes: Vec<usize>, relations: Vec<usize>) -> Self {
        Self { classes, relations, line_starts: line_starts(text), ..Self::default() }
    }

    /// Of a JSON pack or of the layout of Text2KGBench; without its parts where it cannot be read.
    pub(super) fn of_json(text: &str) -> Self {
        let Json { id, class, relation, sentence } = serde_json::from_str(text).unwrap_or_default();
        // The parts are slices of the text.
        let start = |part: &RawValue| part.get().as_ptr().addr() - text.as_ptr().addr();
        let starts = |parts: Vec<&RawValue>| parts.into_iter().map(start).collect();
        Self {
            id: id.map(start),
            classes: starts(class),
            relations: starts(relation),
            sentences: starts(sentence),
            line_starts: line_starts(text),
        }
    }

    /// The line of a byte, from 1.
    pub(super) fn line_of(&self, byte: usize) -> Option<u32> {
        u32::try_from(self.line_starts.partition_point(|start| *start <= byte) + 1).ok()
    }

    /// The line of the pack's id.
    pub(super) fn id(&self) -> Option<u32> {
        self.id.and_then(|byte| self.line_of(byte))
    }

    /// The line where a class begins.
    pub(super) fn class(&self, at: usize) -> Option<u32> {
        self.classes.get(at).and_then(|byte| self.line_of(*byte))
    }

    /// The line where a relation begins.
    pub(super) fn relation(&self, at: usize) -> Option<u32> {
        self.relations.get(at).and_then(|byte| self.line_of(*byte))
    }

    /// The line where a sentence begins.
    pub(super) fn sentence(&self, at: usize) -> Option<u32> {
        self.sentences.get(at).and_then(|byte| self.line_of(*byte))
    }
}

/// Where every line but the first starts.
fn line_starts(text: &str) -> Vec<usize> {
    text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect()
}
