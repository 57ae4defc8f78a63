//! Environment variables: `QUARRY_SECTION__KEY`, and the names of other systems.

use std::collections::BTreeMap;

use super::{
    catalogue::{self, IGNORED_VARIABLES, KEYS, Key},
    layer::Layer,
    mistake::{Mistake, suggestion},
    named::Named,
};

const PREFIX: &str = "QUARRY_";

/// Reads variables into a layer; what is wrong goes to `mistakes`, what is passed over to
/// `warnings`.
pub(crate) fn read(
    variables: &BTreeMap<String, String>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<String>,
) -> Layer {
    let mut layer = Layer::default();
    for (name, text) in variables {
        if let Some((_, reason)) = IGNORED_VARIABLES.iter().find(|(ignored, _)| ignored == name) {
            warnings.push(format!("{name} is passed over: {reason}"));
            continue;
        }
        let added = match find(name) {
            Found::Key(key) => layer.add_text(key, &value_of(name, text), name),
            Found::Nothing => Ok(()),
            Found::Wrong(message) => Err(Mistake::new(name, message)),
        };
        mistakes.extend(added.err());
    }
    layer
}

enum Found {
    Key(Named),
    Wrong(String),
    Nothing,
}

fn find(name: &str) -> Found {
    if let Some(key) = KEYS.iter().find(|key| key.aliases.contains(&name)) {
        return Found::Key(key.into());
    }
    let Some(rest) = name.strip_prefix(PREFIX) else { return Found::Nothing };
    let Some((section, key_name)) = rest.split_once("__") else { return find_misspelt(name) };
    let section = section.to_ascii_lowercase();
    let key_name = key_name.to_ascii_lowercase().replace("__", ".");
    let sections = catalogue::sections();
    if sections.contains(&section.as_str()) {
        return Named::find(&section, &key_name).map_or_else(Found::Wrong, Found::Key);
    }
    let hint = suggestion(&section, sections.iter().copied());
    Found::Wrong(format!("there is no section {section}{hint}; there are {}", sections.join(", ")))
}

/// A variable with one underscore where two belong; all others with the prefix are not ours.
fn find_misspelt(name: &str) -> Found {
    KEYS.iter()
        .map(Key::variable)
        .find(|variable| variable.replace("__", "_") == name)
        .map_or(Found::Nothing, |variable| {
            Found::Wrong(format!("section and key are parted by two _: {variable}"))
        })
}

/// A path of a database file becomes a URL; everything else stays as it is.
fn value_of(name: &str, text: &str) -> String {
    if name == "DATABASE_PATH" && !text.contains("://") {
        return format!("sqlite://{text}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use config::Source;

    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> (Layer, Vec<String>, Vec<String>) {
        let variables = pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let layer = read(&variables, &mut mistakes, &mut warnings);
        (layer, mistakes.iter().map(ToString::to_string).collect(), warnings)
    }

    #[test]
    fn wrong_variables_are_named_all_at_once() {
        let (_, mistakes, _) = read_pairs(&[
            ("QUARRY_NODE__IDD", "1"),
            ("QUARRY_NODES__ID", "1"),
            ("QUARRY_CLUSTER__LEASE_TTL", "3"),
            ("QUARRY_STORE_URL", "sqlite://x"),
            ("QUARRY_CLUSTER__TLS__CERTT", "x"),
            ("QUARRY_BIN", "not ours"),
            ("HOME", "/"),
        ]);
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
        for part in [
            "QUARRY_NODE__IDD: there is no key node.idd (did you mean id?)",
            "QUARRY_NODES__ID: there is no section nodes (did you mean node?)",
            "QUARRY_CLUSTER__LEASE_TTL: cluster.lease_ttl \"3\" has no unit",
            "QUARRY_CLUSTER__TLS__CERTT: there is no key cluster.tls.certt (did you mean tls.cert?)",
            "QUARRY_STORE_URL: section and key are parted by two _: QUARRY_STORE__URL",
        ] {
            assert!(mistakes.iter().any(|m| m.starts_with(part)), "{part}: {mistakes:#?}");
        }
    }

    #[test]
    fn names_of_other_systems_are_aliases() {
        let (layer, mistakes, warnings) = read_pairs(&[
            ("RUNNER_ID", "0"),
            ("DATABASE_PATH", "/var/q.db"),
            ("EVENT_QUEUE_PROCESS_INTERVAL_MS", "100"),
        ]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert!(warnings.iter().any(|warning| warning.contains("nothing polls")));
        let built = config::Config::builder().add_source(layer).build().unwrap();
        assert_eq!(built.get_int("node.id").unwrap(), 0);
        assert_eq!(built.get_string("store.url").unwrap(), "sqlite:///var/q.db");
        assert!(built.collect().is_ok());
    }
}
