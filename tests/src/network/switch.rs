//! Bad weather between a host and the others: frames are delayed, lost, doubled, overtaken, damaged.

use std::{
    env, fmt,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What becomes of the frames that a host and the others send to one another, in both directions.
/// Figures are milliseconds, or of a thousand frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weather {
    /// How late each of them is.
    pub delay: u16,
    /// How much later it may be.
    pub jitter: u16,
    /// How many never come.
    pub loss: u16,
    /// How many come twice.
    pub double: u16,
    /// How many come behind others that were sent 40 ms later.
    pub overtake: u16,
    /// How many come with one bit of what TCP carries turned, unnoticed by TCP.
    pub damage: u16,
}

impl Weather {
    /// All is well.
    pub const FAIR: Self = Self { delay: 0, jitter: 0, loss: 0, double: 0, overtake: 0, damage: 0 };
}

impl fmt::Display for Weather {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay, jitter, loss, double, overtake, damage } = self;
        let all = [
            (*delay > 0 || *jitter > 0, format!("{delay} to {} ms late", delay + jitter)),
            (*loss > 0, format!("{loss} ‰ lost")),
            (*double > 0, format!("{double} ‰ doubled")),
            (*overtake > 0, format!("{overtake} ‰ overtaken")),
            (*damage > 0, format!("{damage} ‰ damaged")),
        ];
        let said: Vec<String> =
            all.into_iter().filter(|(is, _)| *is).map(|(_, said)| said).collect();
        out.write_str(&said.join(", "))
    }
}

/// The program that passes frames on.
#[derive(Debug)]
pub struct Switch {
    program: PathBuf,
    _directory: TempDir,
}

impl Switch {
    /// Compiles it.
    pub fn build() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("quarry-switch.").tempdir()?;
        let program = directory.path().join("switch");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/network/switch.c");
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(&compiler)
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([program.as_os_str(), source.as_os_str()])
            .output()
            .with_context(|| compiler.clone())?;
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        ensure!(built.status.success(), "{compiler} {}: {said}", source.display());
        Ok(Self { program, _directory: directory })
    }

    /// Begins to pass frames on between the devices `inside` and `outside`; of hosts are those whose
    /// addresses end with 1 to `hosts`.
    pub(super) fn start(
        &self,
        (inside, outside): (&str, &str),
        hosts: u16,
        weather: Weather,
        seed: u64,
    ) -> Result<Passing> {
        let Weather { delay, jitter, loss, double, overtake, damage } = weather;
        let figures = [delay, jitter, loss, double, overtake, damage];
        let mut process = Command::new(&self.program)
            .args([inside, outside, &hosts.to_string(), &seed.to_string()])
            .args(figures.map(|figure| figure.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let output = process.stdout.take().context("no output")?;
        let passing = Passing(process);
        BufReader::new(output).read_line(&mut said)?;
        ensure!(said == "ready\n", "the switch does not listen on {inside} and {outside}");
        Ok(passing)
    }
}

/// A switch that works; it ends with this value.
#[derive(Debug)]
pub(super) struct Passing(Child);

impl Drop for Passing {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
