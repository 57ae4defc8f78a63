//! `quarry journal …`.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use quarry_client::{JournalQuery, Json};
use quarry_types::stream::{Entry, JournalTold, Stopped};

use super::connection::connect;
use crate::{
    cli::{Format, Global, JournalArguments, JournalCommand},
    failure::{Exit, Failure},
    output::Output,
};

/// How many entries are asked for at a time.
const PAGE: u32 = 1_000;
/// For how long a server may be away while its journal is followed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) async fn run(
    command: &JournalCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    match command {
        JournalCommand::Ls(arguments) => list(arguments, global, output).await,
        JournalCommand::Tail(arguments) => tail(arguments, global, output).await,
        JournalCommand::Destroy { stream } => {
            connect(global)?.destroy_journal(stream).await?;
            output.say(&format!("destroyed what was recorded in {stream}"));
            Ok(())
        }
    }
}

fn query(arguments: &JournalArguments) -> JournalQuery {
    JournalQuery {
        after: arguments.after,
        kind: arguments.kind.clone(),
        request_id: arguments.request_id.clone(),
        limit: Some(PAGE),
    }
}

async fn list(
    arguments: &JournalArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let (client, mut query) = (connect(global)?, query(arguments));
    let mut entries: Vec<Entry<Json>> = Vec::new();
    loop {
        let page = client.journal(&arguments.stream, &query).await?;
        entries.extend(page.items);
        let Some(next) = page.next else { break };
        query.after = Some(next.parse().map_err(anyhow::Error::from)?);
    }
    output.list(&["number", "time", "type", "what"], &entries, |entry| {
        vec![entry.sequence.to_string(), entry.time.clone(), entry.kind.clone(), what(entry)]
    })
}

async fn tail(
    arguments: &JournalArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let mut told = pin!(client.follow_journal(&arguments.stream, &query(arguments), PATIENCE));
    while let Some(next) = told.next().await {
        match next? {
            JournalTold::Entry(entry) if output.format() == Format::Table => {
                let Entry { sequence, time, kind, .. } = &entry;
                output.line(&format!("{sequence:>5}  {time}  {kind:20}  {}", what(&entry)))?;
            }
            JournalTold::Entry(entry) => output.json_line(&entry)?,
            JournalTold::Stopped(Stopped::Error(broken)) => {
                let message = format!("{} ({})", broken.detail, broken.code);
                return Err(Failure::new(Exit::Unavailable, message));
            }
        }
    }
    Ok(())
}

/// What an entry says beside its type, on one line.
fn what(entry: &Entry<Json>) -> String {
    const MOST: usize = 80;
    let Json::Object(members) = &entry.data else { return entry.data.to_string() };
    let said: Vec<String> = members
        .iter()
        .filter(|(name, _)| *name != "type")
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let said = said.join(", ");
    if said.chars().count() <= MOST {
        return said;
    }
    said.chars().take(MOST - 1).chain(['…']).collect()
}
