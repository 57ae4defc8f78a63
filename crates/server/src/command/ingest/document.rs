//! Documents from directories, texts and JSON Lines files.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use quarry_extract::decode;
use quarry_types::in_words_of_json;
use serde::Deserialize;

use crate::{
    command::extract::read_text,
    failure::{Exit, Failure},
};

/// A document to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Names it among those of its source, and in the graph.
    pub(super) id: String,
    /// Its text.
    pub(super) text: String,
}

/// A line of a JSON Lines file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    text: String,
    #[serde(default)]
    document_id: Option<String>,
}

/// Where documents come from, in the order in which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file that is one document.
    Text { file: PathBuf, id: String },
    /// A file of documents.
    Lines { file: PathBuf, id: String },
}

/// The files that the arguments name, by name, and how many others stand among them.
pub(super) fn sources(arguments: &[PathBuf]) -> Result<(Vec<Source>, u64), Failure> {
    let (mut sources, mut passed_over) = (Vec::new(), 0);
    for path in arguments {
        let failed = |error: std::io::Error| {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let exit = if is_missing { Exit::NotFound } else { Exit::Failed };
            Failure::new(exit, format!("{}: {error}", path.display()))
        };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            walk(path, path, &mut sources, &mut passed_over).map_err(failed)?;
        } else {
            let id = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            sources.push(source(path.clone(), id).unwrap_or_else(|(file, id)| {
                // What is named is meant, whatever its ending.
                Source::Text { file, id }
            }));
        }
    }
    Ok((sources, passed_over))
}

/// All files below `directory`, named from `root` on; hidden ones are not looked at.
fn walk(
    root: &Path,
    directory: &Path,
    sources: &mut Vec<Source>,
    passed_over: &mut u64,
) -> std::io::Result<()> {
    let mut paths = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, sources, passed_over)?;
            continue;
        }
        let id = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        match source(path, id) {
            Ok(source) => sources.push(source),
            Err(_) => *passed_over += 1,
        }
    }
    Ok(())
}

fn source(file: PathBuf, id: String) -> Result<Source, (PathBuf, String)> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("jsonl" | "ndjson") => Ok(Source::Lines { file, id }),
        Some("txt" | "md" | "text") => Ok(Source::Text { file, id }),
        _ => Err((file, id)),
    }
}

impl Source {
    /// How many documents it holds.
    pub(super) fn count(&self) -> u64 {
        let Self::Lines { file, .. } = self else { return 1 };
        let Ok(file) = File::open(file) else { return 1 };
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        let full = lines.filter(|line| !line.trim_ascii().is_empty());
        u64::try_from(full.count()).unwrap_or(u64::MAX)
    }

    /// Its documents, read one by one.
    pub(super) fn documents(self) -> Box<dyn Iterator<Item = Result<Document, Failure>>> {
        match self {
            Self::Text { file, id } => Box::new(std::iter::once(text(&file, id))),
            Self::Lines { file, id } => match File::open(&file) {
                Ok(open) => Box::new(lines(open, id)),
                Err(error) => Box::new(std::iter::once(Err(named(&id, &error.into())))),
            },
        }
    }
}

fn named(id: &str, failure: &Failure) -> Failure {
    Failure { message: format!("{id}: {}", failure.message), ..failure.clone() }
}

fn text(file: &Path, id: String) -> Result<Document, Failure> {
    match read_text(file) {
        Ok(text) => Ok(Document { id, text }),
        Err(failure) => Err(named(&id, &failure)),
    }
}

fn lines(file: File, id: String) -> impl Iterator<Item = Result<Document, Failure>> {
    let lines = (1_u64..).zip(BufReader::new(file).split(b'\n'));
    lines.filter_map(move |(number, line)| {
        let place = format!("{id}:{number}");
        let line = match line {
            Ok(line) if line.trim_ascii().is_empty() => return None,
            Ok(line) => line,
            Err(error) => return Some(Err(named(&place, &error.into()))),
        };
        Some(document(&line, place))
    })
}

fn document(line: &[u8], place: String) -> Result<Document, Failure> {
    let wrong = |error: String| Failure::new(Exit::Usage, format!("{place}: {error}"));
    let text = decode(line).map_err(|error| wrong(error.to_string()))?;
    let Line { text, document_id } =
        serde_json::from_str(text).map_err(|error| wrong(in_words_of_json(&error.to_string())))?;
    Ok(Document { id: document_id.unwrap_or(place), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_texts_in_order_and_lines_give_a_document_each() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("b")).unwrap();
        for (name, content) in [
            ("b/two.md", "Two."),
            ("a.txt", "One."),
            ("picture.png", "x"),
            (".hidden.txt", "x"),
            (
                "z.jsonl",
                "{\"text\": \"Three.\"}\n\n{\"text\": \"Four.\", \"documentId\": \"4\"}\n{}\n",
            ),
        ] {
            std::fs::write(at(name), content).unwrap();
        }
        let (sources, passed_over) = sources(&[directory.path().to_owned()]).unwrap();
        assert_eq!(passed_over, 1);
        assert_eq!(sources.iter().map(Source::count).sum::<u64>(), 5);
        let read: Vec<_> = sources.into_iter().flat_map(Source::documents).collect();
        let ids: Vec<&str> = read.iter().flatten().map(|document| document.id.as_str()).collect();
        assert_eq!(ids, ["a.txt", "b/two.md", "z.jsonl:1", "4"]);
        let failure = read.last().unwrap().as_ref().unwrap_err();
        assert!(failure.message.starts_with("z.jsonl:4: missing field `text`"), "{failure}");
    }
}
