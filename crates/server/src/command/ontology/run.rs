//! Which of the commands was typed.

use super::{check, eval, put, remove, show};
use crate::{
    cli::{Global, OntologyCommand},
    failure::Failure,
    output::Output,
};

/// Runs the command.
pub(crate) async fn run(
    command: &OntologyCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    match command {
        OntologyCommand::Ls => show::list(global, output).await,
        OntologyCommand::Show { ontology } => show::one(ontology, global, output).await,
        OntologyCommand::Put { file, id } => put::run(file, id.as_deref(), global, output).await,
        OntologyCommand::Rm { id } => remove::run(id, global, output).await,
        OntologyCommand::Check { files } => check::run(files, output),
        OntologyCommand::Eval(arguments) => eval::run(arguments, output),
    }
}
