//! `quarry send --batch`.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use quarry_client::{Client, ClientError, Json, SendStatus, Sent};
use quarry_types::{Address, Method, Tenant, batch::BatchMessage, in_words_of_json};
use serde::Serialize;

use super::{connection::connect, payload::sound};
use crate::{
    cli::{Format, Global, SendArguments},
    failure::{Exit, Failure},
    output::Output,
};

/// Messages of one request, and bytes of their lines: within the limits of a server.
const MESSAGES: usize = 1_000;
const BYTES: usize = 512 * 1024;

/// What became of all messages.
#[derive(Debug, Default, Serialize)]
struct Summary {
    messages: u64,
    handled: u64,
    /// Stored, and handled later.
    accepted: u64,
    /// Of those, answered before under the same key.
    replayed: u64,
    /// Ended with a final failure.
    failed: u64,
    /// Surely not done.
    refused: u64,
    /// May have been done.
    unknown: u64,
    /// Not sent, because the server was away.
    left: u64,
}

/// What became of the message of one line, for `-o jsonl`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    status: &'a str,
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A line that is a message, or is none.
type Line = (u64, Result<BatchMessage<Json>, Failure>);

/// Sends the messages of a file, one per line, and again under the same keys while nobody answers.
pub(crate) async fn run(
    file: &Path,
    arguments: &SendArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let name = file.display().to_string();
    let (reader, bytes): (Box<dyn BufRead>, Option<u64>) = if name == "-" {
        (Box::new(std::io::stdin().lock()), None)
    } else {
        let missing = |error: std::io::Error| {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let exit = if is_missing { Exit::NotFound } else { Exit::Failed };
            Failure::new(exit, format!("{name}: {error}"))
        };
        let open = File::open(file).map_err(missing)?;
        let bytes = open.metadata().map_err(missing)?.len();
        (Box::new(BufReader::new(open)), Some(bytes))
    };
    let mut sending = Sending {
        client,
        timeout: arguments.timeout,
        output,
        bar: progress(bytes),
        summary: Summary::default(),
        is_away: false,
    };
    let (mut lines, mut size) = (Vec::new(), 0);
    for (number, line) in (1_u64..).zip(reader.split(b'\n')) {
        let line = line?;
        let length = line.len() + 1;
        if !line.trim_ascii().is_empty() {
            if lines.len() == MESSAGES || (size + length > BYTES && !lines.is_empty()) {
                sending.send(std::mem::take(&mut lines)).await?;
                size = 0;
            }
            size += length;
            lines.push((number, message(&line, arguments.is_async)));
        }
        sending.bar.inc(u64::try_from(length).unwrap_or(u64::MAX));
    }
    sending.send(lines).await?;
    sending.bar.finish_and_clear();
    sending.summary.end(output)
}

fn message(line: &[u8], is_async: bool) -> Result<BatchMessage<Json>, Failure> {
    let wrong = |error: String| Failure::new(Exit::Usage, error);
    let text = std::str::from_utf8(line).map_err(|error| wrong(error.to_string()))?;
    let read = sound(text).and_then(|()| serde_json::from_str::<BatchMessage<Json>>(text));
    let mut message = read.map_err(|error| wrong(in_words_of_json(&error.to_string())))?;
    Address::parse(Tenant::default_tenant(), &message.entity)
        .and_then(|_| Method::new(&message.method))
        .map_err(|error| wrong(error.to_string()))?;
    if let Some(key) = &message.key {
        quarry_types::IdempotencyKey::new(key).map_err(|error| wrong(error.to_string()))?;
    }
    message.is_async |= is_async;
    Ok(message)
}

struct Sending {
    client: Client,
    timeout: Duration,
    output: Output,
    bar: ProgressBar,
    summary: Summary,
    /// Nobody answered: what comes is left.
    is_away: bool,
}

impl Sending {
    async fn send(&mut self, lines: Vec<Line>) -> Result<(), Failure> {
        self.summary.messages += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let (mut numbers, mut messages) = (Vec::new(), Vec::new());
        for (number, message) in lines {
            match message {
                Ok(_) if self.is_away => self.summary.left += 1,
                Ok(message) => {
                    numbers.push(number);
                    messages.push(message);
                }
                Err(failure) => {
                    self.summary.refused += 1;
                    self.tell(number, "refused", &Err(failure))?;
                }
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        let results = self.client.send_batch(messages, self.timeout, self.timeout).await?;
        for (number, result) in numbers.into_iter().zip(results) {
            let status = self.summary.count(&result);
            self.is_away |= status == "left";
            self.tell(number, status, &result.map_err(Failure::from))?;
        }
        Ok(())
    }

    /// Prints what became of a message where each has its line; says what went wrong elsewhere.
    fn tell(&self, line: u64, status: &str, result: &Result<Sent, Failure>) -> Result<(), Failure> {
        let (bar, output) = (&self.bar, self.output);
        if output.format() != Format::Jsonl {
            if let Err(failure) = result {
                let named =
                    Failure { message: format!("line {line}: {failure}"), ..failure.clone() };
                bar.suspend(|| output.say_failure(&Failure { advice: None, ..named }));
            }
            return Ok(());
        }
        let sent = result.as_ref().ok();
        let reply = sent.and_then(|sent| match &sent.status {
            SendStatus::Done(reply) => Some(reply),
            SendStatus::Accepted => None,
        });
        let told = Told {
            line,
            message_id: sent.map(|sent| sent.message_id.to_string()),
            key: sent.map(|sent| sent.key.to_string()),
            status,
            replayed: sent.is_some_and(|sent| sent.replayed),
            reply,
            error: result.as_ref().err().map(|failure| failure.message.clone()),
        };
        bar.suspend(|| output.json_line(&told))
    }
}

impl Summary {
    fn count(&mut self, result: &Result<Sent, ClientError>) -> &'static str {
        let (counter, status) = match result {
            Ok(Sent { status: SendStatus::Done(_), .. }) => (&mut self.handled, "handled"),
            Ok(Sent { status: SendStatus::Accepted, .. }) => (&mut self.accepted, "accepted"),
            Err(ClientError::Failed(_)) => (&mut self.failed, "failed"),
            Err(ClientError::Unknown { .. }) => (&mut self.unknown, "unknown"),
            Err(
                ClientError::Unreachable { .. }
                | ClientError::Unavailable { .. }
                | ClientError::Foreign { .. },
            ) => (&mut self.left, "left"),
            Err(ClientError::Refused(_) | ClientError::Invalid { .. }) => {
                (&mut self.refused, "refused")
            }
        };
        *counter += 1;
        self.replayed += u64::from(result.as_ref().is_ok_and(|sent| sent.replayed));
        status
    }

    /// Prints the counts, and fails where not all was done.
    fn end(&self, output: Output) -> Result<(), Failure> {
        let facts = [
            ("messages", self.messages),
            ("handled", self.handled),
            ("accepted", self.accepted),
            ("replayed", self.replayed),
            ("failed", self.failed),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("left", self.left),
        ];
        if output.format() != Format::Jsonl {
            output.record(&facts.map(|(name, count)| (name, count.to_string())), self)?;
        }
        let done = self.handled + self.accepted;
        if done == self.messages {
            return Ok(());
        }
        let exit = match (done, self.unknown + self.left) {
            (1.., _) => Exit::Partly,
            (0, 1..) => Exit::Unavailable,
            (0, 0) if self.failed > 0 => Exit::Failed,
            (0, 0) => Exit::Refused,
        };
        let message = format!("{done} of {} messages were done", self.messages);
        let advice = if self.refused > 0 {
            "mend the lines that were refused; of the others, those without a key of their own are \
             done once more where they are sent again"
        } else {
            "run the same command again where every line has a key of its own: what is done is not \
             done again"
        };
        Err(Failure::new(exit, message).advise(advice))
    }
}

/// A bar over the bytes of a file; a count where their number is not known.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let shape = match bytes {
        Some(_) => "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go",
        None => "{spinner} {bytes} read, {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_message_is_a_mistake_of_usage() {
        let fine = br#"{"entity": "Counter/a", "method": "add", "payload": 5, "key": "k"}"#;
        assert!(message(fine, true).unwrap().is_async);
        for line in [
            "{",
            r#"{"entity": "Counter/a"}"#,
            r#"{"entity": "Counter", "method": "add"}"#,
            r#"{"entity": "Counter/a", "method": "a d"}"#,
            r#"{"entity": "Counter/a", "method": "add", "key": ""}"#,
            r#"{"entity": "Counter/a", "method": "add", "x": 1}"#,
            r#"{"entity": "Counter/a", "method": "add", "payload": {"a": 1, "a": 2}}"#,
        ] {
            assert_eq!(message(line.as_bytes(), false).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }

    #[test]
    fn the_exit_code_says_whether_all_some_or_nothing_was_done() {
        let exit = |summary: Summary| {
            let quiet = Output::new(&crate::cli::Global {
                url: None,
                token: None,
                output: Some(Format::Jsonl),
                color: crate::cli::Colour::Never,
                config: None,
                verbose: 0,
            });
            summary.end(quiet).err().map(|failure| failure.exit)
        };
        let two = || Summary { messages: 2, ..Summary::default() };
        assert_eq!(exit(Summary { handled: 1, accepted: 1, ..two() }), None);
        assert_eq!(exit(Summary { handled: 1, refused: 1, ..two() }), Some(Exit::Partly));
        assert_eq!(exit(Summary { unknown: 1, failed: 1, ..two() }), Some(Exit::Unavailable));
        assert_eq!(exit(Summary { left: 2, ..two() }), Some(Exit::Unavailable));
        assert_eq!(exit(Summary { failed: 1, refused: 1, ..two() }), Some(Exit::Failed));
        assert_eq!(exit(Summary { refused: 2, ..two() }), Some(Exit::Refused));
        assert_eq!(exit(Summary::default()), None);
    }
}
