//! Reads the files one after the other.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use quarry_extract::{
    event::Event,
    graph::{Graph, ntriples, turtle},
};

use super::{
    extractor::Extractor,
    print::{EventPrinter, print_tables},
    source::read_text,
};
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
    let bar = progress(arguments.files.len());
    let mut read: Vec<(String, Graph)> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    let (mut printer, mut told) = (EventPrinter::new(output), Ok(()));
    for file in &arguments.files {
        let mut tell = |event: Event| {
            if told.is_ok() {
                told = printer.print(&event);
            }
        };
        let observer: Option<&mut dyn FnMut(Event)> =
            if arguments.stream { Some(&mut tell) } else { None };
        match read_one(&extractor, file, observer).await {
            Ok(graph) => read.push(graph),
            Err(failure) => failures.push(failure),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    told?;
    if !arguments.stream {
        print(&read, &extractor, arguments.format, output).await?;
    }
    report(failures, read.is_empty(), output)
}

async fn read_one(
    extractor: &Extractor,
    file: &Path,
    observer: Option<&mut dyn FnMut(Event)>,
) -> Result<(String, Graph), Failure> {
    let read = async {
        let text = read_text(file)?;
        let graph = extractor.extract(&text, observer).await?;
        Ok((text, graph))
    };
    read.await.map_err(|failure: Failure| Failure {
        message: format!("{}: {}", file.display(), failure.message),
        ..failure
    })
}

async fn print(
    read: &[(String, Graph)],
    extractor: &Extractor,
    format: Option<GraphFormat>,
    output: Output,
) -> Result<(), Failure> {
    let write = match format {
        Some(GraphFormat::Turtle) => turtle,
        Some(GraphFormat::Ntriples) => ntriples,
        Some(GraphFormat::Table) => return print_graphs(read, output.with_format(Format::Table)),
        Some(GraphFormat::Json) => return print_graphs(read, output.with_format(Format::Json)),
        None => return print_graphs(read, output),
    };
    for (_, graph) in read {
        let ontology = extractor.ontology_of(graph).await?;
        let written = write(graph, &ontology).map_err(anyhow::Error::from)?;
        output.line(written.trim_end())?;
    }
    Ok(())
}

fn print_graphs(read: &[(String, Graph)], output: Output) -> Result<(), Failure> {
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
