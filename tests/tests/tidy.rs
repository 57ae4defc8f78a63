//! Applies the repository's own rules to the repository.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use quarry_tests::tidy::{self, Policy, Source, Violation};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Result<Vec<Source>> {
    let sources = tidy::collect(&root())?;
    let seen = |path: &str| sources.iter().any(|source| source.path == path);
    ensure!(seen("tests/tests/tidy.rs") && seen("crates/types/src/lib.rs"), "the walk saw nothing");
    Ok(sources)
}

fn source(path: &str) -> Result<Source> {
    let text = fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
    Ok(Source::new(path, text))
}

/// Our own packages.
fn metadata() -> Result<Value> {
    cargo_metadata(&["--no-deps"], 10)
}

fn cargo_metadata(arguments: &[&str], least: usize) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(arguments)
        .current_dir(root())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata.get("packages").and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(packages > least, "cargo metadata names only {packages} packages");
    Ok(metadata)
}

fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn files_are_short() -> Result<()> {
    assert_none(&tidy::files_are_short(&sources()?));
    Ok(())
}

#[test]
fn functions_are_short() -> Result<()> {
    assert_none(&tidy::functions_are_short(&sources()?));
    Ok(())
}

#[test]
fn roots_only_declare() -> Result<()> {
    assert_none(&tidy::roots_only_declare(&sources()?));
    Ok(())
}

#[test]
fn nothing_is_left_over() -> Result<()> {
    assert_none(&tidy::no_leftovers(&sources()?));
    Ok(())
}

#[test]
fn bincode_stays_in_the_codec() -> Result<()> {
    assert_none(&tidy::bincode_stays_in_the_codec(&sources()?));
    assert_none(&tidy::only_ports_depends_on_bincode(&metadata()?));
    Ok(())
}

#[test]
fn dependencies_follow_the_arrows() -> Result<()> {
    assert_none(&tidy::dependencies_follow_the_arrows(&metadata()?));
    Ok(())
}

#[test]
fn top_level_names_are_known() -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    assert_none(&tidy::top_level_names_are_known(names.iter().map(String::as_str)));
    Ok(())
}

#[test]
fn readme_commands_exist() -> Result<()> {
    assert_none(&tidy::readme_commands_exist(&source("README.md")?, &source("Makefile")?));
    Ok(())
}

/// Of what this platform builds, which the build has fetched.
#[test]
fn packages_keep_to_the_policy() -> Result<()> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = cargo_metadata(&["--filter-platform", &platform], 100)?;
    let policy = Policy::parse(&source(".deny.toml")?.text)?;
    assert_none(&tidy::packages_keep_to_the_policy(&metadata, &policy));
    Ok(())
}
