//! `quarry message …`.

use quarry_client::{Json, MessageQuery};
use quarry_types::{
    Address, MessageId,
    api::{Message, MessageOutcome, MessageStatus},
};

use super::{
    connection::{address, connect},
    operate,
};
use crate::{
    cli::{Global, MessageCommand, MessageListArguments, MessageStateArgument},
    failure::{Exit, Failure},
    output::Output,
};

/// The most that a server gives at a time.
const PAGE: u32 = 100;

/// Runs the command.
pub(crate) async fn run(
    command: &MessageCommand,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    match command {
        MessageCommand::Cancel(arguments) => operate::cancel(arguments, global, output).await,
        MessageCommand::Redrive(arguments) => operate::redrive(arguments, global, output).await,
        MessageCommand::Drop(arguments) => operate::drop_messages(arguments, global, output).await,
        MessageCommand::Ls(arguments) => list(arguments, global, output).await,
        MessageCommand::Show { id, wait } => {
            let id: MessageId = id.parse().map_err(|error| {
                Failure::new(Exit::Usage, format!("{id:?} is no message id: {error}"))
            })?;
            let message = connect(global)?.message(id, *wait).await?;
            output.record(&facts(&message), &message)
        }
    }
}

async fn list(
    arguments: &MessageListArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let mut query = MessageQuery {
        state: arguments.state.map(MessageStateArgument::status),
        entity: arguments.entity.as_deref().map(filter).transpose()?,
        ..MessageQuery::default()
    };
    let mut messages: Vec<Message<Json>> = Vec::new();
    loop {
        let known = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        query.limit = Some(arguments.limit.saturating_sub(known).min(PAGE));
        let page = client.messages(&query).await?;
        messages.extend(page.items);
        let known = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        query.cursor = page.next;
        if query.cursor.is_none() || known >= arguments.limit {
            break;
        }
    }
    output.list(&["message", "entity", "method", "state", "attempts", "accepted"], &messages, |m| {
        vec![
            m.message_id.clone(),
            format!("{}/{}", m.entity_type, m.id),
            m.method.clone(),
            state_of(m),
            m.attempts.to_string(),
            m.accepted_at.clone(),
        ]
    })
}

fn filter(entity: &str) -> Result<Address, Failure> {
    address(entity)
        .map_err(|failure| Failure { message: format!("--entity: {}", failure.message), ..failure })
}

fn facts(message: &Message<Json>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("message", message.message_id.clone()),
        ("entity", format!("{}/{}", message.entity_type, message.id)),
        ("method", message.method.clone()),
        ("key", message.key.clone()),
        ("state", state_of(message)),
        ("attempts", message.attempts.to_string()),
        ("accepted", message.accepted_at.clone()),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("due", message.due.clone());
    add("held up by", message.held_up_by.clone());
    add("finished", message.finished_at.clone());
    add("payload", message.payload.as_ref().map(Json::to_string));
    add("edited", message.edited.as_ref().map(Json::to_string));
    match &message.outcome {
        Some(MessageOutcome::Success { reply }) => add("reply", Some(reply.to_string())),
        Some(MessageOutcome::Failure { code, message }) => {
            add("failure", Some(format!("{code}: {message}")));
        }
        None => {}
    }
    for error in &message.errors {
        add("error", Some(error.clone()));
    }
    facts
}

fn state_of(message: &Message<Json>) -> String {
    match (message.state, &message.outcome) {
        (MessageStatus::Open, _) => "open",
        (MessageStatus::Delayed, _) => "delayed",
        (MessageStatus::Quarantined, _) => "quarantined",
        (MessageStatus::Finished, Some(MessageOutcome::Failure { .. })) => "failed",
        (MessageStatus::Finished, _) => "finished",
    }
    .to_owned()
}
