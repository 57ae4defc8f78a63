//! The clock of leases goes on while the machine is suspended.
//!
//! Nothing here can suspend the machine. A time namespace can put the clock that counts a suspend,
//! `CLOCK_BOOTTIME`, ahead of the one that does not, as a suspend does; a process inside of it says what
//! it reads.

use std::{
    env, io,
    process::{Command, Output},
    time::Duration,
};

use quarry_ports::Host;
use quarry_types::Monotonic;

/// For how long the machine of the process inside seems to have been suspended.
const SUSPENDED: Duration = Duration::from_hours(1_000);
/// Says to a process that it is the one inside.
const INSIDE: &str = "QUARRY_TEST_SUSPENDED";
/// What it writes before the nanoseconds that its clock shows.
const SHOWS: &str = "the clock inside shows ";

/// Runs `program` on a machine that seems to have been suspended.
fn inside(program: &mut Command) -> io::Result<Output> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--time", "--boottime"]);
    command.arg(SUSPENDED.as_secs().to_string());
    command.arg(program.get_program()).args(program.get_args()).env(INSIDE, "1").output()
}

/// Why a process may have no time namespace here, where it may not.
fn refusal() -> Option<String> {
    match inside(&mut Command::new("true")) {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn the_clock_goes_on_during_suspend() {
    let now = || Host::system().now();
    if env::var_os(INSIDE).is_some() {
        return println!("{SHOWS}{}", now().0);
    }
    if let Some(reason) = refusal() {
        return println!("skipped: no time namespace here: {reason}");
    }
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", "the_clock_goes_on_during_suspend", "--nocapture"]);
    let before = now();
    let ran = inside(&mut program).unwrap();
    let after = now();
    let said = String::from_utf8_lossy(&ran.stdout);
    let shown = said.split_once(SHOWS).and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let shown = Monotonic(shown.unwrap_or_else(|| panic!("{ran:?}")));
    let expected = before.after(SUSPENDED)..=after.after(SUSPENDED);
    assert!(expected.contains(&shown), "{shown:?} is not among {expected:?}");
}
