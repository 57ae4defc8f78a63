//! `quarry sim`, and what no release can do.

use std::{env, process::Command};

use anyhow::{Context, Result, ensure};
use quarry_tests::command::{Ran, Workbench};
use serde_json::Value;
use tempfile::TempDir;

fn figures(ran: &Ran) -> Result<Value> {
    let mut figures: Value = serde_json::from_str(&ran.stdout).context("no JSON")?;
    // How fast it was is the machine's.
    let speed = figures.as_object_mut().and_then(|all| all.remove("speed"));
    ensure!(speed.is_some_and(|speed| speed.is_number()), "{}", ran.stdout);
    Ok(figures)
}

#[tokio::test]
async fn the_command_replays_a_seed_and_tells_what_happened() -> Result<()> {
    let bench = Workbench::new()?;
    let arguments = ["sim", "--seed", "7", "-v", "-o", "json"];
    let first = bench.quarry(&arguments).await?.ended_with(0)?;
    let second = bench.quarry(&arguments).await?.ended_with(0)?;
    ensure!(first.stderr.contains(" commit "), "no trace: {}", first.stderr);
    ensure!(first.stderr == second.stderr, "another trace of the same seed");
    ensure!(figures(&first)? == figures(&second)?, "other figures of the same seed");
    ensure!(figures(&first)?["runs"] == 1 && figures(&first)?["broken"] == serde_json::json!({}));
    Ok(())
}

#[tokio::test]
async fn the_command_simulates_as_many_nodes_for_as_long_as_it_is_told() -> Result<()> {
    let bench = Workbench::new()?;
    let arguments = ["sim", "--seed", "7", "--nodes", "2", "--minutes", "1", "-o", "json"];
    let ran = bench.quarry(&arguments).await?.ended_with(0)?;
    let lasted = figures(&ran)?["virtual_seconds"].as_f64().context("no time")?;
    ensure!(lasted >= 60.0, "it lasted {lasted} s");
    bench.quarry(&["sim", "--seed", "7", "--nodes", "0"]).await?.ended_with(2)?.said("--nodes")?;
    Ok(())
}

/// Compiles the file that plants bugs by itself, with debug assertions or without, as a release is.
fn compiled_with(debug_assertions: &str) -> Result<(bool, String)> {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let place = TempDir::new()?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/types/src/planted.rs");
    let ran = Command::new(compiler)
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata"])
        .args(["--cfg", "feature=\"planted-bugs\"", "-C"])
        .arg(format!("debug-assertions={debug_assertions}"))
        .arg("--out-dir")
        .arg(place.path())
        .arg(source)
        .output()?;
    Ok((ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned()))
}

#[test]
fn no_release_can_have_planted_bugs() -> Result<()> {
    let (is_compiled, told) = compiled_with("on")?;
    ensure!(is_compiled, "{told}");
    let (is_compiled, told) = compiled_with("off")?;
    ensure!(!is_compiled && told.contains("planted-bugs"), "{told}");
    Ok(())
}
