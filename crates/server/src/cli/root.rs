//! The commands, and what all of them understand.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::{
    BenchCommand, ClusterCommand, ConfigCommand, DevArguments, DoctorArguments, EntityCommand,
    ExtractArguments, IngestArguments, JournalCommand, MessageCommand, OntologyCommand,
    PlacementCommand, SendArguments, ServeArguments, SimArguments,
};

const EXAMPLES: &str = "\
Begin:
  quarry dev                                  one node on this machine, nothing else needed
  quarry send Counter/c1 add 5                a message to an entity
  quarry extract article.txt --ontology film  a text to a graph, with or without a server
  quarry cluster status                       who owns what

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused by state or conflict,
5 unavailable, time-out or unknown, 6 partly done.";

/// Durable entities and knowledge graphs on a cluster of one binary.
#[derive(Debug, Parser)]
#[command(
    name = "quarry",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    infer_long_args = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The server to ask [default: port 7410 of this machine]
    #[arg(long, global = true, env = "QUARRY_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The bearer token to show it
    #[arg(long, global = true, env = "QUARRY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// How to print [default: table on a terminal, json in a pipe]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Whether to colour what is said
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
    /// The configuration file [default: quarry.toml where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say more; twice and thrice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Jsonl,
}

/// When what is said is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a development node, or several, on this machine
    Dev(DevArguments),
    /// Run a node of a cluster
    Serve(ServeArguments),
    /// Send a message to an entity
    Send(SendArguments),
    /// Look at messages
    #[command(subcommand)]
    Message(MessageCommand),
    /// Look at entities
    #[command(subcommand)]
    Entity(EntityCommand),
    /// Look at the cluster, and move shards off a node
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Where entities live, and why
    #[command(subcommand)]
    Placement(PlacementCommand),
    /// Turn texts into a knowledge graph
    Extract(ExtractArguments),
    /// Send many documents to a server
    Ingest(IngestArguments),
    /// Look at ontologies, check and measure packs
    #[command(subcommand)]
    Ontology(OntologyCommand),
    /// Look at what entities recorded
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Whether a server is well
    Status,
    /// What is wrong, and what to do
    Doctor(DoctorArguments),
    /// Measure on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Simulate clusters whose parts fail, and check what is promised
    Sim(SimArguments),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  quarry completions bash > ~/.local/share/bash-completion/completions/quarry"
    )]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_a_newcomer_types_is_understood() {
        for line in [
            "quarry dev",
            "quarry dev --nodes 3 -o json --ephemeral --port 0 --no-restart",
            "quarry serve --node 1 --voters 1=a:1,2=b:2 --http 127.0.0.1:1 --cluster a:1 --mesh a:2 --roles runner",
            "quarry send Counter/c1 add 5",
            "quarry send Counter/c1 add -5 --key k --async --timeout 5s",
            "quarry send --batch messages.jsonl --async --timeout 1m",
            "quarry send --batch -",
            "quarry -o json message ls --state open",
            "quarry message show 01890000-0000-7000-8000-000000000000 --wait 3s",
            "quarry entity ls --type Counter",
            "quarry cluster status --url http://127.0.0.1:1",
            "quarry cluster drain 2",
            "quarry cluster drain 2 3 --wait=30s",
            "quarry cluster undrain 2,3",
            "quarry cluster plan --if-lost 2 --if-lost 3",
            "quarry cluster moves -o json",
            "quarry cluster split-shard 17 -o json",
            "quarry placement explain Counter/c1",
            "quarry cluster certs --out certs --nodes 1,2,3 --days 30",
            "quarry extract a.txt b.txt --ontology film --format json",
            "quarry extract a.txt --ontology ./bees.toml --stream",
            "quarry ingest articles more.jsonl --ontology company --concurrency 16",
            "quarry ontology ls",
            "quarry ontology check a.toml b.json -o json",
            "quarry ontology eval film --data held-out.jsonl --differences",
            "quarry journal ls extraction:r1 --after 5 --type fact_found",
            "quarry journal tail Counter/c1 --request r1 -o jsonl",
            "quarry journal destroy extraction:r1",
            "quarry bench durable --concurrency 1,64 --seconds 1 --store postgres://x",
            "quarry sim --seed 7 --minutes 10 --nodes 5",
            "quarry sim --seed 0 --seeds 1000 -o json",
            "quarry doctor",
            "quarry doctor message 01890000-0000-7000-8000-000000000000 -o json",
            "quarry doctor entity Counter/c1",
            "quarry config show --origin",
            "quarry completions zsh",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_is_answered_with_a_suggestion() {
        let error = Cli::try_parse_from(["quarry", "clutser", "status"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
        assert!(error.to_string().contains("cluster"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
