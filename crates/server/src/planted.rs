//! The binary `quarry-planted`: `quarry` with the bug that `QUARRY_PLANTED_BUG` names, for the tests
//! that have to find it. It is built with the feature `planted-bugs` only, which no release can have.

use std::{env, process::ExitCode};

use quarry_types::planted::{Bug, plant};

/// Names the bug; without it none is planted.
const VARIABLE: &str = "QUARRY_PLANTED_BUG";

fn main() -> ExitCode {
    match env::var(VARIABLE) {
        Err(_) => quarry_server::run(),
        Ok(name) => match Bug::ALL.into_iter().find(|bug| bug.as_str() == name) {
            Some(bug) => {
                plant(Some(bug));
                quarry_server::run()
            }
            None => unknown(&name),
        },
    }
}

#[expect(clippy::print_stderr, reason = "nothing else of the program runs yet")]
fn unknown(name: &str) -> ExitCode {
    let known = Bug::ALL.map(Bug::as_str).join(", ");
    eprintln!("{VARIABLE}: there is no bug {name:?}; there are {known}");
    ExitCode::from(2)
}
