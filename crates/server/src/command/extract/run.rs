//! Reads the files one after the other.

use std::{io::Read, path::Path};

use indicatif::{ProgressBar, ProgressStyle};
use quarry_extract::graph::Graph;

use super::{extractor::Extractor, print::print_tables};
use crate::{
    cli::{ExtractArguments, Format, Global, GraphFormat},
    failure::{Exit, Failure},
    output::Output,
};

/// Runs the command. What was read is printed, even where another file fails.
pub(crate) async fn run(
    arguments: &ExtractArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let extractor = Extractor::choose(global, &arguments.ontology).await?;
    let output = match arguments.format {
        Some(GraphFormat::Table) => output.with_format(Format::Table),
        Some(GraphFormat::Json) => output.with_format(Format::Json),
        None => output,
    };
    let bar = progress(arguments.files.len());
    let mut read: Vec<(String, Graph)> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for file in &arguments.files {
        let graph = async {
            let text = read_text(file)?;
            let graph = extractor.extract(&text).await?;
            Ok::<_, Failure>((text, graph))
        };
        match graph.await {
            Ok(graph) => read.push(graph),
            Err(failure) => failures.push(Failure {
                message: format!("{}: {}", file.display(), failure.message),
                ..failure
            }),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&read, output)?;
    report(failures, read.is_empty(), output)
}

fn print(read: &[(String, Graph)], output: Output) -> Result<(), Failure> {
    if output.format() == Format::Table {
        return read.iter().try_for_each(|(text, graph)| print_tables(graph, text, output));
    }
    match read {
        [] => Ok(()),
        [(_, graph)] => output.record(&[], graph),
        _ => output.list(&[], &read.iter().map(|(_, graph)| graph).collect::<Vec<_>>(), |_| vec![]),
    }
}

/// One failure stands for itself; of several, each is said, and the last line counts them.
fn report(mut failures: Vec<Failure>, none_read: bool, output: Output) -> Result<(), Failure> {
    let count = failures.len();
    match failures.pop() {
        None => Ok(()),
        Some(failure) if count == 1 && none_read => Err(failure),
        Some(last) => {
            for failure in failures.iter().chain([&last]) {
                output.say_failure(failure);
            }
            let exit = if none_read { last.exit } else { Exit::Partly };
            Err(Failure::new(exit, format!("{count} of the files were not read")))
        }
    }
}

fn read_text(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let exit = if is_missing { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, error.to_string())
    })
}

/// Shown for many files only.
fn progress(files: usize) -> ProgressBar {
    if files < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(files).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} texts") {
        bar.set_style(style);
    }
    bar
}
