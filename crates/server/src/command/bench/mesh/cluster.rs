//! The nodes that are called, each a process, and the one that calls: this process, a member of the
//! cluster that owns nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use quarry_core::lease::LeaseTimes;
use quarry_ports::Host;

use crate::{
    cli::DevArguments,
    command::{
        bench::run::ORIGIN,
        dev::{DevNode, Fleet, Layout, Plan},
    },
    configuration::{self, Sources},
    failure::{Exit, Failure},
    node::{self, Hosted, Phases, Recovery, RunningNode, Signals},
    output::Output,
};

/// How long the nodes may take until all are ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long handlers may go on at the end; those of the bench end at once.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Nodes in processes of their own.
pub(super) struct Cluster {
    layout: Layout,
    config: PathBuf,
    fleet: Fleet,
}

impl Cluster {
    /// Starts `nodes` nodes that keep their files in `directory`.
    pub(super) fn start(
        nodes: u64,
        (directory, url): (&Path, &str),
        host: &Host,
        output: Output,
    ) -> Result<Self, Failure> {
        let arguments = DevArguments {
            nodes,
            port: 0,
            data: None,
            store: Some(url.to_owned()),
            ephemeral: false,
            no_restart: true,
        };
        let layout = Layout::choose(&arguments, &directory.join("nodes"), host)?;
        let config = layout.data.join("quarry.toml");
        std::fs::write(&config, format!("[node]\ndrain_time = \"{}s\"\n", DRAIN_TIME.as_secs()))?;
        let lease = LeaseTimes::leader_span(LeaseTimes::USUAL_TTL);
        let plan = Plan {
            layout: &layout,
            config: &config,
            restarts: false,
            drain_time: DRAIN_TIME,
            lease,
        };
        let fleet = Fleet::start(&plan, host, output)?;
        Ok(Self { layout, config, fleet })
    }

    /// The processes of the nodes.
    pub(super) fn processes(&self) -> Vec<u32> {
        let pid = |node: &DevNode| u32::try_from(self.fleet.pid(node.id)).ok();
        self.layout.nodes.iter().filter_map(pid).collect()
    }

    /// Waits until a node has ended by itself; why.
    pub(super) async fn failed(&self) -> Failure {
        let end = self.fleet.first_end().await;
        Failure::new(Exit::Failed, format!("a node of the bench did not stay: {end}"))
    }

    /// Makes this process a member that routes and owns nothing, once all nodes are ready.
    pub(super) async fn join(&self, host: &Host) -> Result<RunningNode, Failure> {
        let urls: Vec<String> = self.layout.nodes.iter().map(DevNode::url).collect();
        node::until_all_ready(&urls, READY_WITHIN).await?;
        // The environment counts for all of them, or for none.
        let mut sources = Sources::of_process(Some(&self.config));
        let number = self.layout.nodes.len() + 1;
        for (path, text) in [
            ("node.id", number.to_string()),
            ("node.roles", "gateway".to_owned()),
            (
                "node.data_dir",
                self.layout.data.join(format!("node-{number}")).display().to_string(),
            ),
            ("node.http", "127.0.0.1:0".to_owned()),
            ("node.cluster", "127.0.0.1:0".to_owned()),
            ("node.mesh", "127.0.0.1:0".to_owned()),
            ("cluster.voters", self.layout.voters()),
            ("cluster.cookie_file", self.layout.cookie_file.display().to_string()),
            ("cluster.weight", "0".to_owned()),
            ("store.url", self.layout.store.clone()),
        ] {
            sources.flags.push((path, ORIGIN, text));
        }
        let settings = configuration::load(sources)?.settings;
        let hosted = Hosted::built_in()?;
        let mut phases = Phases::begin(host);
        let running =
            RunningNode::start(&settings, hosted, Recovery::Refuse, host, &mut phases).await?;
        running.until_ready(READY_WITHIN).await?;
        Ok(running)
    }

    /// Ends the nodes; at once where a signal comes.
    pub(super) async fn stop(self, signals: &mut Signals) {
        self.fleet.stop(signals).await;
    }
}
