//! Packs read from TOML and JSON: what does not fit is told with its place and what to do.

use quarry_types::in_words_of_json;
use serde::{Deserialize, de::DeserializeOwned};

use super::{PackError, places::Places};

/// Reads TOML; `places` knows its lines.
pub(super) fn toml<T: DeserializeOwned>(text: &str, places: &Places) -> Result<T, PackError> {
    let told = |path: &str, error: &toml::de::Error| {
        let line = error.span().and_then(|span| places.line_of(span.start));
        let advice = advice(error.message(), text.trim_start().starts_with('{').then_some("JSON"));
        PackError::at(line, place(path), in_words_of_json(error.message()) + &advice)
    };
    let document = toml::Deserializer::parse(text).map_err(|error| told(".", &error))?;
    serde_path_to_error::deserialize(document)
        .map_err(|error| told(&error.path().to_string(), error.inner()))
}

/// Reads JSON.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, PackError> {
    let mut document = serde_json::Deserializer::from_str(text);
    let told = |path: &str, error: &serde_json::Error| {
        let line = u32::try_from(error.line()).ok().filter(|line| *line > 0);
        let words = error.to_string();
        let is_other = !text.trim_start().starts_with(['{', '[']);
        let advice = advice(&words, is_other.then_some("TOML"));
        PackError::at(line, place(path), in_words_of_json(&words) + &advice)
    };
    let read = serde_path_to_error::deserialize(&mut document)
        .map_err(|error| told(&error.path().to_string(), error.inner()))?;
    document.end().map_err(|error| told(".", &error))?;
    Ok(read)
}

/// What the reader of a path calls the place: `relation 3: range`, counted from 1.
fn place(path: &str) -> String {
    let path = path.trim_end_matches(".?");
    if matches!(path, "." | "?") {
        return "pack".to_owned();
    }
    path.split('.').map(part).collect::<Vec<_>>().join(": ")
}

fn part(part: &str) -> String {
    let Some((name, indices)) = part.split_once('[') else { return part.to_owned() };
    let numbers = indices.trim_end_matches(']').split("][").map(|index| {
        index.parse::<usize>().map_or_else(|_| index.to_owned(), |index| (index + 1).to_string())
    });
    format!("{name} {}", numbers.collect::<Vec<_>>().join("."))
}

/// What to do about a mistake that its words do not say.
fn advice(words: &str, other: Option<&str>) -> String {
    if let Some(format) = other {
        return format!("; if this is {format}, say so by the file's ending or Content-Type");
    }
    if words.contains("missing field `id`") {
        return "; name the ontology: id = \"my-ontology\", at the head".to_owned();
    }
    if words.contains("missing field") {
        return "; add it".to_owned();
    }
    if words.contains("duplicate") {
        return "; keep one of them".to_owned();
    }
    String::new()
}
