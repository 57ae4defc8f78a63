//! `/v1/journal/{stream}`: what an entity recorded, from any number on, and as it records it.

use std::{collections::VecDeque, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use quarry_ports::{JournalEntry, JournalQuery, MessageFilter, MessageStateKind, StoreError};
use quarry_types::{Address, Delivery, MessageId, api, stream::Entry};

use super::{
    chunks::broken,
    form::{Event, Form},
    position::not_ours,
    tail::PAGE,
};
use crate::{
    Code, Gateway, Problem,
    dispatch::{SENDING, Terms, dispatch},
    extractions::{self, method},
    messages::{Raw, raw},
    placement::address,
    request::{NoBody, PathOf, Query, last_event_id},
    time::rfc3339,
    trace::Trace,
};

/// The kind of streams that extractions write.
const EXTRACTION: &str = "extraction";
/// Removes what was recorded.
const DESTROY: &str = "DestroyJournal";
/// For how long nothing is looked at while nothing is heard.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A page of entries; or all of them, one after the other, and then those to come.
pub(crate) async fn read(
    State(gateway): State<Gateway>,
    PathOf(name): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let parameters = ["after", "type", "requestId", "follow", "limit"];
    let query = Query::parse(uri.query(), &parameters)?;
    let (follows, limit) = (query.flag("follow")?, query.limit()?);
    let form = if follows { Form::of_stream(&headers)? } else { Form::of_answer(&headers) };
    let last = last_event_id(&headers)?;
    let last = last.map(|id| id.parse().map_err(|_| not_ours(id))).transpose()?;
    let asked = JournalQuery {
        address: owner(&gateway, &name)?,
        // A client that connects again by itself repeats its parameters.
        after: last.or(query.number("after")?).unwrap_or(0),
        kind: query.text("type").map(str::to_owned),
        request_id: query.text("requestId").map(str::to_owned),
    };
    if !follows {
        exists(&gateway, &asked.address, &name).await?;
    }
    if form != Form::Whole {
        let (heard, waiting) = (None, VecDeque::new());
        let reading = Reading { gateway, name, asked, follows, heard, waiting, is_over: false };
        return Ok(form.respond(entries(reading)));
    }
    let found = gateway.store().journal(asked, limit).await?;
    let is_full = u32::try_from(found.len()) == Ok(limit);
    let next = found.last().filter(|_| is_full).map(|last| last.sequence.to_string());
    let items = found.iter().map(|entry| document(&name, entry)).collect();
    Ok(Json(api::Page { items, next }).into_response())
}

/// Removes what was recorded, as a message to the entity whose journal it is; that it was done is
/// the journal's next entry.
pub(crate) async fn destroy(
    State(gateway): State<Gateway>,
    Extension(trace): Extension<Trace>,
    PathOf(name): PathOf<String>,
    headers: HeaderMap,
    uri: Uri,
    _: NoBody,
) -> Result<Response, Problem> {
    let terms = Terms::parse(&gateway, &headers, &uri, SENDING, Delivery::Durable)?;
    let address = owner(&gateway, &name)?;
    let method = method(DESTROY)?;
    gateway.node().registry().check(&address.entity_type, &method, &[])?;
    exists(&gateway, &address, &name).await?;
    let (sent, answer) = dispatch(&gateway, &trace, address, method, Bytes::new(), terms).await;
    sent.answer(answer)
}

/// The entity whose journal has this name.
fn owner(gateway: &Gateway, name: &str) -> Result<Address, Problem> {
    if let Some((EXTRACTION, request_id)) = name.split_once(':') {
        return extractions::named(gateway, request_id);
    }
    let Some((entity_type, id)) = name.split_once('/') else {
        let detail = format!(
            "{name:?} names no journal; write extraction:<request id>, or Type/id of an entity, \
             the slash as %2F"
        );
        return Err(Problem::new(Code::InvalidName, detail).field("stream"));
    };
    address(gateway, entity_type, id)
}

async fn exists(gateway: &Gateway, address: &Address, name: &str) -> Result<(), Problem> {
    let any = JournalQuery { address: address.clone(), after: 0, kind: None, request_id: None };
    if gateway.store().journal(any, 1).await?.is_empty() {
        let detail = format!("nothing was recorded in the journal {name}");
        return Err(Problem::new(Code::NoSuchJournal, detail).field("stream"));
    }
    Ok(())
}

fn document(name: &str, entry: &JournalEntry) -> Entry<Raw> {
    Entry {
        stream: name.to_owned(),
        sequence: entry.sequence,
        id: entry.entry_id.to_string(),
        kind: entry.kind.clone(),
        request_id: entry.request_id.clone(),
        time: rfc3339(entry.made_at),
        message_id: entry.message_id.to_string(),
        chunk: entry.chunk,
        data: raw(&entry.data),
    }
}

/// One who reads a journal.
struct Reading {
    gateway: Gateway,
    name: String,
    asked: JournalQuery,
    follows: bool,
    /// The message that is listened to, and its next chunk.
    heard: Option<(MessageId, u64)>,
    waiting: VecDeque<Event>,
    is_over: bool,
}

fn entries(reading: Reading) -> impl Stream<Item = Event> + Send + 'static {
    stream::unfold(reading, Reading::step)
}

impl Reading {
    async fn step(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read_on().await {
                self.is_over = true;
                self.waiting.push_back(broken(error));
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), StoreError> {
        let found = self.gateway.store().journal(self.asked.clone(), PAGE).await?;
        let Some(last) = found.last() else {
            self.is_over = !self.follows;
            return if self.follows { self.listen().await } else { Ok(()) };
        };
        self.asked.after = last.sequence;
        self.waiting.extend(found.iter().map(|entry| {
            let id = Some(entry.sequence.to_string());
            Event::new(&entry.kind, id, &document(&self.name, entry))
        }));
        Ok(())
    }

    /// Waits until something may have been recorded: every entry is a chunk of a message that the
    /// entity handles. Where it handles none, for a while.
    async fn listen(&mut self) -> Result<(), StoreError> {
        let Some(message_id) = self.handled().await? else {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Ok(());
        };
        let heard = self.heard.filter(|(heard, _)| *heard == message_id);
        let next = heard.map_or(0, |(_, next)| next);
        let node = self.gateway.node();
        let chunks = node.chunks(message_id, next, PAGE, LOOK_AGAIN).await?;
        let next = chunks.last().map_or(next, |last| last.sequence.saturating_add(1));
        self.heard = Some((message_id, next));
        Ok(())
    }

    /// The message that the entity handles: the oldest open one.
    async fn handled(&self) -> Result<Option<MessageId>, StoreError> {
        let address = &self.asked.address;
        let filter = MessageFilter {
            tenant: Some(address.tenant.clone()),
            address: Some(address.clone()),
            state: Some(MessageStateKind::Open),
            ..MessageFilter::default()
        };
        let open = self.gateway.store().messages(filter, None, PAGE).await?.items;
        Ok(open.last().map(|record| record.message.message_id))
    }
}
