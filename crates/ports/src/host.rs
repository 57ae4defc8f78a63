//! The machine beneath: clock, randomness, tasks. The one module that may touch them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use quarry_types::{Monotonic, Timestamp};
use rand::Rng as _;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Time that never goes back and goes on during suspend.
    fn monotonic(&self) -> Monotonic;
    /// The wall clock; for showing, never for safety.
    fn wall(&self) -> Timestamp;
    /// The run of the machine within which [`Clock::monotonic`] counts: another after each start of
    /// it. 0 where that is not known.
    fn machine_run(&self) -> u64 {
        0
    }
    /// The machine itself, the same after each start of it. 0 where that is not known, as in many
    /// containers.
    fn machine(&self) -> u64 {
        0
    }
}

/// Makes random numbers.
pub trait Random: Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// A started task. Dropping it lets the task run on.
#[derive(Debug)]
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// A handle that can end the task and outlives this one.
    pub fn abort_handle(&self) -> tokio::task::AbortHandle {
        self.0.abort_handle()
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until the task has ended; whether it ended by itself (neither aborted nor panicked).
    pub async fn ended(self) -> bool {
        self.0.await.is_ok()
    }
}

/// Starts tasks.
pub trait Spawn: Send + Sync + 'static {
    /// Starts `future` as a task of its own; `name` is for people.
    fn spawn_boxed(
        &self,
        name: &'static str,
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Task;
}

/// The machine as the shells see it. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
    /// The starter of tasks.
    pub spawn: Arc<dyn Spawn>,
}

impl Host {
    /// The real machine: `CLOCK_BOOTTIME`, generators that the kernel seeds, tokio's tasks.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            spawn: Arc::new(TokioSpawn),
        }
    }

    /// Starts `future` as a task of its own.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        self.spawn.spawn_boxed(name, Box::pin(future))
    }

    /// Monotonic time now.
    pub fn now(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// Sleeps until `instant` has come on this host's monotonic clock.
    pub async fn sleep_until(&self, instant: Monotonic) {
        loop {
            let left = instant.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// Where systemd keeps the id of the machine: machine-id(5), 32 hexadecimal digits.
const MACHINE_ID: &str = "/etc/machine-id";

/// What is told of a machine's id, which is not to be told itself; 0 where `id` is none.
fn digest(id: &[u8]) -> u64 {
    let id = id.trim_ascii();
    let is_one = id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit);
    if is_one { xxhash_rust::xxh3::xxh3_64_with_seed(id, MACHINE_SEED) } else { 0 }
}

/// Sets the digest apart from that of others.
const MACHINE_SEED: u64 = 0x7175_6172_7279;

struct SystemClock;

impl Clock for SystemClock {
    fn monotonic(&self) -> Monotonic {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Monotonic(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    fn wall(&self) -> Timestamp {
        // Asked of the C library, before which a test can put a clock that jumps.
        #[expect(clippy::disallowed_methods, reason = "this is the module that tells the time")]
        let now = SystemTime::now();
        Timestamp(match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::wrapping_neg)
            }
        })
    }

    fn machine_run(&self) -> u64 {
        static RUN: OnceLock<u64> = OnceLock::new();
        *RUN.get_or_init(|| {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
            u64::from_str_radix(&digits, 16).unwrap_or(0)
        })
    }

    fn machine(&self) -> u64 {
        static MACHINE: OnceLock<u64> = OnceLock::new();
        *MACHINE.get_or_init(|| digest(&std::fs::read(MACHINE_ID).unwrap_or_default()))
    }
}

/// A generator of each thread, seeded by the kernel now and then: asked for each number, the kernel takes a
/// seventh of the time of a call that stays in memory.
struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// Starts tasks on the current tokio runtime; also what the simulator uses, on its own runtime.
#[derive(Clone, Copy, Debug)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn_boxed(
        &self,
        _name: &'static str,
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Task {
        #[expect(clippy::disallowed_methods, reason = "this is the module that starts tasks")]
        Task(tokio::spawn(future))
    }
}
