//! The whole process, from its command line to its exit code.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

use crate::{cli::Cli, command, output::Output};

/// That of the C library costs a call over HTTP a quarter of its time at 64 callers.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Does what the command line asks for, and ends with one of the codes of `failure`.
pub fn run() -> ExitCode {
    // Before anything may make a TLS connection; only the first call counts.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    match command::run(&cli, output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.say_failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}
