//! The binary `quarry`: the only wiring.
//!
//! `cli` names what can be typed, `configuration` what a node is told, `node` joins the parts into
//! a running node, `command` holds one file per command. stdout is data, stderr is talk.

mod cli;
mod command;
mod configuration;
mod failure;
mod node;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, output::Output};

fn main() -> ExitCode {
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
