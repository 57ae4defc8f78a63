//! `quarry bench …`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, builder::RangedI64ValueParser, value_parser};
use quarry_types::parse_duration;

/// `quarry bench …`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
Starts a node of its own in a temporary directory where it needs one, and compares with a baseline of the same run:
a shared machine makes bare figures worthless.

Examples:
  quarry bench durable
  quarry bench durable --store postgres://me@127.0.0.1/bench --concurrency 1,64,256
  quarry bench volatile -o json > volatile.json
  quarry bench volatile --nodes 3 --concurrency 1,64,1024
  quarry bench sends --sends 1,100 --concurrency 64
  quarry bench chunks --readers 1,16
  quarry bench memory --entities 10000,100000 --idle-after 1m
  quarry bench activation --payloads 100,10240 --concurrency 64
  quarry bench takeover --backlog 10000,1000000
  quarry bench snapshot --seconds 180 --store postgres://me@127.0.0.1/bench")]
pub(crate) enum BenchCommand {
    /// Durable calls, in process and over HTTP; the baseline is a raw fdatasync of 4 KiB
    Durable(BenchArguments),
    /// Durable calls to one entity, in process and over HTTP; the baseline is a raw fdatasync of 4 KiB
    Hot(BenchArguments),
    /// Volatile calls, in process and over HTTP; the baseline is a plain tokio channel. With --nodes, over
    /// the mesh; the baseline is a plain framed echo over TCP
    Volatile(VolatileArguments),
    /// Sends between entities in the commits of their senders; the baseline are durable one-way calls
    Sends(SendsArguments),
    /// Stored chunks of a reply, followed in process and over HTTP; the baseline is a raw fdatasync of 4 KiB
    Chunks(ChunksArguments),
    /// The memory of entities that have nothing to do, resident and dormant; the baseline are plain tokio tasks
    Memory(MemoryArguments),
    /// The activation of dormant entities from the store, cold and warm; the baseline are calls to resident ones
    Activation(ActivationArguments),
    /// The coordinator's plan for a cluster of any size; the baseline is a sort of as many numbers
    Plan(PlanBenchArguments),
    /// Durable calls over sizes of payloads and numbers of entities; the baseline is a raw fdatasync of 4 KiB
    Sweep(SweepArguments),
    /// Durable calls on PostgreSQL while someone else keeps a snapshot open; the baseline are rounds without
    Snapshot(SnapshotArguments),
    /// The takeover of a backlog by a process that finds it after another was killed
    Takeover(TakeoverArguments),
    /// One of the processes of a takeover
    #[command(hide = true)]
    TakeoverNode(TakeoverNode),
    /// One of the processes whose memory is measured
    #[command(hide = true)]
    MemoryProcess(MemoryProcess),
    /// One of the processes that activate
    #[command(hide = true)]
    ActivationProcess(ActivationProcess),
    /// One of the processes that echo
    #[command(hide = true)]
    Echo(EchoArguments),
}

/// Over how many nodes volatile calls are measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct VolatileArguments {
    /// The calls
    #[command(flatten)]
    pub(crate) calls: BenchArguments,
    /// How many nodes are called. One is in this process. Several are processes of their own, which this one
    /// joins and owns nothing, so that every call crosses the mesh once each way
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
}

/// One of the processes that echo.
#[derive(Clone, Debug, Args)]
pub(crate) struct EchoArguments {
    /// End when this process, which started this one, ends
    #[arg(long, value_name = "PID")]
    pub(crate) parent: i32,
}

/// For which cluster is planned.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanBenchArguments {
    /// How many nodes
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = value_parser!(u64).range(2..=10_000))]
    pub(crate) nodes: u64,
    /// How many shards
    #[arg(long, default_value_t = 65_536, value_name = "N", value_parser = value_parser!(u32).range(1..=65_536))]
    pub(crate) shards: u32,
    /// How many rounds; the least, the middle and the most are shown
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = rounds())]
    pub(crate) rounds: u32,
}

/// Over what is swept.
#[derive(Clone, Debug, Args)]
pub(crate) struct SweepArguments {
    /// Bytes of payload per call
    #[arg(long, value_delimiter = ',', default_value = "100,10240,900000", value_name = "BYTES,…", value_parser = bytes())]
    pub(crate) payloads: Vec<u32>,
    /// How many entities the calls go to
    #[arg(long, value_delimiter = ',', default_value = "100,10000,1000000", value_name = "N,…", value_parser = entities())]
    pub(crate) entities: Vec<u32>,
    /// How many callers at a time
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = callers())]
    pub(crate) concurrency: u32,
    /// The rounds
    #[command(flatten)]
    pub(crate) timed: Timed,
}

/// Beside which snapshot is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct SnapshotArguments {
    /// How many callers at a time
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = callers())]
    pub(crate) concurrency: u32,
    /// How many seconds each round lasts, and each snapshot is kept
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = seconds())]
    pub(crate) seconds: u32,
    /// How many rounds with a snapshot, and as many without in turn with them
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = rounds())]
    pub(crate) rounds: u32,
    /// How many entities the calls go to
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = entities())]
    pub(crate) keys: u32,
    /// Bytes of payload per call
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = bytes())]
    pub(crate) payload: u32,
    /// The server of PostgreSQL
    #[arg(long, value_name = "URL")]
    pub(crate) store: String,
}

/// Which backlogs are taken over.
#[derive(Clone, Debug, Args)]
pub(crate) struct TakeoverArguments {
    /// How many messages are pending; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "10000,100000", value_name = "N,…", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub(crate) backlog: Vec<u32>,
    /// How many seconds each takeover is watched at most
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = seconds())]
    pub(crate) seconds: u32,
    /// Bytes of payload per message
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = bytes())]
    pub(crate) payload: u32,
    /// The takeovers of each
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// One of the processes of a takeover.
#[derive(Clone, Debug, Args)]
pub(crate) struct TakeoverNode {
    /// Fill, and wait to be killed; else take over
    #[arg(long)]
    pub(crate) fill: bool,
    /// Where the node keeps its files
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Where messages are stored
    #[arg(long)]
    pub(crate) store: String,
    /// How many messages are pending
    #[arg(long)]
    pub(crate) backlog: u32,
    /// How many entities they are for
    #[arg(long)]
    pub(crate) entities: u32,
    /// Bytes of payload per message
    #[arg(long)]
    pub(crate) payload: u32,
    /// How many seconds the takeover is watched at most
    #[arg(long)]
    pub(crate) seconds: u32,
}

/// What is sent.
#[derive(Clone, Debug, Args)]
pub(crate) struct SendsArguments {
    /// How many sends each call makes; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1,10", value_name = "N,…", value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) sends: Vec<u32>,
    /// The calls
    #[command(flatten)]
    pub(crate) calls: BenchArguments,
}

/// What is streamed.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChunksArguments {
    /// How many follow the stream; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_name = "N,…", value_parser = callers())]
    pub(crate) readers: Vec<u32>,
    /// How many chunks the stream of each round has
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = entities())]
    pub(crate) chunks: u32,
    /// Bytes of text per chunk
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = value_parser!(u32).range(0..=250_000))]
    pub(crate) payload: u32,
    /// The rounds
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// Whose memory is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct MemoryArguments {
    /// How many entities there are; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "10000", value_name = "N,…", value_parser = entities())]
    pub(crate) entities: Vec<u32>,
    /// Bytes of text that each entity keeps
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = bytes())]
    pub(crate) payload: u32,
    /// How long an entity without messages stays resident: long enough for all to be so at one time
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = idle_time)]
    pub(crate) idle_after: Duration,
    /// The rounds
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// One of the processes whose memory is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct MemoryProcess {
    /// Measure plain tasks; else entities of a node
    #[arg(long)]
    pub(crate) plain: bool,
    /// Where the node keeps its files
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Where states are stored
    #[arg(long)]
    pub(crate) store: String,
    /// How many there are
    #[arg(long)]
    pub(crate) entities: u32,
    /// Bytes of text that each keeps
    #[arg(long)]
    pub(crate) payload: u32,
    /// How long an entity without messages stays resident
    #[arg(long, value_parser = idle_time)]
    pub(crate) idle_after: Duration,
}

/// What is activated.
#[derive(Clone, Debug, Args)]
pub(crate) struct ActivationArguments {
    /// Bytes of text that each entity keeps; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "100,10240,100000", value_name = "BYTES,…", value_parser = bytes())]
    pub(crate) payloads: Vec<u32>,
    /// How many callers at a time; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_name = "N,…", value_parser = callers())]
    pub(crate) concurrency: Vec<u32>,
    /// How many entities are activated in each round
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = entities())]
    pub(crate) entities: u32,
    /// The rounds
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// One of the processes that activate.
#[derive(Clone, Debug, Args)]
pub(crate) struct ActivationProcess {
    /// Give entities their states; else activate them
    #[arg(long)]
    pub(crate) fill: bool,
    /// Where the node keeps its files
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Where states are stored
    #[arg(long)]
    pub(crate) store: String,
    /// How many there are
    #[arg(long)]
    pub(crate) entities: u32,
    /// Bytes of text that each keeps
    #[arg(long)]
    pub(crate) payload: u32,
    /// How many callers at a time
    #[arg(long)]
    pub(crate) concurrency: u32,
}

/// What is measured, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArguments {
    /// How many callers at a time; each figure is measured by itself
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_name = "N,…", value_parser = callers())]
    pub(crate) concurrency: Vec<u32>,
    /// How many entities the calls go to
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = entities())]
    pub(crate) keys: u32,
    /// Bytes of payload per durable call
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = bytes())]
    pub(crate) payload: u32,
    /// The rounds
    #[command(flatten)]
    pub(crate) timed: Timed,
}

/// How long rounds last.
#[derive(Clone, Debug, Args)]
pub(crate) struct Timed {
    /// How many seconds each round lasts
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = seconds())]
    pub(crate) seconds: u32,
    /// The rounds
    #[command(flatten)]
    pub(crate) rounds: Rounds,
}

/// How many rounds there are, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Rounds {
    /// How many rounds; the least, the middle and the most are shown
    #[arg(id = "rounds", long = "rounds", default_value_t = 3, value_name = "N", value_parser = rounds())]
    pub(crate) count: u32,
    /// Where messages and states are stored [default: a SQLite file in a temporary directory]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

impl Timed {
    /// The length of a round.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }
}

/// Bytes that a call can carry over HTTP.
fn bytes() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(0..=900_000)
}

fn callers() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=4_096)
}

fn entities() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=1_000_000)
}

fn rounds() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=99)
}

fn seconds() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=600)
}

/// What a node can be configured to.
fn idle_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    let is_fit = (Duration::from_millis(10)..=Duration::from_hours(24)).contains(&time);
    if is_fit { Ok(time) } else { Err("it is from 10ms to 24h".to_owned()) }
}
