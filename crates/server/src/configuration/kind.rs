//! What a key takes, and the one form in which its value goes on.

use std::collections::BTreeMap;

use config::ValueKind;
use quarry_types::parse_duration;

use super::bytes::parse_bytes;

/// A value as it was written: typed in a file, text elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// An array.
    List(Vec<Raw>),
    /// A table.
    Table(BTreeMap<String, Raw>),
    /// What no key takes, by name.
    Other(&'static str),
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A path.
    Path,
    /// A text that is not shown; at least 32 bytes.
    Secret,
    /// A place of a store.
    Url,
    /// A whole number.
    Integer {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// True or false.
    Boolean,
    /// A duration in words; the bounds are milliseconds.
    Duration {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A size in words; the bounds are bytes.
    Bytes {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// `host:port` to listen on.
    Listen,
    /// A host name or address, without a port.
    Host,
    /// A list of roles.
    Roles,
    /// A list of `id=host:port`.
    Voters,
    /// A list of words.
    Words,
    /// One of some words.
    OneOf(&'static [&'static str]),
}

const ROLES: &[&str] = &["runner", "coordinator", "gateway"];

impl Kind {
    /// Checks a value as written; the value to go on with.
    ///
    /// # Errors
    /// What is wrong, to be read after the key's name.
    pub(crate) fn check(self, raw: &Raw) -> Result<ValueKind, String> {
        match (self, raw) {
            (Self::Integer { least, most }, Raw::Integer(number)) => between(*number, least, most),
            (Self::Boolean, Raw::Boolean(value)) => Ok(ValueKind::Boolean(*value)),
            (Self::Roles | Self::Voters | Self::Words, Raw::List(items)) => {
                self.check_text(&join(items)?)
            }
            (Self::Voters, Raw::Table(table)) => self.check_text(&join_table(table)?),
            (Self::Duration { .. }, Raw::Integer(number)) => {
                Err(format!("is a number; write it in words, as in \"{number}ms\""))
            }
            (Self::Bytes { .. }, Raw::Integer(number)) => {
                Err(format!("is a number; write it in words, as in \"{number}KiB\""))
            }
            (Self::Integer { .. } | Self::Boolean, Raw::Text(text)) => {
                Err(format!("must be {}, not the text {text:?}", self.article()))
            }
            (_, Raw::Text(text)) => self.check_text(text),
            (_, other) => Err(format!("must be {}, not {}", self.article(), other.article())),
        }
    }

    /// Checks a value that came as text: from a variable, a flag, or a default.
    ///
    /// # Errors
    /// As [`Kind::check`].
    pub(crate) fn check_text(self, text: &str) -> Result<ValueKind, String> {
        match self {
            Self::Integer { least, most } => match text.trim().parse() {
                Ok(number) => between(number, least, most),
                Err(_) => Err(format!("must be a whole number, not {text:?}")),
            },
            Self::Boolean => match text.trim() {
                "true" | "1" | "yes" | "on" => Ok(ValueKind::Boolean(true)),
                "false" | "0" | "no" | "off" => Ok(ValueKind::Boolean(false)),
                _ => Err(format!("must be true or false, not {text:?}")),
            },
            _ => self.check_words(text).map(|()| ValueKind::String(text.trim().to_owned())),
        }
    }

    fn check_words(self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        match self {
            Self::Secret if text.len() < 32 => {
                Err(format!("must be at least 32 random bytes, and has {}", text.len()))
            }
            Self::Duration { least, most } => check_duration(text, least, most),
            Self::Bytes { least, most } => check_bytes(text, least, most),
            Self::Url => check_url(text),
            Self::Listen => split_host_port(text).map(|_| ()),
            Self::Host if text.contains([':', '/', ' ']) && !text.starts_with('[') => {
                Err(format!("must be a host without a port, not {text:?}"))
            }
            Self::Roles => text.split(',').map(str::trim).try_for_each(|role| one_of(role, ROLES)),
            Self::Voters => parse_voters(text).map(|_| ()),
            Self::OneOf(words) => one_of(text, words),
            _ => Ok(()),
        }
    }

    /// `text` as it stands in a file.
    pub(crate) fn quote(self, text: &str) -> String {
        match self {
            Self::Integer { .. } | Self::Boolean => text.to_owned(),
            _ => format!("{text:?}"),
        }
    }

    /// What it takes, with an article.
    const fn article(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "a text",
            Self::Path => "a path",
            Self::Url => "a URL",
            Self::Integer { .. } => "a whole number",
            Self::Boolean => "true or false",
            Self::Duration { .. } => "a duration in words, as in \"3s\"",
            Self::Bytes { .. } => "a size in words, as in \"1MiB\"",
            Self::Listen => "host:port",
            Self::Host => "a host",
            Self::Roles => "a list of roles",
            Self::Voters => "a list of id=host:port",
            Self::Words => "a list of words",
            Self::OneOf(_) => "a word",
        }
    }
}

impl Raw {
    const fn article(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "a truth value",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

fn between(number: i64, least: i64, most: i64) -> Result<ValueKind, String> {
    if (least..=most).contains(&number) {
        return Ok(ValueKind::I64(number));
    }
    if most == i64::MAX {
        return Err(format!("must be at least {least}, not {number}"));
    }
    Err(format!("must be between {least} and {most}, not {number}"))
}

fn check_duration(text: &str, least: u64, most: u64) -> Result<(), String> {
    let millis = u64::try_from(parse_duration(text)?.as_millis()).unwrap_or(u64::MAX);
    if (least..=most).contains(&millis) {
        return Ok(());
    }
    Err(format!("must be between {least} ms and {most} ms, not {text:?}"))
}

fn check_bytes(text: &str, least: u64, most: u64) -> Result<(), String> {
    let bytes = parse_bytes(text)?;
    if (least..=most).contains(&bytes) {
        return Ok(());
    }
    Err(format!("must be between {least} B and {most} B, not {text:?}"))
}

fn check_url(text: &str) -> Result<(), String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "sqlite" | "postgres" | "postgresql" => Ok(()),
        _ => Err("must begin with sqlite: or postgres://".to_owned()),
    }
}

fn one_of(word: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&word) {
        return Ok(());
    }
    let hint = super::mistake::suggestion(word, words.iter().copied());
    Err(format!("has no choice {word:?}{hint}; there are {}", words.join(", ")))
}

fn join(items: &[Raw]) -> Result<String, String> {
    let texts: Result<Vec<&str>, String> = items
        .iter()
        .map(|item| match item {
            Raw::Text(text) => Ok(text.as_str()),
            other => Err(format!("must be an array of texts; one item is {}", other.article())),
        })
        .collect();
    texts.map(|texts| texts.join(","))
}

fn join_table(table: &BTreeMap<String, Raw>) -> Result<String, String> {
    let texts: Result<Vec<String>, String> = table
        .iter()
        .map(|(id, address)| match address {
            Raw::Text(address) => Ok(format!("{id}={address}")),
            other => Err(format!("must be a table of texts; {id} is {}", other.article())),
        })
        .collect();
    texts.map(|texts| texts.join(","))
}

/// Splits `host:port`; an IPv6 host stands in brackets.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn split_host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("must be host:port, not {text:?}");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains('/') || (host.contains(':') && !is_bracketed) {
        return Err(wrong());
    }
    let number = port.parse().map_err(|_| format!("has no port 0 to 65535: {text:?}"))?;
    Ok((host.to_owned(), number))
}

/// Reads `1=host:7411,2=host:7411`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn parse_voters(text: &str) -> Result<Vec<(u64, String)>, String> {
    let mut voters: Vec<(u64, String)> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (id, address) =
            item.split_once('=').ok_or_else(|| format!("must be id=host:port, not {item:?}"))?;
        let id =
            id.trim().parse().map_err(|_| format!("has no node id before the = of {item:?}"))?;
        split_host_port(address.trim())?;
        if voters.iter().any(|(known, _)| *known == id) {
            return Err(format!("names node {id} twice"));
        }
        voters.push((id, address.trim().to_owned()));
    }
    if voters.is_empty() {
        return Err("names no voter".to_owned());
    }
    Ok(voters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_wrong_kind_are_refused_with_what_is_wanted() {
        let duration = Kind::Duration { least: 10, most: 60_000 };
        for (kind, raw, part) in [
            (duration, Raw::Integer(3), "\"3ms\""),
            (duration, Raw::Text("2m".into()), "between 10 ms and 60000 ms"),
            (Kind::Integer { least: 1, most: 9 }, Raw::Integer(10), "between 1 and 9"),
            (Kind::Integer { least: 1, most: 9 }, Raw::Text("3".into()), "not the text"),
            (Kind::Boolean, Raw::Other("a date"), "true or false, not a date"),
            (Kind::Listen, Raw::Text("localhost".into()), "host:port"),
            (Kind::Listen, Raw::Text("::1:80".into()), "host:port"),
            (Kind::Listen, Raw::Text("h:99999".into()), "no port"),
            (Kind::Roles, Raw::Text("runer".into()), "did you mean runner?"),
            (Kind::Voters, Raw::Text("1=a:1,1=b:1".into()), "node 1 twice"),
            (Kind::Voters, Raw::List(vec![Raw::Integer(1)]), "array of texts"),
            (Kind::Url, Raw::Text("mysql://x".into()), "sqlite:"),
            (Kind::Secret, Raw::Text("short".into()), "32"),
            (Kind::Text, Raw::Text(" ".into()), "is empty"),
        ] {
            let message = kind.check(&raw).unwrap_err();
            assert!(message.contains(part), "{raw:?}: {message}");
        }
    }

    #[test]
    fn voters_may_be_a_text_an_array_or_a_table() {
        let wanted = ValueKind::String("1=a:1,2=[::1]:2".into());
        let text = |text: &str| Raw::Text(text.to_owned());
        let table = BTreeMap::from([("1".into(), text("a:1")), ("2".into(), text("[::1]:2"))]);
        for raw in [
            text("1=a:1,2=[::1]:2"),
            Raw::List(vec![text("1=a:1"), text("2=[::1]:2")]),
            Raw::Table(table),
        ] {
            assert_eq!(Kind::Voters.check(&raw), Ok(wanted.clone()));
        }
    }
}
