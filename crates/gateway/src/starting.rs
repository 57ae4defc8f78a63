//! What is answered while the node starts: it listens before it knows its store and its cluster, for
//! which it waits without a limit.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use quarry_ports::{Host, Metrics};
use quarry_types::api::{self, HealthStatus};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::{Code, Problem, problem::render, scrape, trace::Trace};

/// How long a request waits for the node before it is refused: long enough that a rolling restart fails no
/// call where the machine is busy.
const HOLD: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Phase {
    /// It waits for this.
    Starting(&'static str),
    Started(Router),
}

/// The node's side of an [`Entrance`]. Dropped, the node does not start any more.
#[derive(Debug)]
pub struct Opening(watch::Sender<Phase>);

impl Opening {
    /// Says for what the node waits now, to follow "it waits for".
    pub fn waits_for(&self, what: &'static str) {
        self.0.send_replace(Phase::Starting(what));
    }

    /// The node has started: from now on `router` answers, also what waits already.
    pub fn open(self, router: Router) {
        self.0.send_replace(Phase::Started(router));
    }
}

/// What answers the requests of a listener.
#[derive(Clone, Debug)]
pub struct Entrance {
    phase: watch::Receiver<Phase>,
    /// What answers connections that were made while the node started.
    early: Router,
}

/// The entrance of a node that starts. Until it is opened, `/livez` says that the process is alive,
/// `/readyz` and `/healthz` that it is not ready and why, `/metrics` what was counted; all other
/// requests wait for ten seconds, and are refused with 503.
#[must_use]
pub fn entrance(metrics: Metrics, host: Host) -> (Opening, Entrance) {
    let (opening, phase) = watch::channel(Phase::Starting("its parts"));
    let starting = Starting { metrics, host, phase: phase.clone() };
    let early = Router::new().fallback(answer).with_state(starting);
    (Opening(opening), Entrance { phase, early })
}

impl Entrance {
    /// What answers a connection that is made now.
    pub(crate) fn router(&self) -> Router {
        match &*self.phase.borrow() {
            Phase::Started(router) => router.clone(),
            Phase::Starting(_) => self.early.clone(),
        }
    }
}

/// The entrance of a node that has started.
impl From<Router> for Entrance {
    fn from(router: Router) -> Self {
        let (_, phase) = watch::channel(Phase::Started(router.clone()));
        Self { phase, early: router }
    }
}

#[derive(Clone)]
struct Starting {
    metrics: Metrics,
    host: Host,
    phase: watch::Receiver<Phase>,
}

impl Starting {
    fn router(&self) -> Option<Router> {
        match &*self.phase.borrow() {
            Phase::Started(router) => Some(router.clone()),
            Phase::Starting(_) => None,
        }
    }

    /// Waits for the node to start, for a while.
    async fn started(&self) -> Option<Router> {
        let mut phase = self.phase.clone();
        let started = phase.wait_for(|phase| matches!(phase, Phase::Started(_)));
        drop(tokio::time::timeout(HOLD, started).await);
        self.router()
    }

    fn waits_for(&self) -> String {
        match &*self.phase.borrow() {
            Phase::Starting(what) => format!("the node starts; it waits for {what}"),
            Phase::Started(_) => "the node has just started".to_owned(),
        }
    }

    /// What was looked at: there is nothing else to look at yet.
    fn health(&self) -> api::Health {
        let status = HealthStatus::Unhealthy;
        let check = api::Check { name: "start".to_owned(), status, detail: self.waits_for() };
        api::Health { status, shards: 0, checks: vec![check] }
    }
}

async fn answer(State(starting): State<Starting>, request: Request) -> Response {
    if let Some(router) = starting.router() {
        return forward(router, request).await;
    }
    let trace = Trace::of(request.headers(), &*starting.host.random);
    let path = request.uri().path().to_owned();
    let answered = match path.as_str() {
        "/livez" => Json(serde_json::json!({ "status": HealthStatus::Healthy })).into_response(),
        "/readyz" => Problem::ill(Code::NotReady, starting.health()).into_response(),
        "/healthz" => Problem::ill(Code::Unhealthy, starting.health()).into_response(),
        "/metrics" => scrape::text(&starting.metrics).into_response(),
        _ => match starting.started().await {
            Some(router) => return forward(router, request).await,
            None => Problem::new(Code::NotReady, starting.waits_for()).into_response(),
        },
    };
    render(answered, &trace, &path)
}

async fn forward(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
