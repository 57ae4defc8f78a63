//! `quarry send`.

use std::io::Read;

use quarry_client::{Json, SendOptions, SendStatus, Sent};
use quarry_types::{IdempotencyKey, Keep, Method, ReplyMode, api::Accepted};

use super::{
    batch,
    connection::{address, connect},
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
    let payload = arguments.json.as_deref().map(read_payload).transpose()?;
    let client = connect(global)?;
    let sent = client
        .send_retrying(&address, &method, payload.as_ref(), options, arguments.timeout)
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

fn read_payload(text: &str) -> Result<Json, Failure> {
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin().read_to_string(&mut read)?;
        read.as_str()
    } else {
        text
    };
    serde_json::from_str(text).map_err(|error| {
        Failure::new(Exit::Usage, format!("the argument {text:?} is not JSON: {error}"))
            .advise("a text stands in double quotes, within single ones for the shell: '\"text\"'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_is_not_json_says_how_to_write_it() {
        assert_eq!(read_payload("-5").unwrap(), serde_json::json!(-5));
        let failure = read_payload("five").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("double quotes"), "{failure}");
    }
}
