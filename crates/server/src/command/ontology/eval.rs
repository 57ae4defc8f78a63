//! Precision and recall on annotated texts.

use std::collections::BTreeMap;

use quarry_extract::{
    Embedded, Parameters,
    evaluation::{self, Counts, Difference, Evaluation, Fact},
};
use serde::Serialize;

use super::load::{load, read};
use crate::{
    cli::{Format, OntologyEvalArguments},
    failure::{Exit, Failure},
    output::{Output, table},
};

#[derive(Serialize)]
struct Measured {
    ontology: String,
    version: String,
    texts: u32,
    /// Texts with a span that does not say what it claims.
    unverified: u32,
    total: Score,
    relations: BTreeMap<String, Score>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Score {
    precision: f64,
    recall: f64,
    f1: f64,
    #[serde(flatten)]
    counts: Counts,
}

impl From<Counts> for Score {
    fn from(counts: Counts) -> Self {
        let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
        Self { precision, recall, f1, counts }
    }
}

/// Measures, and prints each relation and the total.
pub(super) fn run(arguments: &OntologyEvalArguments, output: Output) -> Result<(), Failure> {
    let ontology = load(&arguments.ontology)?;
    let file = arguments.data.display();
    let texts = evaluation::annotated(&read(&arguments.data)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("{file}: {error}")))?;
    if texts.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{file}: there is no annotated text")));
    }
    for unknown in unknown_relations(&texts, &ontology) {
        output.say(&format!("note: {file} annotates {unknown}, which {} lacks", ontology.id()));
    }
    let (id, version) = (ontology.id().to_owned(), ontology.version().to_owned());
    let evaluation =
        evaluation::evaluate(&Embedded::induce(ontology), &texts, &Parameters::default());
    let Evaluation { texts, total, relations, unverified, differences } = evaluation;
    let measured = Measured {
        ontology: id,
        version,
        texts,
        unverified,
        total: total.into(),
        relations: relations.into_iter().map(|(name, counts)| (name, counts.into())).collect(),
        differences: if arguments.differences { differences } else { Vec::new() },
    };
    if output.format() == Format::Table {
        print(&measured, output)
    } else {
        output.record(&[], &measured)
    }
}

fn unknown_relations<'a>(
    texts: &'a [evaluation::Annotated],
    ontology: &quarry_extract::pack::Ontology,
) -> std::collections::BTreeSet<&'a str> {
    let annotated = texts.iter().flat_map(|text| &text.facts).map(|fact| fact.1.as_str());
    annotated.filter(|relation| ontology.relation_named(relation).is_none()).collect()
}

fn print(measured: &Measured, output: Output) -> Result<(), Failure> {
    let row = |name: &str, score: &Score| {
        vec![
            name.to_owned(),
            format!("{:.3}", score.precision),
            format!("{:.3}", score.recall),
            format!("{:.3}", score.f1),
            score.counts.right.to_string(),
            score.counts.predicted.to_string(),
            score.counts.expected.to_string(),
        ]
    };
    let relations = measured.relations.iter().map(|(name, score)| row(name, score));
    let rows = relations.chain([row("total", &measured.total)]).collect();
    let columns = ["relation", "precision", "recall", "f1", "right", "found", "annotated"];
    output.line(&table(&columns, rows))?;
    output.say(&format!(
        "{} {}: {} texts, strict; spans that do not say what they claim: {}",
        measured.ontology, measured.version, measured.texts, measured.unverified
    ));
    for difference in &measured.differences {
        output.line(&format!("\n{}", difference.text))?;
        for Fact(subject, relation, object) in &difference.missed {
            output.line(&format!("  missed  {subject} · {relation} · {object}"))?;
        }
        for Fact(subject, relation, object) in &difference.wrong {
            output.line(&format!("  wrong   {subject} · {relation} · {object}"))?;
        }
    }
    Ok(())
}
