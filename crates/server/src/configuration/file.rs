//! The file `quarry.toml`, read with the line of every value.

use std::{collections::BTreeMap, ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    catalogue::{self, KEYS, Key},
    kind::Raw,
    layer::Layer,
    mistake::{Mistake, suggestion},
    named::{Named, TYPED},
};

/// Reads the file at `path` into a layer; what is wrong goes to `mistakes`.
pub(crate) fn read(path: &Path, mistakes: &mut Vec<Mistake>) -> Layer {
    let name = path.display().to_string();
    let mistake = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return parse(&name, &text, mistakes),
        Ok(Err(error)) => {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            Mistake::new(format!("{name}:{line}"), "is no UTF-8; write the file in UTF-8")
        }
        Err(error) => Mistake::new(name, format!("{error}")),
    };
    mistakes.push(mistake);
    Layer::default()
}

/// Reads `text`, which people know as the file `name`.
pub(crate) fn parse(name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Layer {
    let place = |span: Range<usize>| format!("{name}:{}", line_of(text, span.start));
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            mistakes.push(Mistake::new(place(error.span().unwrap_or(0..0)), message));
        }
        return Layer::default();
    }
    let mut layer = Layer::default();
    for (section, value) in document.get_ref() {
        let here = place(section.span());
        let section = section.get_ref().as_ref();
        if !catalogue::sections().contains(&section) {
            mistakes.push(Mistake::new(here, unknown_section(section)));
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("{section} is a section; write [{section}] on a line of its own");
            mistakes.push(Mistake::new(here, message));
            continue;
        };
        for (path, place_of, value) in keys_in(section, table) {
            let here = place(place_of);
            let added = match Named::find(section, &path) {
                Ok(named) => layer.add(named, &raw(value), &here),
                Err(message) => Err(Mistake::new(here, message)),
            };
            mistakes.extend(added.err());
        }
    }
    layer
}

/// What is written in a section: names, places and values; of a table of keys, what is in it.
fn keys_in<'a>(
    section: &str,
    table: &'a DeTable<'a>,
) -> Vec<(String, Range<usize>, &'a DeValue<'a>)> {
    let is_table =
        |name: &str| KEYS.iter().any(|key| key.section() == section && key.table() == Some(name));
    let mut found = Vec::new();
    for (name, value) in table {
        let outer = name.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(inner) if is_table(outer) || section == TYPED => {
                found.extend(inner.iter().map(|(name, value)| {
                    (format!("{outer}.{}", name.get_ref()), name.span(), value.get_ref())
                }));
            }
            value => found.push((outer.to_owned(), name.span(), value)),
        }
    }
    found
}

fn unknown_section(section: &str) -> String {
    let homes: Vec<&str> =
        KEYS.iter().filter(|key| key.name() == section).map(Key::section).collect();
    if let Some(home) = homes.first() {
        return format!("{section} belongs into the section [{home}]");
    }
    let hint = suggestion(section, catalogue::sections());
    format!("there is no section [{section}]{hint}; there are {}", catalogue::sections().join(", "))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number beyond 64 bits"), Raw::Integer),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Table(table) => Raw::Table(
            table
                .iter()
                .map(|(name, value)| (name.get_ref().as_ref().to_owned(), raw(value.get_ref())))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes_of(text: &str) -> Vec<String> {
        let mut mistakes = Vec::new();
        parse("q.toml", text, &mut mistakes);
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_mistakes_of_a_file_are_reported_with_their_lines() {
        let text = "[node]\nid = \"one\"\nhtpp = \"x:1\"\n\n[cluster]\nlease_ttl = 3\nid = 4\n\n[stroe]\nurl = \"x\"\n";
        let mistakes = mistakes_of(text);
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
        for part in [
            "q.toml:2: node.id must be a whole number, not the text \"one\"",
            "q.toml:3: there is no key node.htpp (did you mean http?)",
            "q.toml:6: cluster.lease_ttl is a number; write it in words, as in \"3ms\"",
            "q.toml:7: there is no key cluster.id (did you mean node.id?)",
            "q.toml:9: there is no section [stroe] (did you mean store?)",
        ] {
            assert!(
                mistakes.iter().any(|mistake| mistake.starts_with(part)),
                "{part}: {mistakes:#?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_utf_8_is_named_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"[store]\nurl = \"a\xff\"\n").unwrap();
        let mut mistakes = Vec::new();
        read(file.path(), &mut mistakes);
        let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let name = file.path().display();
        assert_eq!(said, [format!("{name}:2: is no UTF-8; write the file in UTF-8")]);
    }

    #[test]
    fn a_table_of_keys_may_be_written_in_every_way() {
        for text in [
            "[cluster.tls]\nca = \"a\"\ncert = \"b\"\nkey = \"c\"\n",
            "[cluster]\ntls = { ca = \"a\", cert = \"b\", key = \"c\" }\n",
            "[cluster]\ntls.ca = \"a\"\ntls.cert = \"b\"\n",
        ] {
            assert_eq!(mistakes_of(text), [""; 0], "{text}");
        }
        assert_eq!(
            mistakes_of("[cluster.tls]\nca = 3\ncertificate = \"b\"\n"),
            [
                "q.toml:2: cluster.tls.ca must be a path, not a number",
                "q.toml:3: there is no key cluster.tls.certificate (did you mean tls.cert?)",
            ]
        );
        let whole = mistakes_of("[cluster]\ntls = true\n");
        assert!(whole.first().is_some_and(|first| first.contains("cluster.tls")), "{whole:?}");
    }

    #[test]
    fn an_entity_type_has_a_section_of_its_own() {
        assert!(mistakes_of("[entities.Counter]\nretention = \"1h\"\nmailbox = 5\n").is_empty());
        let bounds = "[entities.Counter]\nconcurrency = 4\nresidents = 10\n";
        let node = "[node]\nresidents = 100\ndormant_memory = \"1MiB\"\n";
        assert!(mistakes_of(&format!("{node}{bounds}")).is_empty());
        let mistakes = mistakes_of("[entities.Counter]\nmailbx = 5\nidle_after = 3\n");
        for part in [
            "q.toml:2: there is no key entities.Counter.mailbx (did you mean mailbox?); a type has ",
            "q.toml:3: entities.Counter.idle_after is a number; write it in words",
        ] {
            assert!(mistakes.iter().any(|m| m.starts_with(part)), "{part}: {mistakes:#?}");
        }
        let mistakes = mistakes_of("[entities.\"no type\"]\nmailbox = 5\n");
        assert!(mistakes.first().is_some_and(|m| m.contains("entity type")), "{mistakes:?}");
    }

    #[test]
    fn a_corrupt_file_names_its_line() {
        let mistakes = mistakes_of("[node]\nid = 1\nhttp = \"127.0.0.1:7410\n[store]\n");
        assert!(
            mistakes.first().is_some_and(|first| first.starts_with("q.toml:3: ")),
            "{mistakes:?}"
        );
    }

    #[test]
    fn a_key_outside_its_section_is_sent_home() {
        assert_eq!(
            mistakes_of("shards = 8\n"),
            ["q.toml:1: shards belongs into the section [cluster]"]
        );
        let mistakes = mistakes_of("node = 3\n");
        assert!(mistakes.first().is_some_and(|first| first.contains("write [node]")));
    }

    #[test]
    fn aliases_of_other_systems_are_understood() {
        assert!(mistakes_of("[cluster]\nnumberOfShards = 8\nlockTtl = \"10s\"\n").is_empty());
        let twice = mistakes_of("[cluster]\nnumberOfShards = 8\nshards = 8\n");
        assert!(
            twice.first().is_some_and(|m| m.contains("was given before, at q.toml:2")),
            "{twice:?}"
        );
    }
}
