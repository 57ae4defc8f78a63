//! Runs development nodes until a signal ends them.

use std::{path::PathBuf, time::Duration};

use quarry_core::lease::LeaseTimes;
use quarry_ports::Host;

use super::{
    banner,
    fleet::{Fleet, Plan},
    layout::{DevNode, Layout},
};
use crate::{
    cli::{DevArguments, Format, Global},
    configuration::{self, Layer, Settings, Sources},
    failure::{Exit, Failure},
    node::{self, Hosted, LogDefaults, Phases, Recovery, RunningNode, Signals},
    output::Output,
};

/// How long several nodes may take until all are ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long handlers may go on at the end.
const DRAIN_TIME: &str = "3s";
/// Where values that the command itself chooses are said to come from.
const ORIGIN: &str = "quarry dev";

/// Runs the command.
pub(crate) async fn run(
    arguments: &DevArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let host = Host::system();
    let mut phases = Phases::begin(&host);
    let mut signals = Signals::listen()?;
    // A mistake of the user's is told before anything is made or taken.
    configuration::load(given(arguments, global))?;
    let temporary = arguments.ephemeral.then(tempfile::tempdir).transpose()?;
    let data = temporary.as_ref().map_or_else(
        || arguments.data.clone().unwrap_or_else(|| default_data(arguments.nodes)),
        |directory| directory.path().to_path_buf(),
    );
    let layout = Layout::choose(arguments, &data, &host)?;
    phases.mark("ports");
    let dev = Dev { arguments, global, layout: &layout, output };
    if arguments.nodes == 1 {
        dev.run_one(&host, phases, &mut signals).await?;
    } else {
        dev.run_several(&host, &mut signals).await?;
    }
    Ok(())
}

/// What the user chose: by file, environment and flags.
fn given(arguments: &DevArguments, global: &Global) -> Sources {
    let mut sources =
        Sources { file: global.config.clone(), ..Sources::of_process(global.config.as_deref()) };
    let store = arguments.store.clone();
    sources.flags.extend(store.map(|store| ("store.url", "--store", store)));
    sources
}

fn default_data(nodes: u64) -> PathBuf {
    let data = PathBuf::from(".quarry");
    if nodes == 1 { data } else { data.join(format!("nodes-{nodes}")) }
}

struct Dev<'a> {
    arguments: &'a DevArguments,
    global: &'a Global,
    layout: &'a Layout,
    output: Output,
}

impl Dev<'_> {
    async fn run_one(
        &self,
        host: &Host,
        mut phases: Phases,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let node = self.layout.nodes.first().ok_or_else(|| anyhow::anyhow!("no node to run"))?;
        let settings = self.settings(node)?;
        let telemetry = &settings.telemetry;
        node::start_telemetry(
            telemetry.filter.as_deref(),
            telemetry.format,
            LogDefaults::Person,
            self.output,
        )?;
        let hosted = Hosted::built_in()?;
        let starting = RunningNode::start(&settings, hosted, Recovery::Refuse, host, &mut phases);
        let running = tokio::select! {
            started = starting => started?,
            // Nothing was promised yet.
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            ready = running.until_ready(READY_WITHIN) => ready?,
            () = signals.next() => return running.stop(signals).await,
        }
        phases.mark("ready");
        phases.say(self.output);
        self.announce(|_| i64::from(std::process::id()))?;
        let end = tokio::select! {
            () = signals.next() => Ok(()),
            failure = running.ended() => Err(failure),
        };
        running.stop(signals).await?;
        end
    }

    async fn run_several(&self, host: &Host, signals: &mut Signals) -> Result<(), Failure> {
        let first = self.layout.nodes.first().ok_or_else(|| anyhow::anyhow!("no node to run"))?;
        let settings = self.settings(first)?;
        let config = self.config_file()?;
        let plan = Plan {
            layout: self.layout,
            config: &config,
            restarts: !self.arguments.no_restart,
            drain_time: settings.node.drain_time,
            lease: LeaseTimes::leader_span(settings.cluster.lease_ttl),
        };
        let fleet = Fleet::start(&plan, host, self.output)?;
        let urls: Vec<String> = self.layout.nodes.iter().map(DevNode::url).collect();
        let ready = tokio::select! {
            ready = node::until_all_ready(&urls, READY_WITHIN) => ready,
            end = fleet.first_end() => {
                Err(Failure::new(Exit::Failed, format!("a node did not start: {end}")))
            }
            () = signals.next() => {
                fleet.stop(signals).await;
                return Ok(());
            }
        };
        if let Err(failure) = ready {
            fleet.stop(signals).await;
            return Err(failure);
        }
        self.announce(|id| i64::from(fleet.pid(id)))?;
        signals.next().await;
        fleet.stop(signals).await;
        Ok(())
    }

    /// The configuration of `node`: what the command chooses wins over the file and the
    /// environment, as flags do.
    fn settings(&self, node: &DevNode) -> Result<Settings, Failure> {
        let mut sources = given(self.arguments, self.global);
        sources.presets = self.presets()?;
        if self.arguments.store.is_none() {
            sources.flags.push(("store.url", ORIGIN, self.layout.store.clone()));
        }
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        for (path, text) in [
            ("node.id", node.id.to_string()),
            ("node.data_dir", node.directory.display().to_string()),
            ("node.http", loopback(node.http)),
            ("node.cluster", loopback(node.cluster)),
            ("node.mesh", loopback(node.mesh)),
            ("cluster.voters", self.layout.voters()),
        ] {
            sources.flags.push((path, ORIGIN, text));
        }
        Ok(configuration::load(sources)?.settings)
    }

    fn presets(&self) -> Result<Layer, Failure> {
        let mut layer = Layer::default();
        let cookie_file = self.layout.cookie_file.display().to_string();
        for (path, text) in
            [("cluster.cookie_file", cookie_file.as_str()), ("node.drain_time", DRAIN_TIME)]
        {
            layer
                .set(path, text, ORIGIN)
                .map_err(|mistake| Failure::new(Exit::Failed, mistake.to_string()))?;
        }
        Ok(layer)
    }

    /// The file that the nodes read: the one that was named, or one of the command's own. Nodes that
    /// end together have nobody to hand their shards to, so that they need not wait for long.
    fn config_file(&self) -> Result<PathBuf, Failure> {
        let file = self.layout.data.join("quarry.toml");
        let cookie_file = self.layout.cookie_file.display().to_string();
        let node = toml::Table::from_iter([("drain_time".to_owned(), DRAIN_TIME.into())]);
        let cluster = toml::Table::from_iter([("cookie_file".to_owned(), cookie_file.into())]);
        let document = toml::Table::from_iter([
            ("node".to_owned(), toml::Value::from(node)),
            ("cluster".to_owned(), toml::Value::from(cluster)),
        ]);
        std::fs::write(&file, document.to_string())?;
        Ok(self.global.config.clone().unwrap_or(file))
    }

    fn announce(&self, pid: impl Fn(u64) -> i64) -> Result<(), Failure> {
        if self.global.output.is_some_and(|format| format != Format::Table) {
            return banner::print_json(self.layout, pid, self.output);
        }
        let count = self.layout.nodes.len();
        let mode = match (count, self.arguments.ephemeral) {
            (1, false) => "one node".to_owned(),
            (1, true) => "one node, ephemeral".to_owned(),
            (_, false) => format!("{count} nodes"),
            (_, true) => format!("{count} nodes, ephemeral"),
        };
        banner::print_lines(self.layout, &mode, self.output)
    }
}
