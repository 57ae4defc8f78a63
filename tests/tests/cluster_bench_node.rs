//! The benches of one node, in short: they say what they measured, and leave nothing behind.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    command::{Workbench, clean},
    process::binary,
    report::say,
};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

/// How long a short run may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// Runs a bench; what it reports.
async fn bench(line: &str) -> Result<Value> {
    let place = Workbench::new()?;
    let mut command = clean(Command::new(binary()?));
    command.arg("bench").args(line.split_whitespace()).args(["--rounds", "1", "-o", "json"]);
    command.env("TMPDIR", place.path()).current_dir(place.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = timeout(PATIENCE, command.output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{line}: {}: {said}", ended.status);
    let left: Vec<_> = fs::read_dir(place.path())?.flatten().map(|entry| entry.path()).collect();
    ensure!(left.is_empty(), "{line}: it left {left:?}");
    let report: Value = serde_json::from_slice(&ended.stdout)?;
    ensure!(number(&report, "/conditions/cores")? >= 1.0, "{report:#}");
    ensure!(number(&report, "/conditions/fdatasync_p50_us")? > 0.0, "{report:#}");
    Ok(report)
}

fn number(value: &Value, path: &str) -> Result<f64> {
    value.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in {value:#}"))
}

/// The middle of a spread, which is one.
fn middle(value: &Value, path: &str) -> Result<f64> {
    let of = |name: &str| number(value, &format!("{path}/{name}"));
    let (least, middle, most) = (of("min")?, of("median")?, of("max")?);
    ensure!(least <= middle && middle <= most, "{path}: {value:#}");
    Ok(middle)
}

/// The figures of a report; there are to be so many.
fn figures(report: &Value, many: usize) -> Result<&[Value]> {
    let figures = report.get("results").and_then(Value::as_array).context("no results")?;
    ensure!(figures.len() == many, "{} figures: {report:#}", figures.len());
    Ok(figures)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {value:#}"))
}

#[tokio::test]
async fn durable_calls_tell_the_flushes_of_the_disk_or_why_not() -> Result<()> {
    let report = bench("durable --concurrency 1 --seconds 1 --keys 10").await?;
    let counted_by = report.pointer("/conditions/syncs").and_then(Value::as_str);
    let counted_by = counted_by.context("nobody counts the flushes")?;
    for figure in figures(&report, 2)? {
        let syncs = figure.get("syncs_per_message").and_then(Value::as_f64);
        if counted_by.starts_with("not available: ") {
            ensure!(syncs.is_none(), "{counted_by}, and yet {figure:#}");
        } else {
            // Every call is a commit, and every commit a flush; flushes that others ask for count too.
            ensure!(syncs.is_some_and(|syncs| syncs > 0.0), "{counted_by}: {figure:#}");
        }
        ensure!(middle(figure, "/per_second")? > 0.0, "{figure:#}");
    }
    say(format!("flushes: {counted_by}"));
    Ok(())
}

#[tokio::test]
async fn sends_are_measured_beside_one_way_calls() -> Result<()> {
    let report = bench("sends --sends 1,5 --concurrency 4 --seconds 1 --keys 20").await?;
    for (figure, sends) in figures(&report, 2)?.iter().zip([1.0, 5.0]) {
        ensure!(number(figure, "/sends")?.total_cmp(&sends).is_eq(), "{figure:#}");
        for spread in ["per_second", "one_way_per_second", "ratio"] {
            ensure!(middle(figure, &format!("/{spread}"))? > 0.0, "{spread}: {figure:#}");
        }
        for cost in ["commits_per_send", "commits_per_one_way", "p50_ms"] {
            ensure!(number(figure, &format!("/{cost}"))? > 0.0, "{cost}: {figure:#}");
        }
        ensure!(number(figure, "/p50_ms")? <= number(figure, "/p99_ms")?, "{figure:#}");
        ensure!(number(figure, "/errors")?.total_cmp(&0.0).is_eq(), "{figure:#}");
        let rate = |name: &str| middle(figure, &format!("/{name}"));
        let (sends, calls) = (rate("per_second")?, rate("one_way_per_second")?);
        say(format!("{sends:.0} sends/s beside {calls:.0} one-way calls/s"));
    }
    Ok(())
}

#[tokio::test]
async fn every_reader_of_a_stream_has_every_chunk() -> Result<()> {
    let report = bench("chunks --readers 3 --chunks 300").await?;
    for (figure, surface) in figures(&report, 2)?.iter().zip(["in process", "http"]) {
        ensure!(text(figure, "surface")? == surface, "{figure:#}");
        ensure!(middle(figure, "/first_ms")? > 0.0, "{figure:#}");
        // The message and its outcome are commits too, where they go by themselves.
        let together = number(figure, "/chunks_per_commit")?;
        ensure!(together > 0.9 && together <= 300.0, "{figure:#}");
        let per_second = middle(figure, "/per_second")?;
        ensure!(per_second > 0.0, "{figure:#}");
        say(format!("{surface}: {per_second:.0} chunks/s, {together:.1} in a commit"));
    }
    Ok(())
}

#[tokio::test]
async fn entities_in_memory_cost_what_they_keep() -> Result<()> {
    const BYTES: f64 = 50_000.0;
    let report = bench("memory --entities 200 --payload 50000 --idle-after 6s").await?;
    for figure in figures(&report, 1)? {
        let resident = middle(figure, "/resident_bytes")?;
        let task = middle(figure, "/task_bytes")?;
        for each in [resident, task] {
            ensure!(each > BYTES / 2.0, "less than half of what it keeps: {figure:#}");
        }
        ensure!(middle(figure, "/ratio")? > 0.0, "{figure:#}");
        let dormant = middle(figure, "/dormant_bytes")?;
        ensure!(dormant < resident, "what is dormant costs as much: {figure:#}");
        ensure!(middle(figure, "/idle_mib")? > 1.0, "{figure:#}");
        say(format!("{resident:.0} bytes resident, {task:.0} as a task, {dormant:.0} dormant"));
    }
    Ok(())
}

#[tokio::test]
async fn activations_are_measured_cold_and_warm() -> Result<()> {
    let report = bench("activation --payloads 100 --concurrency 4 --entities 60").await?;
    ensure!(number(&report, "/baselines/0/per_second")? > 0.0, "{report:#}");
    for (figure, surface) in figures(&report, 2)?.iter().zip(["cold, 100 bytes", "warm, 100 bytes"])
    {
        ensure!(text(figure, "surface")? == surface, "{figure:#}");
        ensure!(number(figure, "/errors")?.total_cmp(&0.0).is_eq(), "{figure:#}");
        ensure!(number(figure, "/ratio")? > 0.0, "{figure:#}");
        let (rate, p50) = (middle(figure, "/per_second")?, number(figure, "/p50_ms")?);
        ensure!(rate > 0.0 && p50 <= number(figure, "/p99_ms")?, "{figure:#}");
        say(format!("{surface}: {rate:.0} activations/s, p50 {p50:.2} ms"));
    }
    Ok(())
}
