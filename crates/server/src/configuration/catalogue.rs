//! Every key: its kind, default, flag and meaning. The one place for defaults.

use std::time::Duration;

use quarry_core::lease::LeaseTimes;

use super::kind::Kind;

/// A key of the configuration.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.key`, or `section.table.key`.
    pub(crate) path: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Its default as one would write it; `None` where the help says what stands in.
    pub(crate) default: Option<&'static str>,
    /// The flag of `serve` that sets it.
    pub(crate) flag: Option<&'static str>,
    /// What it is.
    pub(crate) help: &'static str,
    /// Other names: keys of the same section, or environment variables in capitals.
    pub(crate) aliases: &'static [&'static str],
}

macro_rules! keys {
    ($($path:literal, $kind:expr, $default:expr, $flag:expr, $help:literal $(, $alias:literal)*;)*) => {
        &[$(Key {
            path: $path,
            kind: $kind,
            default: $default,
            flag: $flag,
            help: $help,
            aliases: &[$($alias),*],
        }),*]
    };
}

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// The heartbeats of which leases can be made.
const HEARTBEAT: Kind = Kind::Duration {
    least: milliseconds(LeaseTimes::MIN_HEARTBEAT),
    most: milliseconds(LeaseTimes::MAX_HEARTBEAT),
};
/// The lives of leases with such heartbeats.
const LEASE: Kind = Kind::Duration {
    least: milliseconds(LeaseTimes::MIN_HEARTBEAT) * LeaseTimes::MIN_HEARTBEATS as u64,
    most: milliseconds(LeaseTimes::MAX_TTL),
};

const fn milliseconds(time: Duration) -> u64 {
    time.as_secs() * SECOND + time.subsec_millis() as u64
}

/// The keys, by section.
pub(crate) const KEYS: &[Key] = keys! {
    "node.id", Kind::Integer { least: 0, most: i64::MAX }, Some("1"), Some("--node"),
        "the number of this node; never given to another machine", "RUNNER_ID";
    "node.roles", Kind::Roles, Some("runner,coordinator,gateway"), Some("--roles"),
        "what this node does: runner, coordinator, gateway";
    "node.data_dir", Kind::Path, Some(".quarry/serve"), Some("--data"),
        "where this node keeps its Raft log, its lock and, by default, the SQLite file";
    "node.http", Kind::Listen, Some("127.0.0.1:7410"), Some("--http"),
        "where it answers HTTP";
    "node.cluster", Kind::Listen, Some("127.0.0.1:7411"), Some("--cluster"),
        "where its control plane listens: Raft and heartbeats";
    "node.mesh", Kind::Listen, Some("127.0.0.1:7412"), Some("--mesh"),
        "where its message plane listens";
    "node.advertise", Kind::Host, None, None,
        "the host under which other nodes reach this one; without it, that of the listen addresses";
    "node.drain_time", Kind::Duration { least: 0, most: DAY }, Some("30s"), None,
        "how long SIGTERM lets running handlers go on; the process ends ten seconds later at most";
    "node.residents", Kind::Integer { least: 1, most: 10_000_000 }, Some("100000"), None,
        "entities in memory at a time; beyond, the least recently used without messages make room";
    "node.dormant_memory", Kind::Bytes { least: 0, most: 1 << 40 }, Some("64MiB"), None,
        "memory for states of other entities, so that these need not be read from the store";
    "cluster.name", Kind::Text, Some("quarry"), None,
        "the cluster's name; a node of another one is not spoken to";
    "cluster.voters", Kind::Voters, None, Some("--voters"),
        "the coordinator's voters as id=host:port of their control planes; without it, this node alone";
    "cluster.cookie", Kind::Secret, None, None,
        "the secret that all nodes share, at least 32 random bytes";
    "cluster.cookie_file", Kind::Path, None, None,
        "a file that holds the cookie; cluster.cookie wins over it";
    "cluster.tls.ca", Kind::Path, None, None,
        "the certificate of the cluster's authority (PEM); `quarry cluster certs` makes all three";
    "cluster.tls.cert", Kind::Path, None, None,
        "this node's certificate (PEM), for the name node-<id>.<cluster>.quarry";
    "cluster.tls.key", Kind::Path, None, None,
        "the private key of this node's certificate (PEM)";
    "cluster.insecure", Kind::Boolean, Some("false"), None,
        "let the control and message planes go beyond loopback without TLS";
    "cluster.shards", Kind::Integer { least: 1, most: 65_536 }, Some("256"), None,
        "how many shards a new cluster begins with; a power of two", "numberOfShards";
    "cluster.heartbeat", HEARTBEAT, Some("500ms"), None,
        "how often a runner renews its lease";
    "cluster.lease_ttl", LEASE, Some("3s"), None,
        "how long this node's lease lasts; at least four heartbeats, and longer than an election", "lockTtl";
    "cluster.weight", Kind::Integer { least: 0, most: 10_000 }, Some("100"), None,
        "this node's share of the shards relative to others; 0 takes none";
    "cluster.groups", Kind::Words, None, None,
        "this node's labels, to which entity types may be bound";
    "cluster.rebalance_interval", Kind::Duration { least: 100, most: DAY }, Some("5s"), None,
        "how often the leader looks whether shards should move for balance", "rebalanceInterval";
    "cluster.max_moves", Kind::Integer { least: 1, most: 65_536 }, Some("64"), None,
        "how many shards of a new cluster may move for balance at a time";
    "cluster.snapshot_after", Kind::Bytes { least: 1_024, most: 1 << 30 }, Some("1MiB"), None,
        "how large the coordinator's log may become before a snapshot takes its place";
    "store.url", Kind::Url, None, Some("--store"),
        "sqlite://PATH or postgres://…; without it, quarry.db in the data directory", "DATABASE_PATH";
    "store.allow_unsafe_durability", Kind::Boolean, Some("false"), None,
        "take a database that may forget what it acknowledged";
    "store.take_from_other_host", Kind::Boolean, Some("false"), None,
        "take a SQLite file that another host used last, once it was moved here: a file serves one host";
    "store.retention", Kind::Duration { least: SECOND, most: 400 * DAY }, Some("24h"), None,
        "how long an outcome is kept and its idempotency key known; [entities.TYPE] retention for one type";
    "entities.mailbox", Kind::Integer { least: 1, most: 1_000_000 }, Some("1000"), None,
        "messages that may wait for one entity; one more is refused";
    "entities.attempts", Kind::Integer { least: 1, most: 1_000 }, Some("10"), None,
        "attempts until a message is set aside";
    "entities.concurrency", Kind::Integer { least: 1, most: 10_000 }, Some("16"), None,
        "queries of one entity that run side by side; its commands run one by one";
    "entities.residents", Kind::Integer { least: 1, most: 10_000_000 }, Some("100000"), None,
        "entities of one type in the memory of a node at a time, within node.residents";
    "entities.after_quarantine", Kind::OneOf(&["go_on", "wait"]), Some("go_on"), None,
        "what an entity does with its later messages while one is set aside";
    "entities.idle_after", Kind::Duration { least: 10, most: DAY }, Some("60s"), None,
        "how long an entity without messages stays in memory";
    "entities.group", Kind::Text, None, None,
        "the group of nodes (their cluster.groups) on which entities live, as a new cluster is made; [entities.TYPE] group for one type";
    "http.body_limit", Kind::Bytes { least: 1_024, most: 16 << 20 }, Some("1MiB"), None,
        "the largest body of a request";
    "http.timeout", Kind::Duration { least: 1, most: 300 * SECOND }, Some("30s"), None,
        "how long a call waits where its request does not say";
    "http.in_flight", Kind::Integer { least: 1, most: 1_000_000 }, Some("4096"), None,
        "requests answered at a time; more are refused with 503";
    "telemetry.filter", Kind::Text, None, None,
        "what is logged, as tracing directives; without it, what an operator would act on";
    "telemetry.format", Kind::OneOf(&["pretty", "json"]), Some("pretty"), None,
        "how log lines look";
};

/// Variables of other systems that are passed over with a word.
pub(crate) const IGNORED_VARIABLES: &[(&str, &str)] =
    &[("EVENT_QUEUE_PROCESS_INTERVAL_MS", "nothing polls here: messages are handled as they come")];

/// The key at `path`.
pub(crate) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The names of the sections, in order, each once.
pub(crate) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    sections
}

/// A file with every key, its meaning and its default; all lines are comments but the sections.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# The configuration of a Quarry node. A variable wins over this file, a flag over both.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            text = text + "\n[" + section + "]\n";
        }
        let flag = key.flag.map(|flag| format!(" or {flag}")).unwrap_or_default();
        let value = key.default.map_or_else(|| "…".to_owned(), |default| key.kind.quote(default));
        let (help, variable, name) = (key.help, key.variable(), key.name());
        text = text + "# " + help + " (" + &variable + &flag + ")\n";
        text = text + "# " + name + " = " + &value + "\n";
    }
    text
}

impl Key {
    /// Its section.
    pub(crate) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// Its name within the section.
    pub(crate) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The table within the section that it lies in, where it lies in one.
    pub(crate) fn table(&self) -> Option<&'static str> {
        self.name().split_once('.').map(|(table, _)| table)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("QUARRY_{}", self.path.replace('.', "__")).to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_one_that_its_key_takes() {
        for key in KEYS {
            if let Some(default) = key.default {
                assert!(key.kind.check_text(default).is_ok(), "{}", key.path);
            }
        }
    }

    #[test]
    fn the_template_with_its_defaults_uncommented_is_right() {
        let text: Vec<String> = template()
            .lines()
            .filter(|line| !line.ends_with(" = …"))
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") && !rest.contains('(') => rest.to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        let mut mistakes = Vec::new();
        crate::configuration::file::parse("template", &text.join("\n"), &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert!(text.iter().any(|line| line == "lease_ttl = \"3s\""), "{text:#?}");
    }

    #[test]
    fn every_flag_of_a_key_is_one_of_serve() {
        use clap::CommandFactory;
        let command = crate::cli::Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for flag in KEYS.iter().filter_map(|key| key.flag) {
            let known = serve.get_arguments().filter_map(clap::Arg::get_long);
            assert!(known.map(|name| format!("--{name}")).any(|name| name == flag), "{flag}");
        }
    }

    #[test]
    fn paths_have_a_section_and_are_grouped_by_it() {
        let sections = sections();
        for key in KEYS {
            assert!((1..=2).contains(&key.path.matches('.').count()), "{}", key.path);
            assert_eq!(sections.iter().filter(|name| **name == key.section()).count(), 1);
        }
    }
}
