//! Faults between a process and its C library.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Flushes answer with an error of the device.
    Flush,
    /// Writes answer that the file system is read-only.
    Write,
    /// Flushes take half a second.
    Slow,
    /// The wall clock is off by so many seconds.
    Clock(i64),
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Write => "write",
            Self::Slow => "slow",
            Self::Clock(_) => "clock",
        }
    }
}

/// A library that is put before the C library of a process, and what it does there.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    files: PathBuf,
    control: TempDir,
}

impl Shim {
    /// Compiles the library. Disk faults concern the files whose paths begin with `files`.
    pub fn build(files: &Path) -> Result<Self> {
        let control = tempfile::Builder::new().prefix("quarry-shim.").tempdir()?;
        let library = control.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/shim.c");
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([library.as_os_str(), source.as_os_str()])
            .arg("-ldl")
            .output()
            .with_context(|| compiler.clone())?;
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        ensure!(built.status.success(), "{compiler} {}: {said}", source.display());
        Ok(Self { library, files: files.to_owned(), control })
    }

    /// The environment of a process that has it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD", text(&self.library)),
            ("QUARRY_SHIM_FILES", text(&self.files)),
            ("QUARRY_SHIM_CONTROL", text(self.control.path())),
        ]
    }

    /// From now on this goes wrong.
    pub fn begin(&self, fault: Fault) -> Result<()> {
        let seconds = if let Fault::Clock(seconds) = fault { seconds } else { 0 };
        // Renamed, so that nobody reads half of it.
        let draft = self.control.path().join("draft");
        fs::write(&draft, seconds.to_string())?;
        Ok(fs::rename(draft, self.control.path().join(fault.name()))?)
    }

    /// It is well again.
    pub fn end(&self, fault: Fault) -> Result<()> {
        Ok(fs::remove_file(self.control.path().join(fault.name()))?)
    }
}
