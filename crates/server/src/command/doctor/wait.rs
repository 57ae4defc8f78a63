//! What a message waits for, or an entity.

use quarry_types::api::{Entity, EntityMemory, Message, MessageOutcome, MessageStatus};

use super::{
    facts::{EntityFacts, Facts, Json, MessageFacts},
    finding::{Finding, counted},
    place,
};

/// As many messages of an entity are listed at most.
const LISTED: usize = 100;

/// What is found of a message: what it waits for, and what hinders it.
pub(super) fn of_message(facts: &Facts, of_cluster: &[Finding], of: &MessageFacts) -> Vec<Finding> {
    let message = &of.message;
    let mut found = vec![match message.state {
        MessageStatus::Finished => finished(message),
        MessageStatus::Quarantined => set_aside(message),
        MessageStatus::Delayed => delayed(message),
        MessageStatus::Open => open(of),
    }];
    let is_pending = matches!(message.state, MessageStatus::Open | MessageStatus::Delayed);
    if let Some(entity) = of.entity.as_ref().filter(|_| is_pending) {
        found.extend(place::findings(facts, of_cluster, &entity.placement));
    }
    found.sort();
    found
}

/// A message that nobody knows.
pub(super) fn unknown(id: &str) -> Finding {
    let what = format!(
        "no message {id} is known: none was accepted under this id, or its retention is over"
    );
    Finding::warning("not_known", what).advise(
        "a message has no row before it is accepted: where its sender still waits, ask again in a \
         moment; where its sender got no answer, send it again with the same key",
    )
}

fn finished(message: &Message<Json>) -> Finding {
    let at = message.finished_at.as_deref().unwrap_or("an unknown time");
    let how = match &message.outcome {
        Some(MessageOutcome::Failure { code, message }) => format!("failed ({code}: {message})"),
        _ => "was handled".to_owned(),
    };
    Finding::notice("finished", format!("it waits for nothing: it {how} at {at}"))
}

fn set_aside(message: &Message<Json>) -> Finding {
    let id = &message.message_id;
    let what = format!("it waits for an operator: it was set aside after {}", tried(message));
    Finding::warning("quarantined", what).advise(format!(
        "`quarry message redrive {id}` lets it run again, --payload with another argument; \
         `quarry message drop {id}` ends it"
    ))
}

fn delayed(message: &Message<Json>) -> Finding {
    let due = message.due.as_deref().unwrap_or("its time");
    let what = format!("it waits for its time: it is to be handled at {due}");
    let advice = format!("`quarry message cancel {}` ends it", message.message_id);
    Finding::notice("delayed", what).advise(advice)
}

fn open(of: &MessageFacts) -> Finding {
    let message = &of.message;
    if let Some(head) = &of.head {
        return behind(of, head);
    }
    if let (Some(due), 1..) = (&message.due, message.attempts) {
        let what = format!("it waits for its next attempt at {due}, after {}", tried(message));
        return Finding::notice("backing_off", what).advise(format!(
            "mend what the error says; `quarry message cancel {}` ends it",
            message.message_id
        ));
    }
    let runs = of.entity.as_ref().and_then(|entity| entity.memory).is_some_and(|at| at.running);
    if runs {
        let what = "it is the first of its entity, whose handler runs";
        return Finding::notice("running", what)
            .advise("a handler that is stuck is ended by `quarry message cancel`");
    }
    Finding::notice("first", "it is the first of its entity, and runs next")
}

/// It waits for its turn.
fn behind(of: &MessageFacts, head: &Message<Json>) -> Finding {
    let open = of.entity.as_ref().map(|entity| entity.open.as_slice()).unwrap_or_default();
    let newer = open.iter().position(|id| *id == of.message.message_id);
    let ahead = newer.map_or(0, |newer| open.len().saturating_sub(newer + 1));
    let ahead = u64::try_from(ahead).unwrap_or(u64::MAX).max(1);
    let counted = counted(ahead, "message");
    if open.len() >= LISTED {
        let what = format!("it waits for its turn behind {counted} of its entity, or more");
        let place = of.entity.as_ref().map(|entity| &entity.placement);
        let name = place.map_or_else(String::new, |at| format!(" {}/{}", at.entity_type, at.id));
        return Finding::notice("in_line", what)
            .advise(format!("`quarry doctor entity{name}` says how its entity is"));
    }
    let why = match (&head.due, head.attempts) {
        (Some(due), 1..) => {
            format!(", which is tried again at {due} after {}", tried(head))
        }
        _ => String::new(),
    };
    let first = &head.message_id;
    let what =
        format!("it waits for its turn behind {counted} of its entity, {first} the first{why}");
    Finding::notice("in_line", what)
        .advise(format!("`quarry doctor message {first}` says what that one waits for"))
}

/// How often a message was tried, and what came of it last.
fn tried(message: &Message<Json>) -> String {
    format!("{}{}", counted(message.attempts, "attempt"), last(message))
}

/// The last error of a message, to go on with.
fn last(message: &Message<Json>) -> String {
    message.errors.last().map_or_else(String::new, |error| format!(": {error}"))
}

/// What is found of an entity.
pub(super) fn of_entity(facts: &Facts, of_cluster: &[Finding], of: &EntityFacts) -> Vec<Finding> {
    let mut found = place::findings(facts, of_cluster, &of.placement);
    if let Some(entity) = &of.entity {
        found.extend(entity.memory.map(|memory| residence(&memory)));
        found.extend(pending(entity));
        found.extend(set_aside_of(entity));
        found.extend(full(entity));
    } else {
        let what = "nothing is stored of it: it begins with its first message";
        found.push(Finding::notice("nothing_stored", what));
    }
    found.sort();
    found
}

fn residence(memory: &EntityMemory) -> Finding {
    match (memory.resident, memory.running) {
        (_, true) => Finding::notice("resident", "it is resident, and a handler of it runs"),
        (true, false) => Finding::notice("resident", "it is resident, and no handler of it runs"),
        (false, false) => {
            Finding::notice("dormant", "it is dormant: its next message loads its state")
        }
    }
}

fn pending(entity: &Entity) -> Option<Finding> {
    let (open, delayed) = (entity.open.len(), entity.delayed.len());
    if open + delayed == 0 {
        return None;
    }
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let waiting = counted(count(open), "message");
    let verb = if open == 1 { "waits" } else { "wait" };
    let error = entity
        .last_error
        .as_ref()
        .map_or_else(String::new, |error| format!("; the last error was: {error}"));
    let what = format!("{waiting} {verb} for it, and {delayed} for a time to come{error}");
    let finding = Finding::notice("pending", what);
    Some(match entity.open.last() {
        Some(first) => {
            finding.advise(format!("`quarry doctor message {first}` says what the first waits for"))
        }
        None => finding,
    })
}

fn set_aside_of(entity: &Entity) -> Option<Finding> {
    let last = entity.quarantined.first()?;
    let count = u64::try_from(entity.quarantined.len()).unwrap_or(u64::MAX);
    let what = format!("{} to it set aside, {last} the last", counted(count, "message"));
    let place = &entity.placement;
    let name = format!("{}/{}", place.entity_type, place.id);
    Some(Finding::warning("quarantined", what).advise(format!(
        "`quarry message redrive --entity {name}` lets them run again, `drop` ends them"
    )))
}

fn full(entity: &Entity) -> Option<Finding> {
    let memory = entity.memory.filter(|memory| memory.waiting >= memory.mailbox)?;
    let what = format!(
        "its mailbox is full: {} of {} messages wait, and more are refused",
        memory.waiting, memory.mailbox
    );
    Some(Finding::warning("mailbox_full", what).advise(
        "let senders go slower, end some by `quarry message cancel --entity`, or raise `mailbox` of \
         its type",
    ))
}
