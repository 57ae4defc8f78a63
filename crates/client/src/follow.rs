//! Streams: read on from the last event, from whichever base answers, until their end.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use quarry_types::{
    Address, MessageId, Method, Monotonic, ReplyMode,
    stream::{Broken, ExtractionTold, JournalTold, Last, Stopped, Told},
};
use reqwest::{
    RequestBuilder, Response,
    header::{ACCEPT, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{
    Client, ClientError, Json, SendOptions, Sent,
    client::{READ_TIMEOUT, decode},
    exchange::whole,
    retry::TRIES_UNREACHED,
    sent_events::{Event, Events},
};

/// For how long a server may say nothing: three of its heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
/// The first pause before a stream is asked for again; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// The chunks of a message from number `from` on, and then its end. Where the stream is cut it
    /// goes on behind the last chunk, from one base after the other, without gap or repeat; it
    /// fails once nothing came for `patience` while no base could be reached.
    pub fn chunks(
        &self,
        message_id: MessageId,
        from: u64,
        patience: Duration,
    ) -> impl Stream<Item = Result<Told<Json>, ClientError>> + Send + use<> {
        let segments = ["v1", "messages", &message_id.to_string(), "chunks"];
        let last = from.checked_sub(1).map(|last| last.to_string());
        self.follow(&segments, &[], last, patience)
    }

    /// The events of an extraction behind the event `last`, or from the beginning, and then its
    /// end; it goes on as [`Client::chunks`] does.
    pub fn events(
        &self,
        request_id: &str,
        last: Option<String>,
        patience: Duration,
    ) -> impl Stream<Item = Result<ExtractionTold<Json>, ClientError>> + Send + use<> {
        self.follow(&["v1", "extractions", request_id, "events"], &[], last, patience)
    }

    /// Sends a message, as [`Client::send_retrying`] does, and follows its chunks once it is
    /// stored.
    pub async fn send_streaming(
        &self,
        address: &Address,
        method: &Method,
        payload: Option<&RawValue>,
        options: SendOptions,
        deadline: Duration,
    ) -> Result<
        (Sent, impl Stream<Item = Result<Told<Json>, ClientError>> + Send + use<>),
        ClientError,
    > {
        let options = SendOptions { reply: ReplyMode::Accepted, ..options };
        let sent = self.send_retrying(address, method, payload, options, deadline).await?;
        let chunks = self.chunks(sent.message_id, 0, deadline);
        Ok((sent, chunks))
    }

    /// Submits a text for extraction, as [`Client::extract_retrying`] does, and follows its events
    /// once it is stored.
    pub async fn extract_streaming(
        &self,
        submission: &Json,
        options: SendOptions,
        deadline: Duration,
    ) -> Result<
        (Sent, impl Stream<Item = Result<ExtractionTold<Json>, ClientError>> + Send + use<>),
        ClientError,
    > {
        let options = SendOptions { reply: ReplyMode::Accepted, ..options };
        let sent = self.extract_retrying(submission, options, deadline).await?;
        let message = self.message(sent.message_id, None).await?;
        // This message's own events, also where another asks for the same.
        let last = Some(format!("{}.0", sent.message_id));
        let events = self.events(&message.id, last, deadline);
        Ok((sent, events))
    }

    pub(crate) fn follow<T: Followed>(
        &self,
        segments: &[&str],
        parameters: &[(&'static str, String)],
        last: Option<String>,
        patience: Duration,
    ) -> impl Stream<Item = Result<T, ClientError>> + Send + use<T> {
        let asked = Asked {
            client: self.clone(),
            segments: segments.iter().map(|segment| (*segment).to_owned()).collect(),
            parameters: parameters.to_vec(),
            last,
        };
        let following = Following {
            asked,
            patience,
            open: None,
            turn: 0,
            pause: SHORTEST_PAUSE,
            until: None,
            is_over: false,
        };
        stream::unfold(following, async |mut following| {
            let told = following.next().await?;
            Some((told, following))
        })
    }
}

/// What a stream carries.
pub(crate) trait Followed: DeserializeOwned + Send + 'static {
    /// What the event says of the stream itself.
    fn verdict(&self) -> Verdict<'_>;
}

/// What an event says of its stream.
pub(crate) enum Verdict<'a> {
    GoesOn,
    Ends,
    Broken(&'a Broken),
}

impl Followed for Told<Json> {
    fn verdict(&self) -> Verdict<'_> {
        match self {
            Self::Chunk { .. } | Self::Reset { .. } => Verdict::GoesOn,
            Self::End(_) => Verdict::Ends,
            Self::Error(broken) => Verdict::Broken(broken),
        }
    }
}

impl Followed for ExtractionTold<Json> {
    fn verdict(&self) -> Verdict<'_> {
        match self {
            Self::Event(_) => Verdict::GoesOn,
            Self::Last(Last::End(_)) => Verdict::Ends,
            Self::Last(Last::Error(broken)) => Verdict::Broken(broken),
        }
    }
}

impl Followed for JournalTold<Json> {
    fn verdict(&self) -> Verdict<'_> {
        match self {
            Self::Entry(_) => Verdict::GoesOn,
            Self::Stopped(Stopped::Error(broken)) => Verdict::Broken(broken),
        }
    }
}

/// What is asked for.
struct Asked {
    client: Client,
    segments: Vec<String>,
    parameters: Vec<(&'static str, String)>,
    /// The id of the last event that was read.
    last: Option<String>,
}

/// One who follows a stream.
struct Following {
    asked: Asked,
    patience: Duration,
    open: Option<Open>,
    /// How many connections were cut or refused since the last event.
    turn: usize,
    pause: Duration,
    /// When patience ends, since the first of those.
    until: Option<Monotonic>,
    is_over: bool,
}

/// A connection that a stream is read from.
struct Open {
    response: Response,
    events: Events,
    read: VecDeque<Event>,
}

impl Following {
    async fn next<T: Followed>(&mut self) -> Option<Result<T, ClientError>> {
        while !self.is_over {
            let error = match self.event().await {
                Ok(event) => match self.take(event) {
                    Ok(told) => return Some(Ok(told)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.open = None;
            if let Err(error) = self.wait(error).await {
                self.is_over = true;
                return Some(Err(error));
            }
        }
        None
    }

    /// The next event of the connection; connects where there is none.
    async fn event(&mut self) -> Result<Event, ClientError> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(Open::connect(&self.asked, self.turn).await?),
            };
            if let Some(event) = open.read.pop_front() {
                return Ok(event);
            }
            let part = part(&mut open.response).await?;
            open.read = open.events.read(&part)?.into();
        }
    }

    fn take<T: Followed>(&mut self, event: Event) -> Result<T, ClientError> {
        let told: T = decode(event.data.as_bytes())?;
        match told.verdict() {
            Verdict::GoesOn => {}
            Verdict::Ends => self.is_over = true,
            Verdict::Broken(broken) => {
                // Nothing to hope for from another base either.
                self.is_over = !broken.retryable;
                let reason = format!("the stream broke: {}: {}", broken.code, broken.detail);
                return Err(ClientError::Unavailable { reason });
            }
        }
        self.asked.last = event.id.or(self.asked.last.take());
        (self.turn, self.pause, self.until) = (0, SHORTEST_PAUSE, None);
        Ok(told)
    }

    /// Waits before the next try; gives up where that cannot help or patience is at its end.
    async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        let now = self.asked.client.host().now();
        let until = *self.until.get_or_insert_with(|| now.after(self.patience));
        let tries = (self.turn + 1) / self.asked.client.bases().len().max(1);
        let is_hopeless = !self.asked.client.has_reached() && tries >= TRIES_UNREACHED;
        let is_late = until.since(now) <= self.pause;
        if self.is_over || !error.is_retryable() || is_late || is_hopeless {
            return Err(error);
        }
        tokio::time::sleep(self.asked.client.jittered(self.pause)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.turn += 1;
        Ok(())
    }
}

impl Open {
    /// Connects to the base whose turn it is, behind the last event that was read.
    async fn connect(asked: &Asked, turn: usize) -> Result<Self, ClientError> {
        let Asked { client, segments, parameters, last } = asked;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let index = client.turn(turn);
        let request = client.request(index, reqwest::Method::GET, &segments, parameters)?;
        let mut request = request.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = head(client, request).await?;
        client.prefer(index);
        Ok(Self { response, events: Events::default(), read: VecDeque::new() })
    }
}

/// The head of a stream; a problem where there is none.
async fn head(client: &Client, request: RequestBuilder) -> Result<Response, ClientError> {
    let asked = async {
        let response = client.exchange_head(request).await?;
        if response.status().is_success() {
            return Ok(Ok(response));
        }
        whole(response).await.map(|reply| Err(ClientError::of(reply.problem(), None)))
    };
    match tokio::time::timeout(READ_TIMEOUT, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(client.unanswered(error)),
        Err(_) => Err(cut("no answer came in time")),
    }
}

async fn part(response: &mut Response) -> Result<Bytes, ClientError> {
    match tokio::time::timeout(SILENCE, response.chunk()).await {
        Ok(Ok(Some(part))) => Ok(part),
        Ok(Ok(None)) => Err(cut("it ended before its last event")),
        Ok(Err(error)) => Err(cut(&error.to_string())),
        Err(_) => Err(cut("the server fell silent")),
    }
}

fn cut(why: &str) -> ClientError {
    ClientError::Unavailable { reason: format!("the stream was cut: {why}") }
}
