//! Which command was typed.

use std::process::ExitCode;

use quarry_ports::crash;

use super::{
    bench, cluster, completions, config, dev, doctor, entity, extract, ingest, journal, message,
    ontology, placement, send, serve, sim, status,
};
use crate::{
    cli::{Cli, Command},
    failure::{Exit, Failure},
    output::Output,
};

/// Runs the command that was typed.
pub(crate) fn run(cli: &Cli, output: Output) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Config(command) => config::run(command, global, output)?,
        Command::Completions { shell } => completions::run(*shell, output)?,
        Command::Dev(arguments) => served(dev::run(arguments, global, output))?,
        Command::Serve(arguments) => served(serve::run(arguments, global, output))?,
        Command::Send(arguments) => asked(send::run(arguments, global, output))?,
        Command::Message(command) => asked(message::run(command, global, output))?,
        Command::Entity(command) => asked(entity::run(command, global, output))?,
        Command::Cluster(command) => asked(cluster::run(command, global, output))?,
        Command::Placement(command) => asked(placement::run(command, global, output))?,
        Command::Bench(command) => served(bench::run(command, output))?,
        Command::Sim(arguments) => sim::run(arguments, output)?,
        Command::Extract(arguments) => asked(extract::run(arguments, global, output))?,
        Command::Ingest(arguments) => asked(ingest::run(arguments, global, output))?,
        Command::Ontology(command) => asked(ontology::run(command, global, output))?,
        Command::Journal(command) => asked(journal::run(command, global, output))?,
        Command::Doctor(arguments) => asked(doctor::run(arguments, global, output))?,
        Command::Status => asked(status::run(global, output))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tasks of its own that a worker runs before it takes one that all share. With tokio's 61 the unluckiest of
/// 1,024 callers in this process waits for 80 to 100 ms, with this one for half of that; with fewer, less is
/// done.
const OWN_TURNS: u32 = 10;

/// Runs what serves, on all cores; what still runs at the end is left behind.
fn served(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    crash::check().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .global_queue_interval(OWN_TURNS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Runs what asks a server, on this thread alone.
fn asked(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
