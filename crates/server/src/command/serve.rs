//! `quarry serve`: a node of a cluster.

use quarry_ports::Host;
use quarry_types::api::Protection;

use crate::{
    cli::{Global, ServeArguments},
    configuration::{self, Loaded, Sources},
    failure::Failure,
    node::{
        Hosted, LogDefaults, Phases, Recovery, RunningNode, Signals, protection, start_telemetry,
    },
    output::Output,
    parent,
};

/// Runs the node until a signal ends it.
pub(crate) async fn run(
    arguments: &ServeArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    if let Some(parent) = arguments.parent {
        parent::die_with(parent)?;
    }
    let loaded = load(arguments, global)?;
    let settings = &loaded.settings;
    let telemetry = &settings.telemetry;
    start_telemetry(telemetry.filter.as_deref(), telemetry.format, LogDefaults::Operator, output)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if protection(settings) == Protection::Insecure {
        tracing::warn!(
            "cluster.insecure: the planes of this node go beyond loopback without TLS; anyone on \
             the way can read and change what crosses, the cookie included"
        );
    }
    let host = Host::system();
    let mut signals = Signals::listen()?;
    let mut phases = Phases::begin(&host);
    let recovery =
        if arguments.recover_coordinator { Recovery::AllVotersLost } else { Recovery::Refuse };
    let running = tokio::select! {
        started = RunningNode::start(settings, Hosted::built_in()?, recovery, &host, &mut phases) => started?,
        // Nothing was promised yet.
        () = signals.next() => return Ok(()),
    };
    phases.say(output);
    let end = tokio::select! {
        () = signals.next() => Ok(()),
        failure = running.ended() => Err(failure),
    };
    running.stop(&mut signals).await?;
    end
}

fn load(arguments: &ServeArguments, global: &Global) -> Result<Loaded, Failure> {
    let mut sources = Sources::of_process(global.config.as_deref());
    sources.flags = arguments.flags();
    Ok(configuration::load(sources)?)
}
