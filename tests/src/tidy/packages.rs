//! Whose code we build on: every package of the tree is under a licence that `.deny.toml` allows,
//! comes from where it says, and is none that it bans.
//!
//! cargo-deny checks the same and more where it is installed; this needs nothing but cargo.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::Violation;

/// What is read of `.deny.toml`.
#[derive(Debug, Deserialize)]
pub struct Policy {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Who alone may depend on it; nobody, where it is empty.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

impl Policy {
    /// Reads `.deny.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context(".deny.toml")
    }
}

/// Every package of the tree keeps to the policy, and every licence that is allowed is needed.
/// `metadata` is the answer of `cargo metadata` with all dependencies.
pub fn packages_keep_to_the_policy(metadata: &Value, policy: &Policy) -> Vec<Violation> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let used = used(packages, metadata);
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let mut report = |reason: String| {
            let place = format!("{name} {}", package["version"].as_str().unwrap_or_default());
            found.push(Violation { place, line: 0, reason });
        };
        match package["license"].as_str() {
            Some(licence) if is_allowed(licence, &policy.licenses.allow) => {}
            Some(licence) => report(format!("is under {licence}, which is not allowed")),
            None => report("names no licence".to_owned()),
        }
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+");
            if !policy.sources.allow_registry.iter().any(|known| Some(known.as_str()) == registry) {
                report(format!("comes from {source}"));
            }
        }
        for ban in &policy.bans.deny {
            let is_user = used.get(&package["id"]).is_some_and(|names| names.contains(&ban.name));
            if ban.wrappers.is_empty() && name == ban.name {
                report("is banned".to_owned());
            } else if is_user && !ban.wrappers.is_empty() && !ban.wrappers.iter().any(|w| w == name)
            {
                report(format!("uses {}", ban.name));
            }
        }
    }
    found.extend(unneeded(packages, policy));
    found
}

/// What each package uses in this tree, by name: what it would need for features or tests that are
/// not built here is not among it.
fn used<'a>(packages: &'a [Value], metadata: &'a Value) -> HashMap<&'a Value, BTreeSet<String>> {
    let names: HashMap<&Value, &str> = packages
        .iter()
        .filter_map(|package| Some((&package["id"], package["name"].as_str()?)))
        .collect();
    let nodes = metadata.pointer("/resolve/nodes").and_then(Value::as_array);
    let nodes = nodes.map_or(&[][..], Vec::as_slice);
    let used = |node: &Value| {
        let dependencies = node["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        let names = dependencies.iter().filter_map(|id| names.get(id));
        names.map(|name| (*name).to_owned()).collect()
    };
    nodes.iter().map(|node| (&node["id"], used(node))).collect()
}

/// Licences that are allowed and that no package needs.
fn unneeded(packages: &[Value], policy: &Policy) -> Vec<Violation> {
    let licences: Vec<&str> =
        packages.iter().filter_map(|package| package["license"].as_str()).collect();
    let is_needed = |licence: &&String| {
        let mut others = policy.licenses.allow.clone();
        others.remove(*licence);
        licences.iter().any(|expression| !is_allowed(expression, &others))
    };
    let unneeded = policy.licenses.allow.iter().filter(|licence| !is_needed(licence));
    unneeded
        .map(|licence| Violation {
            place: ".deny.toml".to_owned(),
            line: 0,
            reason: format!("allows {licence}, which nothing needs"),
        })
        .collect()
}

/// Whether an SPDX expression (version 2.3, annex D) can be kept to with the `allowed` licences. A
/// slash stands for OR, as in old manifests; what it cannot be read is not allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let is_kept = either(&mut words, allowed);
    is_kept == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut is_kept = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        is_kept |= both(words, allowed)?;
    }
    Some(is_kept)
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut is_kept = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        is_kept &= one(words, allowed)?;
    }
    Some(is_kept)
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let is_kept = either(words, allowed)?;
            words.next_if_eq(&")").map(|_| is_kept)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        licence => {
            let licence = match words.next_if_eq(&"WITH") {
                Some(_) => format!("{licence} WITH {}", words.next()?),
                None => licence.to_owned(),
            };
            Some(allowed.contains(&licence))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Zlib"]
        [bans]
        deny = [{ crate = "openssl" }, { crate = "bincode", wrappers = ["quarry-ports"] }]
        [sources]
        allow-registry = ["https://crates.example/index"]
    "#;

    fn found(packages: &Value) -> Vec<String> {
        let policy = Policy::parse(POLICY).unwrap();
        // The id of a package is its name.
        let (mut packages, mut nodes) = (packages.clone(), Vec::new());
        for package in packages.as_array_mut().unwrap() {
            package["id"] = package["name"].clone();
            let dependencies = package["uses"].take();
            nodes.push(json!({ "id": package["id"], "dependencies": dependencies }));
        }
        let metadata = json!({ "packages": packages, "resolve": { "nodes": nodes } });
        let found = packages_keep_to_the_policy(&metadata, &policy);
        found
            .into_iter()
            .map(|violation| format!("{}: {}", violation.place, violation.reason))
            .collect()
    }

    #[test]
    fn expressions_are_weighed() {
        let allowed = BTreeSet::from(["MIT".to_owned(), "A WITH x".to_owned()]);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT AND (GPL-3.0 OR MIT)", true),
            ("(MIT OR GPL-3.0) AND Zlib", false),
            ("A WITH x", true),
            ("A", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn what_breaks_the_policy_is_named() {
        let good = json!({ "name": "a", "version": "1", "license": "Zlib AND MIT",
            "source": "registry+https://crates.example/index",
            "uses": ["serde"] });
        assert_eq!(found(&json!([good])), Vec::<String>::new());
        let packages = json!([
            good,
            { "name": "b", "version": "2", "license": "GPL-3.0", "source": null },
            { "name": "c", "version": "3", "license": null, "source": "git+https://x.example/c" },
            { "name": "openssl", "version": "4", "license": "MIT" },
            { "name": "bincode", "version": "2", "license": "MIT" },
            { "name": "quarry-ports", "version": "5", "license": "MIT",
              "uses": ["bincode"] },
            { "name": "d", "version": "6", "license": "MIT",
              "uses": ["bincode"] },
        ]);
        assert_eq!(
            found(&packages),
            [
                "b 2: is under GPL-3.0, which is not allowed",
                "c 3: names no licence",
                "c 3: comes from git+https://x.example/c",
                "openssl 4: is banned",
                "d 6: uses bincode",
            ]
        );
        let none_needs_zlib = json!([{ "name": "a", "version": "1", "license": "MIT" }]);
        assert_eq!(found(&none_needs_zlib), [".deny.toml: allows Zlib, which nothing needs"]);
    }
}
