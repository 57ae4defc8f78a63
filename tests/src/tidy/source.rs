//! What the rules read and what they answer.

use std::{fmt, fs, io, path::Path};

/// One text file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path from the repository's root, with `/` between its parts.
    pub path: String,
    /// The whole content.
    pub text: String,
}

impl Source {
    /// A source of the given path and content.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the file, or name of the crate.
    pub place: String,
    /// Line, from 1; 0 where no line is to blame.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Violation {
    /// A violation in `source` at `line`.
    pub fn at(source: &Source, line: usize, reason: impl Into<String>) -> Self {
        Self { place: source.path.clone(), line, reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.place, self.line, self.reason)
    }
}

/// Reads every text file under `root`, sorted by path; build output, version control, data of
/// development nodes and samples are left out.
pub fn collect(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    collect_into(root, "", &mut sources)?;
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

fn collect_into(directory: &Path, prefix: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if matches!(path.as_str(), "target" | ".git" | ".quarry" | "tests/samples" | "Cargo.lock") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect_into(&entry.path(), &format!("{path}/"), sources)?;
        } else if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_output_and_binary_files_are_left_out() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        fs::create_dir_all(root.path().join("target/debug"))?;
        fs::create_dir_all(root.path().join("crates/a/src"))?;
        fs::write(root.path().join("target/debug/x.rs"), "fn built() {}")?;
        fs::write(root.path().join("crates/a/src/a.rs"), "fn kept() {}")?;
        fs::write(root.path().join("crates/a/picture"), [0xff, 0xfe, 0x00])?;
        let sources = collect(root.path())?;
        assert_eq!(sources, [Source::new("crates/a/src/a.rs", "fn kept() {}")]);
        Ok(())
    }

    #[test]
    fn a_violation_names_its_place() {
        let source = Source::new("a.rs", "");
        assert_eq!(Violation::at(&source, 3, "too long").to_string(), "a.rs:3: too long");
    }
}
