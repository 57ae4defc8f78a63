//! Log lines, on stderr.

use tracing_subscriber::EnvFilter;

use crate::{
    configuration::LogFormat,
    failure::{Exit, Failure},
    output::Output,
};

/// Libraries whose own chatter no operator acts on: what matters of it is said by the parts that
/// use them. `ractor_cluster` logs payloads at debug level.
const QUIET: &str = "ractor=warn,ractor_cluster=error,openraft=error,openraft::raft=off,sqlx=warn,\
                     tonic=warn,h2=warn,hyper=warn,hyper_util=warn,tower=warn,rustls=warn";

/// What is logged where nothing says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogDefaults {
    /// What an operator would act on.
    Operator,
    /// Only what is wrong: somebody looks at a terminal.
    Person,
}

/// Starts logging as the settings and `-v` say.
///
/// # Errors
/// Where the directives are wrong.
pub(crate) fn start_telemetry(
    filter: Option<&str>,
    format: LogFormat,
    defaults: LogDefaults,
    output: Output,
) -> Result<(), Failure> {
    let directives = filter.map_or_else(|| usual(defaults, output.verbosity()), str::to_owned);
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::new(Exit::Usage, format!("telemetry.filter {directives:?} is wrong: {error}"))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output.is_coloured());
    let started = match format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format!("logging did not start: {error}")))
}

fn usual(defaults: LogDefaults, verbosity: u8) -> String {
    let level = match (defaults, verbosity) {
        (LogDefaults::Person, 0) => "warn",
        (LogDefaults::Operator, 0) | (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    format!("{level},{QUIET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_directives_are_right() {
        for verbosity in 0..4 {
            for defaults in [LogDefaults::Operator, LogDefaults::Person] {
                assert!(EnvFilter::try_new(usual(defaults, verbosity)).is_ok());
            }
        }
    }
}
