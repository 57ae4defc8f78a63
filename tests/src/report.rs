//! What a test measured, for people.

use std::fmt::Display;

/// Prints a line, shown where the test runner shows output.
#[expect(clippy::print_stdout, reason = "the runner of the tests decides whether it is seen")]
pub fn say(line: impl Display) {
    println!("{line}");
}
