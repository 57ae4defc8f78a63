//! `quarry send`.

use quarry_client::{SendOptions, SendStatus, Sent};
use quarry_types::{IdempotencyKey, Keep, Method, ReplyMode, api::Accepted};

use super::{
    batch,
    connection::{address, connect},
    payload::read_payload,
};
use crate::{
    cli::{Format, Global, SendArguments},
    failure::{Exit, Failure},
    output::Output,
};

/// Sends the message, again under the same key while nobody answers, and prints the reply.
pub(crate) async fn run(
    arguments: &SendArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error.to_string());
    if let Some(file) = &arguments.batch {
        return batch::run(file, arguments, global, output).await;
    }
    // The command line has both where it has no file.
    let address = address(arguments.entity.as_deref().unwrap_or_default())?;
    let method = Method::new(arguments.method.as_deref().unwrap_or_default());
    let method = method.map_err(|error| usage(&error))?;
    let key = arguments.key.as_deref().map(IdempotencyKey::new).transpose();
    let options = SendOptions {
        key: key.map_err(|error| usage(&format!("--key: {error}")))?,
        reply: if arguments.is_async { ReplyMode::Accepted } else { ReplyMode::Outcome },
        delay: arguments.delay,
        keep: if arguments.is_discarded { Keep::Key } else { Keep::Everything },
        timeout: arguments.timeout,
    };
    let payload = arguments.json.as_deref().map(|json| read_payload("JSON", json)).transpose()?;
    let client = connect(global)?;
    let sent = client
        .send_retrying(&address, &method, payload.as_deref(), options, arguments.timeout)
        .await?;
    print(&sent, output)
}

fn print(sent: &Sent, output: Output) -> Result<(), Failure> {
    let id = sent.message_id;
    match &sent.status {
        SendStatus::Done(reply) => {
            let how = if sent.replayed { "answered before" } else { "handled" };
            output.say_more(&format!("message {id} {how}, key {}", sent.key));
            if output.format() == Format::Table {
                output.json_line(reply)
            } else {
                output.record(&[], reply)
            }
        }
        SendStatus::Accepted => {
            let facts = [("message", id.to_string()), ("key", sent.key.to_string())];
            let accepted = Accepted { message_id: id.to_string(), replayed: sent.replayed };
            output.record(&facts, &accepted)?;
            output.say_more(&format!("its end: quarry message show {id} --wait 30s"));
            Ok(())
        }
    }
}
