//! Every mistake of a pack, with its place and what to do.

use std::path::{Path, PathBuf};

use quarry_extract::pack::Ontology;
use quarry_types::ontology::Origin;
use serde::Serialize;

use super::load::{parse, placed, source};
use crate::{
    cli::Format,
    failure::{Exit, Failure},
    output::Output,
};

#[derive(Serialize)]
struct Checked {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ontology: Option<quarry_types::ontology::Summary>,
    problems: Vec<Said>,
    /// What is not wrong and costs something.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    place: String,
    message: String,
    #[serde(skip)]
    whole: String,
}

/// Checks the packs, all of them, and fails where one is not good.
pub(super) fn run(files: &[PathBuf], output: Output) -> Result<(), Failure> {
    let checked = files.iter().map(|file| check(file)).collect::<Result<Vec<_>, _>>()?;
    if output.format() == Format::Table {
        checked.iter().try_for_each(|checked| print(checked, output))?;
    } else {
        output.list(&[], &checked, |_| Vec::new())?;
    }
    let (mistakes, bad) = checked
        .iter()
        .filter(|checked| !checked.ok)
        .fold((0, 0), |sum, it| (sum.0 + it.problems.len(), sum.1 + 1));
    match bad {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Usage, format!("{mistakes} mistakes in {bad} of the packs"))),
    }
}

fn check(file: &Path) -> Result<Checked, Failure> {
    let source = source(file)?;
    let name = file.display().to_string();
    Ok(match parse(file, &source, None) {
        Ok(ontology) => good(name, &ontology),
        Err(error) => {
            let problems = error.problems.into_iter().map(|problem| Said {
                whole: placed(file, &problem),
                line: problem.line,
                place: problem.place,
                message: problem.message,
            });
            let problems = problems.collect();
            Checked { file: name, ok: false, ontology: None, problems, notes: Vec::new() }
        }
    })
}

fn good(file: String, ontology: &Ontology) -> Checked {
    let (summary, notes) = (ontology.summary(Origin::File), ontology.notes().to_vec());
    Checked { file, ok: true, ontology: Some(summary), problems: Vec::new(), notes }
}

fn print(checked: &Checked, output: Output) -> Result<(), Failure> {
    for problem in &checked.problems {
        output.line(&problem.whole)?;
    }
    if let Some(ontology) = &checked.ontology {
        output.line(&format!(
            "{}: ok: {} {}, {} classes, {} relations, {} examples",
            checked.file,
            ontology.id,
            ontology.version,
            ontology.classes,
            ontology.relations,
            ontology.examples
        ))?;
    }
    for note in &checked.notes {
        output.say(&format!("note: {note}"));
    }
    Ok(())
}
