//! `quarry ontology …`: packs listed, shown, checked and measured, without a server unless one is
//! named.

mod check;
mod eval;
mod load;
mod show;

pub(crate) use load::{is_file, load};

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
        OntologyCommand::Check { files } => check::run(files, output),
        OntologyCommand::Eval(arguments) => eval::run(arguments, output),
    }
}
