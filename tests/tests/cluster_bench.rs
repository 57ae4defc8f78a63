//! The bench of calls over the mesh: real nodes, real echoes, and nothing that stays behind.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use quarry_tests::{
    command::{Workbench, clean},
    process::binary,
    report::say,
    wait::until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

const NODES: usize = 3;
/// How long a short run, or the end of one, may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long the kernel may take to let go of what was ended.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Starts the bench; all that it keeps is under the directory of `place`.
fn bench(place: &Workbench, seconds: &str) -> Result<Child> {
    let mut command = clean(Command::new(binary()?));
    command.args(["bench", "volatile", "--nodes", "3", "--concurrency", "1,16"]);
    command.args(["--rounds", "1", "--keys", "60", "--seconds", seconds, "-o", "json"]);
    command.env("TMPDIR", place.path()).current_dir(place.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// How many processes were started by `parent` with `word` on their command line.
fn started_by(parent: u32, word: &str) -> usize {
    let parent = parent.to_string();
    let is_ours = |line: &[String]| {
        let named = line.windows(2).any(|pair| pair == ["--parent".to_owned(), parent.clone()]);
        (named || line.contains(&format!("--parent={parent}"))) && line.iter().any(|w| w == word)
    };
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let lines = processes.flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let words = lines.map(|line| {
        line.split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    });
    words.filter(|line: &Vec<String>| is_ours(line)).count()
}

/// Makes sure that nothing is left of the bench that was process `parent`.
async fn nothing_is_left(parent: u32, place: &Path) -> Result<()> {
    until("its processes are gone", GONE_WITHIN, async || {
        (started_by(parent, "serve") + started_by(parent, "echo") == 0).then_some(())
    })
    .await?;
    let left: Vec<_> = fs::read_dir(place)?.flatten().map(|entry| entry.path()).collect();
    ensure!(left.is_empty(), "it left {left:?}");
    Ok(())
}

fn number(value: &Value, path: &str) -> Result<f64> {
    value.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in {value:#}"))
}

/// Makes sure that a figure says what was measured, and that it was measured over the mesh.
fn check(figure: &Value) -> Result<()> {
    for side in ["calls", "echo"] {
        let of = |name: &str| number(figure, &format!("/{side}/{name}"));
        let [least, middle, most] =
            [of("per_second/min")?, of("per_second/median")?, of("per_second/max")?];
        ensure!(0.0 < least && least <= middle && middle <= most, "{side}: {figure:#}");
        ensure!(of("p50_ms")? <= of("p99_ms")? && of("p99_ms")? <= of("max_ms")?, "{figure:#}");
        ensure!(of("caller_cpu_us")? + of("answerer_cpu_us")? > 0.0, "{figure:#}");
        let errors = figure.pointer(&format!("/{side}/errors")).and_then(Value::as_u64);
        ensure!(errors == Some(0), "{side}: {figure:#}");
    }
    ensure!(number(figure, "/ratio/median")? > 0.0, "{figure:#}");
    for frames in ["requests", "replies"] {
        let of_each = number(figure, &format!("/crossed/{frames}"))?;
        ensure!((of_each - 1.0).abs() < 1e-9, "{frames}: {figure:#}");
    }
    let bytes = number(figure, "/crossed/bytes_sent")? + number(figure, "/crossed/bytes_received")?;
    ensure!(bytes > 100.0, "a call and its reply are not {bytes} bytes");
    Ok(())
}

#[tokio::test]
async fn every_call_of_the_bench_crosses_the_mesh_once_each_way() -> Result<()> {
    let place = Workbench::new()?;
    let bench = bench(&place, "1")?;
    let parent = bench.id().context("it ended at once")?;
    let ended = timeout(PATIENCE, bench.wait_with_output()).await.context("it does not end")??;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.success(), "{}: {said}", ended.status);
    let report: Value = serde_json::from_slice(&ended.stdout)?;
    ensure!(report.get("nodes").and_then(Value::as_u64) == Some(3), "{report:#}");
    ensure!(number(&report, "/conditions/cores")? >= 1.0, "{report:#}");
    let figures = report.get("results").and_then(Value::as_array).context("no results")?;
    let callers = figures.iter().map(|figure| figure.get("concurrency").and_then(Value::as_u64));
    ensure!(callers.eq([Some(1), Some(16)]), "{report:#}");
    figures.iter().try_for_each(check)?;
    for figure in figures {
        let rate = |side: &str| number(figure, &format!("/{side}/per_second/median"));
        say(format!("{:.0} calls/s beside {:.0} echoes/s", rate("calls")?, rate("echo")?));
    }
    nothing_is_left(parent, place.path()).await
}

#[tokio::test]
async fn a_bench_that_is_interrupted_leaves_nothing() -> Result<()> {
    let place = Workbench::new()?;
    let mut bench = bench(&place, "600")?;
    let parent = bench.id().context("it ended at once")?;
    until("it measures", PATIENCE, async || {
        (started_by(parent, "serve") == NODES && started_by(parent, "echo") == NODES).then_some(())
    })
    .await?;
    let pid = Pid::from_raw(i32::try_from(parent)?).context("no process")?;
    kill_process(pid, Signal::INT)?;
    let status = timeout(PATIENCE, bench.wait()).await.context("it does not end")??;
    let mut said = String::new();
    bench.stderr.take().context("no stderr")?.read_to_string(&mut said).await?;
    ensure!(status.code() == Some(1) && said.contains("signal"), "{status}: {said}");
    nothing_is_left(parent, place.path()).await
}
