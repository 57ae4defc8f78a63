//! `quarry status`: how a server is.

use quarry_types::api::{Health, HealthStatus};

use super::connection::connect;
use crate::{
    cli::{Format, Global},
    failure::{Exit, Failure},
    output::{Output, aligned},
};

/// Runs the command; a server that is not well is a failure.
pub(crate) async fn run(global: &Global, output: Output) -> Result<(), Failure> {
    let client = connect(global)?;
    let health = client.healthz().await?;
    print(&health, output)?;
    if health.status != HealthStatus::Unhealthy {
        return Ok(());
    }
    let bad: Vec<&str> = health
        .checks
        .iter()
        .filter(|check| check.status == HealthStatus::Unhealthy)
        .map(|check| check.name.as_str())
        .collect();
    Err(Failure::new(Exit::Unavailable, format!("the server is not well: {}", bad.join(", "))))
}

fn print(health: &Health, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], health);
    }
    let facts = [("status", name(health.status).to_owned()), ("shards", health.shards.to_string())];
    output.line(&format!("{}\n", aligned(&facts)))?;
    output.list(&["check", "status", "seen"], &health.checks, |check| {
        vec![check.name.clone(), name(check.status).to_owned(), check.detail.clone()]
    })
}

const fn name(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    }
}
