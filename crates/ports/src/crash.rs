//! Named crash points: places where a test ends or freezes the process.
//!
//! `QUARRY_CRASH_POINT=name` ends the process when it first comes by, `name:5` the fifth time, and
//! `name:5:stop` freezes it there (`SIGSTOP`) instead. Unset, a point costs one load.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Every point of the program, in the order of a message's life.
pub const POINTS: &[&str] = &[
    "store-opened",
    "identity-adopted",
    "joined",
    "lease-renewed",
    "fence-wanted",
    "split-inside",
    "fence-loaded",
    "recovered",
    "admitted",
    "accepted",
    "activated",
    "handled",
    "commit-before-lease-check",
    "commit-before-send",
    "commit-inside",
    "committed",
    "replied",
    "send-passed",
    "send-answered",
    "send-closed",
    "retired",
    "shard-closed",
    "release-wanted",
    "released",
    "raft-before-append",
    "raft-appended",
    "raft-committed",
    "raft-applied",
    "snapshot-written",
];

/// The variable that arms a point.
const VARIABLE: &str = "QUARRY_CRASH_POINT";

/// Why no point is armed although the variable is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrashPointError {
    /// There is no such point.
    #[error("{VARIABLE}: there is no point {name:?}; there are {}", POINTS.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// What follows the name is not understood.
    #[error("{VARIABLE}: {text:?} is not understood: write NAME, NAME:COUNT or NAME:COUNT:stop")]
    Malformed {
        /// The whole text.
        text: String,
    },
}

struct Armed {
    name: String,
    countdown: AtomicU64,
    stop: bool,
}

fn asked() -> &'static Result<Option<Armed>, CrashPointError> {
    static ASKED: OnceLock<Result<Option<Armed>, CrashPointError>> = OnceLock::new();
    ASKED.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| parse(&text)).transpose())
}

fn parse(text: &str) -> Result<Armed, CrashPointError> {
    let malformed = || CrashPointError::Malformed { text: text.to_owned() };
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    if !POINTS.contains(&name) {
        return Err(CrashPointError::Unknown { name: name.to_owned() });
    }
    let count = parts.next().map_or(Ok(1), str::parse).map_err(|_| malformed())?;
    let stop = match (parts.next(), parts.next()) {
        (None, None) => false,
        (Some("stop"), None) => true,
        _ => return Err(malformed()),
    };
    if count == 0 {
        return Err(malformed());
    }
    Ok(Armed { name: name.to_owned(), countdown: AtomicU64::new(count), stop })
}

/// Checks the variable, which would else be passed over where it is wrong: a process that starts
/// calls this first.
///
/// # Errors
/// What is wrong with it, with all known points.
pub fn check() -> Result<(), CrashPointError> {
    asked().as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Whether the point `name` will end or freeze this process.
pub fn is_armed(name: &'static str) -> bool {
    matches!(asked(), Ok(Some(armed)) if armed.name == name)
}

/// Passes the point `name`, which must be one of [`POINTS`].
pub fn point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of crash points");
    let Ok(Some(armed)) = asked() else { return };
    if armed.name == name && armed.countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
        if armed.stop {
            // A process that cannot stop itself goes on: the test that wanted it then fails.
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::STOP,
            );
            // Another thread may take the signal, and stop this one some microseconds later: it
            // must not have gone on by then.
            std::thread::sleep(Duration::from_millis(50));
        } else {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_points_are_armed() {
        let armed = parse("committed:5:stop").ok().unwrap();
        assert!(armed.stop && armed.countdown.into_inner() == 5);
        assert!(parse("committed").is_ok_and(|armed| !armed.stop));
        let error = parse("comitted:5").err().unwrap().to_string();
        assert!(error.contains("no point \"comitted\"; there are "), "{error}");
        assert!(error.contains(" committed"), "{error}");
        for text in ["admitted:x", "admitted:", "admitted:0", "admitted:1:stpo", "admitted:1:stop:"]
        {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.contains("NAME:COUNT:stop"), "{text}: {error}");
        }
    }
}
