//! Does what the README shows, and compares what is seen.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    command::{DevNode, Workbench, binary_directory, clean, finish},
    database::Database,
    process::{PortBlock, binary},
    transcript::{Block, console_blocks},
};
use tokio::process::Command;

/// The ports of the README's cluster.
const PORTS: [&str; 9] = ["7420", "7421", "7422", "7423", "7424", "7425", "7426", "7427", "7428"];
const API: &str = "http://127.0.0.1:7410";
const STORE: &str = "postgres://quarry@db.example.org/quarry";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn blocks() -> Result<Vec<Block>> {
    Ok(console_blocks(&fs::read_to_string(root().join("README.md"))?))
}

/// The block in which `command` is typed first.
fn block(command: &str) -> Result<Block> {
    let mut blocks = blocks()?.into_iter();
    let found = blocks.find(|block| block.commands.first().is_some_and(|c| c.starts_with(command)));
    found.with_context(|| format!("no block of the README begins with {command:?}"))
}

/// A shell that finds the binary, and in which it prints what people see on a terminal.
fn shell(script: &str, directory: &Path) -> Result<Command> {
    let prologue = "set -euo pipefail\n\
        trap 'pids=$(jobs -p); [ -z \"$pids\" ] || kill -9 $pids' EXIT\n\
        quarry() { case $1 in serve) exec quarry \"$@\";; \
        *) command quarry -o table \"$@\";; esac; }\n";
    let mut command = clean(Command::new("bash"));
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = [binary_directory()?].into_iter().chain(env::split_paths(&path));
    command.arg("-c").arg(format!("{prologue}{script}")).current_dir(directory);
    command.env("PATH", env::join_paths(directories)?);
    Ok(command)
}

async fn assert_shown(
    block: &Block,
    command: Command,
    readable: impl Fn(&str) -> String,
) -> Result<()> {
    let ran = finish(command).await?;
    let seen = readable(&ran.stdout);
    ensure!(ran.code == Some(0), "it ended with {:?}:\n{seen}\n{}", ran.code, ran.stderr);
    match block.missing_from(&seen) {
        None => Ok(()),
        Some(missing) => anyhow::bail!("the README shows\n{missing}\nand these were seen:\n{seen}"),
    }
}

#[tokio::test]
async fn the_demo_prints_what_the_readme_shows() -> Result<()> {
    let block = block("make demo")?;
    let mut command = clean(Command::new("make"));
    command.args(["--no-print-directory", "demo"]).current_dir(root()).env("QUARRY_BIN", binary()?);
    assert_shown(&block, command, |seen| format!("$ make demo\n{seen}")).await
}

#[test]
fn the_suites_of_the_readme_are_those_of_make_test() -> Result<()> {
    let makefile = fs::read_to_string(root().join("Makefile"))?;
    let suites = makefile.split_once("run-suites.sh unit ").context("no suites")?.1;
    let suites = suites.lines().next().unwrap_or_default();
    let block = block("make test")?;
    let shown: Vec<&str> = block
        .lines
        .iter()
        .filter_map(|line| line.strip_suffix("  ok")?.split(' ').next())
        .collect();
    let wanted: Vec<&str> = ["build", "unit"].into_iter().chain(suites.split(' ')).collect();
    assert_eq!(shown, wanted);
    let gate = fs::read_to_string(root().join(".ci/run"))?;
    assert!(gate.contains("make test") && gate.contains("make demo"), "{gate}");
    Ok(())
}

/// A node as `quarry dev` starts it, with another port.
async fn dev(bench: &Workbench) -> Result<DevNode> {
    let block = block("quarry dev")?;
    let dev = bench.dev().await?;
    ensure!(block.commands == ["quarry dev"], "{block:?}");
    Ok(dev)
}

#[tokio::test]
async fn a_newcomer_sees_what_the_readme_shows() -> Result<()> {
    let bench = Workbench::new()?;
    let dev = dev(&bench).await?;
    let block = block("quarry extract")?;
    let mut command = shell(&block.script().replace(API, &dev.url), &root())?;
    command.env("QUARRY_URL", &dev.url);
    assert_shown(&block, command, |seen| seen.replace(&dev.url, API)).await
}

#[tokio::test]
async fn an_ontology_of_ones_own_is_used_as_the_readme_shows() -> Result<()> {
    let bench = Workbench::new()?;
    let dev = dev(&bench).await?;
    let block = block("quarry ontology put")?;
    let mut command = shell(&block.script(), &root())?;
    command.env("QUARRY_URL", &dev.url);
    assert_shown(&block, command, str::to_owned).await
}

/// Starts `quarry dev` as it is typed, but on a free port, reads what it says, and ends it.
#[tokio::test]
async fn a_development_node_says_what_the_readme_shows() -> Result<()> {
    let block = block("quarry dev")?;
    let bench = Workbench::new()?;
    let script = "echo '$ quarry dev'\nquarry=$(type -P quarry)\n$quarry dev --port 0 >said &\n\
        until grep -q Try: said; do read -rt 0.05 <> <(:) || true; done\n\
        sed 's/ --url .*//' said\nkill %1\nwait %1\n";
    assert_shown(&block, shell(script, bench.path())?, str::to_owned).await
}

#[tokio::test]
async fn three_nodes_on_postgres_do_what_the_readme_shows() -> Result<()> {
    let block = block("export QUARRY_CLUSTER__COOKIE")?;
    let (bench, ports, database) =
        (Workbench::new()?, PortBlock::claim()?, Database::create().await?);
    let mut script = block.script();
    let mut moved = Vec::new();
    for (index, port) in (0..).zip(PORTS) {
        let (old, new) = (format!("127.0.0.1:{port}"), ports.address(index)?);
        ensure!(script.contains(&old), "the README has no {old}");
        script = script.replace(&old, &new);
        moved.push((new, old));
    }
    ensure!(script.contains(STORE), "the README has no {STORE}");
    let script = script.replace(STORE, database.url());
    let readable = |seen: &str| {
        let seen = seen.replace(database.url(), STORE);
        moved.iter().fold(seen, |seen, (new, old)| seen.replace(new, old))
    };
    let script = format!("{script}wait\n");
    assert_shown(&block, shell(&script, bench.path())?, readable).await?;
    database.remove().await
}

/// No command of the README is left out by the tests above.
#[test]
fn every_block_of_the_readme_is_executed() -> Result<()> {
    let first: Vec<String> =
        blocks()?.into_iter().filter_map(|block| block.commands.into_iter().next()).collect();
    let known = [
        "make demo",
        "make test",
        "quarry dev",
        "quarry extract",
        "quarry ontology put",
        "export QUARRY_CLUSTER",
    ];
    assert_eq!(first.len(), known.len(), "{first:?}");
    for (command, known) in first.iter().zip(known) {
        assert!(command.starts_with(known), "{command}: {known}");
    }
    Ok(())
}
