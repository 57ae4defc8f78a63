//! `quarry config …`.

use crate::{
    cli::{ConfigCommand, Global},
    configuration::{self, Loaded, Shown, Sources},
    failure::Failure,
    output::Output,
};

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand, global: &Global, output: Output) -> Result<(), Failure> {
    if matches!(command, ConfigCommand::Init) {
        return output.line(configuration::template().trim_end());
    }
    let loaded = configuration::load(Sources::of_process(global.config.as_deref()))?;
    for warning in &loaded.warnings {
        output.say(&format!("warning: {warning}"));
    }
    match command {
        ConfigCommand::Init | ConfigCommand::Check => check(&loaded, output),
        ConfigCommand::Show { origin: true } => {
            output.list(&["key", "value", "origin"], &loaded.shown, |shown| {
                vec![shown.key.clone(), value_of(shown), shown.origin.clone()]
            })
        }
        ConfigCommand::Show { origin: false } => {
            let facts: Vec<(&str, String)> =
                loaded.shown.iter().map(|shown| (shown.key.as_str(), value_of(shown))).collect();
            let map: std::collections::BTreeMap<&str, Option<&str>> = loaded
                .shown
                .iter()
                .map(|shown| (shown.key.as_str(), shown.value.as_deref()))
                .collect();
            output.record(&facts, &map)
        }
    }
}

fn check(loaded: &Loaded, output: Output) -> Result<(), Failure> {
    let given = loaded
        .shown
        .iter()
        .filter(|shown| !matches!(shown.origin.as_str(), "default" | "not set"))
        .count();
    let facts = [("configuration", "ok".to_owned()), ("values given", given.to_string())];
    output.record(&facts, &serde_json::json!({ "ok": true, "given": given }))
}

fn value_of(shown: &Shown) -> String {
    shown.value.clone().unwrap_or_else(|| "-".to_owned())
}
