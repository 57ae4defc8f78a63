//! Commands that run a node, and its configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `quarry serve`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Every flag has its key in the configuration, and its variable QUARRY_SECTION__KEY.

Examples:
  quarry serve --config quarry.toml
  quarry serve --node 2 --voters 1=h1:7411,2=h2:7411,3=h3:7411 --cluster h2:7411 --mesh h2:7412 \\
    --store postgres://quarry@db/quarry")]
pub(crate) struct ServeArguments {
    /// The number of this node
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// The coordinator's voters, as id=host:port of their control planes
    #[arg(long, value_name = "ID=HOST:PORT,…")]
    pub(crate) voters: Option<String>,
    /// Where to answer HTTP
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http: Option<String>,
    /// Where the control plane listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) cluster: Option<String>,
    /// Where the message plane listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) mesh: Option<String>,
    /// Where messages and states are stored
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Where this node keeps what is its own
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// What this node does: runner, coordinator, gateway
    #[arg(long, value_name = "ROLE,…")]
    pub(crate) roles: Option<String>,
    /// Make the coordinator anew: the data of all voters are lost, and the store is not
    #[arg(long)]
    pub(crate) recover_coordinator: bool,
    /// End when this process, which started this one, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) parent: Option<i32>,
}

impl ServeArguments {
    /// The flags that were given, as (key, flag, text).
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let given = [
            ("node.id", "--node", &self.node),
            ("cluster.voters", "--voters", &self.voters),
            ("node.http", "--http", &self.http),
            ("node.cluster", "--cluster", &self.cluster),
            ("node.mesh", "--mesh", &self.mesh),
            ("store.url", "--store", &self.store),
            ("node.data_dir", "--data", &self.data),
            ("node.roles", "--roles", &self.roles),
        ];
        given
            .into_iter()
            .filter_map(|(path, flag, text)| Some((path, flag, text.clone()?)))
            .collect()
    }
}

/// `quarry dev`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  quarry dev                     one node; keeps its data under ./.quarry
  quarry dev --nodes 3           three processes; kill one and watch its shards move
  quarry dev --nodes 3 -o json   one line that programs can read, when all are ready")]
pub(crate) struct DevArguments {
    /// How many nodes to run, each a process of its own where there are several
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
    /// The port of the API; with several nodes the first of as many; 0 for free ones
    #[arg(long, default_value_t = 7410, value_name = "PORT")]
    pub(crate) port: u16,
    /// Where to keep data [default: .quarry]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(crate) data: Option<PathBuf>,
    /// Where messages and states are stored [default: a SQLite file in the data directory]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Forget everything at the end
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Leave a node that was killed dead, instead of starting it again after 10 s
    #[arg(long)]
    pub(crate) no_restart: bool,
}

/// `quarry config …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong with the configuration, with file and line
    Check,
    /// Print a file to begin with: every key with its default and meaning
    Init,
    /// Print every key and its value; secrets as ***
    Show {
        /// Also where each value came from
        #[arg(long)]
        origin: bool,
    },
}
