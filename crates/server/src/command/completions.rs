//! `quarry completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{cli::Cli, failure::Failure, output::Output};

/// Prints the completions of `shell`.
pub(crate) fn run(shell: Shell, output: Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "quarry", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}
