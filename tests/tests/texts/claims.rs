//! What a graph claims of a text, held against the text. It shares no code with the project's own
//! check.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The Unicode scalar values of a text.
struct Characters(Vec<char>);

impl Characters {
    fn at(&self, span: &Value) -> Result<String> {
        let place = |name: &str| -> Result<usize> {
            Ok(usize::try_from(span[name].as_u64().with_context(|| format!("{span}"))?)?)
        };
        let (start, end) = (place("start")?, place("end")?);
        let there = self.0.get(start..end).with_context(|| format!("{span} is beyond the text"))?;
        ensure!(!there.is_empty(), "{span} holds nothing");
        Ok(there.iter().collect())
    }
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name].as_array().with_context(|| format!("no {name}: {value}"))
}

fn inside(span: &Value, of: &Value) -> bool {
    span["start"].as_u64() >= of["start"].as_u64() && span["end"].as_u64() <= of["end"].as_u64()
}

/// Makes sure that every span of `graph` stands in `text` as it says: mentions word for word,
/// subjects and objects as mentions of their entities, values as they are written unless that is
/// said to be inferred, all within their evidence; and that a graph without facts says why. How many
/// spans there are.
pub(crate) fn every_span_is_what_it_claims(graph: &Value, text: &str) -> Result<usize> {
    let characters = Characters(text.chars().collect());
    let mut spans = 0;
    let mut mentions = BTreeSet::new();
    for entity in list(graph, "entities")? {
        for mention in list(entity, "mentions")? {
            ensure!(mention["text"] == characters.at(mention)?, "{mention} in {text:?}");
            mentions.insert(named(&entity["id"], mention));
            spans += 1;
        }
    }
    for fact in list(graph, "relations")? {
        let sources = list(fact, "provenance")?;
        ensure!(!sources.is_empty(), "nobody says {fact}");
        for source in sources {
            let (subject, object, evidence) =
                (&source["subject"], &source["object"], &source["evidence"]);
            characters.at(evidence)?;
            let inferred = source["inferred"] == true;
            ensure!(mentions.contains(&named(&fact["subject"], subject)), "subject of {fact}");
            match &fact["object"]["entity"] {
                Value::Null => {
                    let there = characters.at(object)?;
                    ensure!(inferred || fact["object"]["value"] == there, "{fact}: {there:?}");
                }
                entity => ensure!(mentions.contains(&named(entity, object)), "object of {fact}"),
            }
            ensure!(inside(object, evidence), "the object is not in the evidence: {fact}");
            ensure!(inferred || inside(subject, evidence), "nor the subject: {fact}");
            spans += 3;
        }
    }
    let is_without = list(graph, "relations")?.is_empty();
    ensure!(!is_without || graph["reason"].is_string(), "no fact and no reason: {graph}");
    Ok(spans)
}

fn named(entity: &Value, span: &Value) -> (String, String) {
    (entity.to_string(), format!("{}..{}", span["start"], span["end"]))
}

/// The names of a graph's entities of this type.
pub(crate) fn names<'a>(graph: &'a Value, class: &str) -> Result<Vec<&'a str>> {
    let entities = list(graph, "entities")?.iter().filter(|entity| entity["type"] == class);
    Ok(entities.filter_map(|entity| entity["name"].as_str()).collect())
}

#[test]
fn a_span_that_is_not_what_it_claims_is_found() {
    let graph = |start: u64, evidence: u64| {
        serde_json::json!({
            "entities": [{ "id": "e1", "mentions": [{ "start": start, "end": start + 2, "text": "日本" }] }],
            "relations": [{
                "subject": "e1", "object": { "value": "1981" },
                "provenance": [{
                    "subject": { "start": start, "end": start + 2 },
                    "object": { "start": 4, "end": 8 },
                    "evidence": { "start": 0, "end": evidence }, "inferred": false,
                }],
            }],
        })
    };
    let check =
        |start, evidence| every_span_is_what_it_claims(&graph(start, evidence), "é日本 1981");
    assert_eq!(check(1, 8).unwrap(), 4);
    for (start, evidence) in [(0, 8), (2, 8), (1, 7), (1, 9), (7, 8)] {
        assert!(check(start, evidence).is_err(), "{start}, {evidence}");
    }
    let bare = serde_json::json!({ "entities": [], "relations": [], "reason": null });
    assert!(every_span_is_what_it_claims(&bare, "x").is_err(), "no fact and no reason");
}
