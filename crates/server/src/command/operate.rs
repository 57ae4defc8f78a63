//! `quarry message cancel`, `redrive` and `drop`.

use indicatif::ProgressBar;
use quarry_client::{BulkIntervention, Client, ClientError, Json};
use quarry_types::{
    MessageId,
    api::{MessageOutcome, MessageStatus},
    operate::{Bulk, Filter, Intervened},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{connection::connect, payload::read_payload};
use crate::{
    cli::{
        CancelArguments, DropArguments, Global, MeantArguments, MessageStateArgument,
        RedriveArguments,
    },
    failure::{Exit, Failure},
    output::Output,
};

/// What is done, and to which messages where it is done to many.
struct Act {
    intervention: BulkIntervention,
    state: Option<MessageStatus>,
    payload: Option<Box<RawValue>>,
}

/// Ends messages.
pub(crate) async fn cancel(
    arguments: &CancelArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let state = arguments.state.map(MessageStateArgument::status);
    let act = Act { intervention: BulkIntervention::Cancel, state, payload: None };
    run(act, &arguments.meant, global, output).await
}

/// Lets messages run again.
pub(crate) async fn redrive(
    arguments: &RedriveArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let payload = arguments.payload.as_deref();
    let payload = payload.map(|json| read_payload("--payload", json)).transpose()?;
    let state = Some(MessageStatus::Quarantined);
    let act = Act { intervention: BulkIntervention::Redrive, state, payload };
    run(act, &arguments.meant, global, output).await
}

/// Ends messages that are set aside.
pub(crate) async fn drop_messages(
    arguments: &DropArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let state = Some(MessageStatus::Quarantined);
    let act = Act { intervention: BulkIntervention::Drop, state, payload: None };
    run(act, &arguments.meant, global, output).await
}

async fn run(
    act: Act,
    meant: &MeantArguments,
    global: &Global,
    output: Output,
) -> Result<(), Failure> {
    let client = connect(global)?;
    let Some(id) = &meant.id else { return act.on_many(&client, meant, output).await };
    let id: MessageId = id
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format!("{id:?} is no message id: {error}")))?;
    let timeout = meant.timeout;
    let done = match act.intervention {
        BulkIntervention::Cancel => client.cancel(id, timeout).await?,
        BulkIntervention::Redrive => client.redrive(id, act.payload, timeout).await?,
        BulkIntervention::Drop => client.drop_message(id, timeout).await?,
    };
    output.record(&facts(&done), &done)
}

fn facts(done: &Intervened<Json>) -> Vec<(&'static str, String)> {
    let state = match done.state {
        MessageStatus::Open => "open",
        MessageStatus::Delayed => "delayed",
        MessageStatus::Quarantined => "quarantined",
        MessageStatus::Finished => "finished",
    };
    let mut facts = vec![("message", done.message_id.clone()), ("state", state.to_owned())];
    if let Some(MessageOutcome::Failure { code, message }) = &done.outcome {
        facts.push(("failure", format!("{code}: {message}")));
    }
    facts
}

/// What came of all pages.
#[derive(Debug, Default, Serialize)]
struct Summary {
    matched: u64,
    done: u64,
    refused: u64,
    unknown: u64,
    /// Where another run goes on, where this one was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// `error` with the flag that is at fault in place of the member that it became.
fn by_flag(error: ClientError) -> Failure {
    let flag = match error.problem().and_then(|problem| problem.field.as_deref()) {
        Some("filter.entity" | "entity") => "--entity",
        Some("filter.type" | "type") => "--type",
        Some("filter.before") => "--before",
        Some("filter.olderThan") => "--older-than",
        Some("filter.state") => "--state",
        Some("cursor") => "--cursor",
        _ => return error.into(),
    };
    let field = error.problem().and_then(|problem| problem.field.clone()).unwrap_or_default();
    let failure = Failure::from(error);
    let message = match failure.message.strip_prefix(&format!("{field}: ")) {
        Some(reason) => format!("{flag}: {reason}"),
        None => format!("{flag}: {}", failure.message),
    };
    Failure { message, ..failure }
}

impl Act {
    /// Refuses what does not say which messages are meant.
    fn check(&self, meant: &MeantArguments) -> Result<(), Failure> {
        let MeantArguments { entity, entity_type, before, older_than, error, .. } = meant;
        let filters = [entity, entity_type, before, older_than, error];
        let is_filtered = filters.iter().any(|filter| filter.is_some());
        let named_state = self.state.is_some() && self.intervention == BulkIntervention::Cancel;
        if is_filtered || named_state || (meant.all && self.state.is_some()) {
            return Ok(());
        }
        let what = if meant.all {
            "--all alone would mean every message there is"
        } else {
            "which messages are meant?"
        };
        let state =
            if self.intervention == BulkIntervention::Cancel { "--state, " } else { "--all, " };
        let advice = format!(
            "name one by its id, or several by {state}--entity, --type, --before, --older-than \
             or --error"
        );
        Err(Failure::new(Exit::Usage, what).advise(advice))
    }

    async fn on_many(
        &self,
        client: &Client,
        meant: &MeantArguments,
        output: Output,
    ) -> Result<(), Failure> {
        self.check(meant)?;
        let mut bulk = Bulk {
            filter: Filter {
                state: self.state,
                entity: meant.entity.clone(),
                entity_type: meant.entity_type.clone(),
                before: meant.before.clone(),
                older_than: meant.older_than.clone(),
                error: meant.error.clone(),
            },
            limit: None,
            cursor: meant.cursor.clone(),
            dry_run: meant.dry_run,
        };
        let bar = ProgressBar::new_spinner();
        let mut summary = Summary::default();
        let cut = loop {
            let page = match client.act_on_many(self.intervention, &bulk, meant.timeout).await {
                Ok(page) => page,
                Err(error) => {
                    summary.cursor = bulk.cursor.take();
                    break Some(by_flag(error));
                }
            };
            summary.matched += u64::from(page.matched);
            summary.done += u64::from(page.done);
            summary.refused += u64::from(page.refused);
            summary.unknown += u64::from(page.unknown);
            for problem in &page.problems {
                let (id, why) = (&problem.message_id, &problem.problem);
                bar.suspend(|| output.say(&format!("{id}: {} ({})", why.detail, why.code)));
            }
            bar.set_message(format!("{} of {} done", summary.done, summary.matched));
            bar.tick();
            bulk.cursor = page.next;
            if bulk.cursor.is_none() {
                break None;
            }
        };
        bar.finish_and_clear();
        summary.end(cut, meant.dry_run, output)
    }
}

impl Summary {
    /// Prints the counts, and fails where not all was done.
    fn end(&self, cut: Option<Failure>, dry_run: bool, output: Output) -> Result<(), Failure> {
        let facts = [
            ("matched", self.matched),
            ("done", self.done),
            ("refused", self.refused),
            ("unknown", self.unknown),
        ];
        let is_empty = self.matched == 0;
        if cut.is_none() || !is_empty {
            let shown = facts.map(|(name, count)| (name, count.to_string()));
            output.record(&shown, self)?;
        }
        match (cut, &self.cursor) {
            (Some(failure), _) if is_empty => return Err(failure),
            (Some(failure), Some(cursor)) => {
                let exit = if self.done > 0 { Exit::Partly } else { failure.exit };
                let advice = format!("go on with the same command and --cursor {cursor}");
                return Err(Failure { exit, ..failure }.advise(advice));
            }
            (Some(failure), None) => return Err(failure),
            (None, _) => {}
        }
        if dry_run || self.done == self.matched {
            return Ok(());
        }
        let exit = match (self.done, self.unknown) {
            (1.., _) => Exit::Partly,
            (0, 1..) => Exit::Unavailable,
            (0, 0) => Exit::Refused,
        };
        let message = format!("{} of {} messages were done", self.done, self.matched);
        Err(Failure::new(exit, message).advise("run the same command again for what is left"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_whether_all_some_or_nothing_was_done() {
        let quiet = Output::new(&Global {
            url: None,
            token: None,
            output: Some(crate::cli::Format::Json),
            color: crate::cli::Colour::Never,
            config: None,
            verbose: 0,
        });
        let exit = |summary: Summary, cut: Option<Exit>, dry_run| {
            let cut = cut.map(|exit| Failure::new(exit, "no server answered"));
            summary.end(cut, dry_run, quiet).err().map(|failure| failure.exit)
        };
        let two = |done| Summary { matched: 2, done, refused: 2 - done, ..Summary::default() };
        assert_eq!(exit(two(2), None, false), None);
        assert_eq!(exit(two(1), None, false), Some(Exit::Partly));
        assert_eq!(exit(two(0), None, false), Some(Exit::Refused));
        assert_eq!(exit(two(0), None, true), None);
        assert_eq!(exit(Summary::default(), None, false), None);
        let unknown = Summary { matched: 1, unknown: 1, ..Summary::default() };
        assert_eq!(exit(unknown, None, false), Some(Exit::Unavailable));
        let cut = Summary { cursor: Some("c".to_owned()), ..two(2) };
        assert_eq!(exit(cut, Some(Exit::Unavailable), false), Some(Exit::Partly));
        assert_eq!(exit(Summary::default(), Some(Exit::Usage), false), Some(Exit::Usage));
    }
}
