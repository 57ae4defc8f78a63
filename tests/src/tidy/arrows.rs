//! Which crate may use which. A change of this table is a change of the architecture.

use serde_json::Value;

use super::Violation;

/// Folder of each crate, and the folders of those that it may use.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("macros", &[]),
    ("core", &["types"]),
    ("ports", &["types"]),
    ("sim", &["types", "core", "ports"]),
    ("store", &["types", "ports"]),
    ("plane", &["types", "ports"]),
    ("consensus", &["types", "core", "ports", "plane"]),
    ("mesh", &["types", "ports", "plane"]),
    ("runtime", &["types", "core", "ports"]),
    ("limiter", &["types", "core", "ports", "runtime"]),
    ("cache", &["types", "core", "ports", "runtime"]),
    ("quarry", &["types", "macros", "ports", "runtime", "limiter", "cache", "sim"]),
    ("extract", &["types", "ports", "quarry"]),
    ("services", &["types", "ports", "quarry", "extract"]),
    ("scenario", &["types", "core", "ports", "sim", "plane", "consensus", "quarry", "services"]),
    ("gateway", &["types", "core", "ports", "quarry", "extract", "services"]),
    ("client", &["types", "ports"]),
    ("server", ABOVE_THE_BINARY),
    ("tests", ABOVE_THE_BINARY),
];

/// All that the binary wires.
const ABOVE_THE_BINARY: &[&str] = &[
    "types",
    "core",
    "ports",
    "sim",
    "store",
    "plane",
    "consensus",
    "mesh",
    "runtime",
    "limiter",
    "cache",
    "quarry",
    "extract",
    "services",
    "scenario",
    "gateway",
    "client",
];

/// Every dependency between our crates is in the table; dev-dependencies may also be `sim`.
/// `metadata` is the answer of `cargo metadata --no-deps`.
pub fn dependencies_follow_the_arrows(metadata: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    for (package, dependencies) in packages(metadata) {
        let Some(from) = folder(package) else {
            found.push(violation(package, "is not named after the project"));
            continue;
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            found.push(violation(package, "has no row in the table of arrows"));
            continue;
        };
        for dependency in dependencies {
            let Some(to) = name_of(dependency).and_then(folder) else { continue };
            let for_tests_of_adapters = to == "sim" && dependency["kind"] == "dev";
            if !for_tests_of_adapters && !allowed.contains(&to) {
                found.push(violation(package, &format!("may not use {to}")));
            }
        }
    }
    found
}

/// Nobody but the ports, whose codec module holds it, depends on bincode.
pub fn only_ports_depends_on_bincode(metadata: &Value) -> Vec<Violation> {
    packages(metadata)
        .filter(|(package, _)| *package != "quarry-ports")
        .filter(|(_, dependencies)| {
            dependencies.iter().any(|dependency| name_of(dependency) == Some("bincode"))
        })
        .map(|(package, _)| violation(package, "depends on bincode"))
        .collect()
}

fn packages(metadata: &Value) -> impl Iterator<Item = (&str, &[Value])> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages.iter().filter_map(|package| {
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        Some((name_of(package)?, dependencies))
    })
}

fn name_of(package: &Value) -> Option<&str> {
    package["name"].as_str()
}

/// The folder of one of our packages.
fn folder(package: &str) -> Option<&str> {
    if package == "quarry" { Some(package) } else { package.strip_prefix("quarry-") }
}

fn violation(package: &str, reason: &str) -> Violation {
    Violation { place: package.to_owned(), line: 0, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(package: &str, dependency: &str, kind: Option<&str>) -> Value {
        json!({"packages": [{
            "name": package,
            "dependencies": [{"name": "serde", "kind": null}, {"name": dependency, "kind": kind}],
        }]})
    }

    #[test]
    fn an_arrow_against_the_table_is_found() {
        for (package, dependency, kind) in [
            ("quarry-store", "quarry-mesh", None),
            ("quarry-core", "quarry-ports", None),
            ("quarry-types", "quarry", None),
            ("quarry-store", "quarry-sim", None),
            ("quarry-store", "quarry-core", Some("dev")),
            ("quarry-mesh", "quarry-runtime", Some("build")),
            ("quarry-server", "quarry-tests", Some("dev")),
        ] {
            let found = dependencies_follow_the_arrows(&metadata(package, dependency, kind));
            assert_eq!(found.len(), 1, "{package} -> {dependency}");
        }
    }

    #[test]
    fn arrows_of_the_table_pass() {
        for (package, dependency, kind) in [
            ("quarry-store", "quarry-ports", None),
            ("quarry-store", "quarry-sim", Some("dev")),
            ("quarry-extract", "quarry", None),
            ("quarry-server", "quarry-gateway", None),
        ] {
            let found = dependencies_follow_the_arrows(&metadata(package, dependency, kind));
            assert_eq!(found, [], "{package} -> {dependency}");
        }
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(dependencies_follow_the_arrows(&metadata("quarry-new", "serde", None)).len(), 1);
        assert_eq!(dependencies_follow_the_arrows(&metadata("other", "serde", None)).len(), 1);
    }

    #[test]
    fn a_row_names_only_rows_above_it() {
        for (index, (_, allowed)) in ARROWS.iter().enumerate() {
            for name in *allowed {
                assert!(ARROWS[..index].iter().any(|(above, _)| above == name), "{name}");
            }
        }
    }

    #[test]
    fn bincode_beside_the_ports_is_found() {
        let beside = metadata("quarry-mesh", "bincode", None);
        assert_eq!(only_ports_depends_on_bincode(&beside).len(), 1);
        assert_eq!(only_ports_depends_on_bincode(&metadata("quarry-ports", "bincode", None)), []);
    }
}
