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
    "fence-loaded",
    "admitted",
    "handled",
    "commit-before-lease-check",
    "commit-before-send",
    "commit-inside",
    "committed",
    "replied",
    "shard-closed",
    "released",
    "raft-before-append",
    "raft-appended",
    "raft-applied",
    "snapshot-written",
];

struct Armed {
    name: String,
    countdown: AtomicU64,
    stop: bool,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| std::env::var("QUARRY_CRASH_POINT").ok().and_then(|text| parse(&text)))
        .as_ref()
}

fn parse(text: &str) -> Option<Armed> {
    let mut parts = text.split(':');
    let name = parts.next().filter(|name| POINTS.contains(name))?.to_owned();
    let countdown = AtomicU64::new(parts.next().map_or(Some(1), |count| count.parse().ok())?);
    Some(Armed { name, countdown, stop: parts.next() == Some("stop") })
}

/// Passes the point `name`, which must be one of [`POINTS`].
pub fn point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of crash points");
    let Some(armed) = armed() else { return };
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
        assert!(parse("no-such-point").is_none());
        assert!(parse("admitted:x").is_none());
        let armed = parse("committed:5:stop").unwrap();
        assert!(armed.stop && armed.countdown.into_inner() == 5);
    }
}
