use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{future::join_all, stream};
use quarry_core::coordinator::Loads;
use quarry_plane::{
    Authority, Cookie, Credentials, Files, Protocol, Refusal, Refusals, Security, Validity,
};
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, ClusterId, ClusterView, NodeId, Timestamp};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
    transport::Server,
};

use super::{
    CallError, FollowItem, FollowRequest, HeartbeatAnswer, HeartbeatRequest, Links, Method, Plane,
    Policy, Purpose, decode, serve,
};
use crate::view::Views;

pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

pub(super) fn policy(cookie: u8, cluster: &str) -> Policy {
    let metrics = Metrics::new().unwrap();
    Policy {
        protocol: Protocol::CURRENT,
        cluster: cluster.to_owned(),
        cookie: Cookie::new(&cookie.to_string().repeat(32)).unwrap(),
        security: Security::open(),
        refusals: Arc::new(Refusals::new("control", metrics.control_refused)),
    }
}

pub(super) fn serve_on(listener: TcpListener, views: &Arc<Views>, policy: Policy) {
    let plane = Plane::new(NodeId(1), policy, Arc::clone(views), None);
    let serving =
        serve(listener, Arc::new(plane), Host::system(), PATIENCE, std::future::pending());
    drop(Host::system().spawn("server", async move { serving.await.unwrap() }));
}

/// A node 1 of cluster `here` that is no voter, and where it listens.
async fn served(views: &Arc<Views>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve_on(listener, views, policy(1, "here"));
    address
}

pub(super) fn links(cookie: u8, cluster: &str, node: u64, address: &str) -> Links {
    links_under(policy(cookie, cluster), node, address)
}

pub(super) fn links_under(policy: Policy, node: u64, address: &str) -> Links {
    let voters = BTreeMap::from([(NodeId(node), address.to_owned())]);
    Links::new(policy, voters, Arc::new(Views::new()))
}

pub(super) async fn refused(links: &Links, node: u64) -> String {
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7), loads: Loads::new() };
    let answer: Result<HeartbeatAnswer, CallError> =
        links.call(NodeId(node), Purpose::Heartbeats, Method::Heartbeat, &request, TIMEOUT).await;
    match answer {
        Err(CallError::Unreachable(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn only_callers_of_this_cluster_who_mean_this_node_are_heard() {
    let address = served(&Arc::new(Views::new())).await;
    let ours = |cookie, cluster, node| links(cookie, cluster, node, &address);
    assert!(refused(&ours(2, "here", 1), 1).await.contains("cookie"));
    assert!(refused(&ours(1, "there", 1), 1).await.contains("another cluster"));
    assert!(refused(&ours(1, "here", 2), 2).await.contains("this is node 1"));
    assert!(refused(&ours(1, "here", 1), 1).await.contains("not a voter"));
}

#[tokio::test]
async fn callers_of_neighbouring_versions_are_heard_and_others_are_told_what_is_spoken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let speaking =
        |oldest, newest| Policy { protocol: Protocol { newest, oldest }, ..policy(1, "here") };
    let metrics = Metrics::new().unwrap();
    let refusals = Arc::new(Refusals::new("control", metrics.control_refused.clone()));
    serve_on(listener, &Arc::new(Views::new()), Policy { refusals, ..speaking(2, 3) });
    for (oldest, newest) in [(1, 2), (2, 2), (2, 3), (3, 4)] {
        let links = links_under(speaking(oldest, newest), 1, &address);
        assert!(refused(&links, 1).await.contains("not a voter"), "{oldest} to {newest}");
    }
    let links = links_under(speaking(4, 5), 1, &address);
    for _ in 0..3 {
        let reason = refused(&links, 1).await;
        let told = "node 1 speaks versions 2 to 3 of the protocol, and the caller versions 4 to 5";
        assert!(reason.contains(told), "{reason}");
    }
    assert_eq!(metrics.control_refused.with_label_values(&["version"]).get(), 1, "once per peer");
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let links = links(1, "here", 1, &address);
    assert!(!refused(&links, 1).await.is_empty());
    // The same connection works as soon as somebody listens.
    let listener = TcpListener::bind(&address).await.unwrap();
    let views = Arc::new(Views::new());
    serve_on(listener, &views, policy(1, "here"));
    assert!(refused(&links, 1).await.contains("not a voter"));
}

#[tokio::test]
async fn a_peer_that_is_silent_costs_no_more_than_the_time_given() {
    // It accepts connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let links = links(1, "here", 1, &listener.local_addr().unwrap().to_string());
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7), loads: Loads::new() };
    let timeout = Duration::from_millis(100);
    let began = Host::system().now();
    let answer: Result<HeartbeatAnswer, CallError> =
        links.call(NodeId(1), Purpose::Heartbeats, Method::Heartbeat, &request, timeout).await;
    assert!(matches!(answer, Err(CallError::TimedOut(_))), "{answer:?}");
    assert!(Host::system().now().since(began) < Duration::from_secs(3));
}

/// Takes calls, and never answers one; the connection itself lives on.
#[derive(Clone)]
struct Mute;

impl NamedService for Mute {
    const NAME: &'static str = "quarry.control.v1.Control";
}

impl Service<http::Request<Body>> for Mute {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        Box::pin(std::future::pending())
    }
}

/// Where a [`Mute`] listens, and how many connections it took.
async fn mute() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, taken) = (listener.local_addr().unwrap().to_string(), Arc::default());
    let connections: Arc<AtomicUsize> = Arc::clone(&taken);
    let incoming = stream::unfold((listener, taken), |(listener, taken)| async move {
        let (stream, _) = listener.accept().await.unwrap();
        taken.fetch_add(1, Ordering::SeqCst);
        Some((Ok::<_, io::Error>(stream), (listener, taken)))
    });
    let serving = Server::builder().add_service(Mute).serve_with_incoming(incoming);
    drop(Host::system().spawn("mute server", async move { serving.await.unwrap() }));
    (address, connections)
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_answered_is_left_though_no_call_has_much_time() {
    let (address, connections) = mute().await;
    let links = links(1, "here", 1, &address);
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7), loads: Loads::new() };
    let timeout = Duration::from_millis(100);
    // Ten at a time: they wait for one second, all told.
    for expected in [1, 1, 1, 2] {
        let calls = (0..10).map(|_| {
            links.call::<_, HeartbeatAnswer>(
                NodeId(1),
                Purpose::Heartbeats,
                Method::Heartbeat,
                &request,
                timeout,
            )
        });
        for answer in join_all(calls).await {
            assert!(matches!(answer, Err(CallError::TimedOut(_))), "{answer:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn each_purpose_has_a_connection_of_its_own_and_keeps_it() {
    let (address, connections) = mute().await;
    let links = links(1, "here", 1, &address);
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7), loads: Loads::new() };
    let (to, timeout) = (NodeId(1), Duration::from_millis(100));
    for expected in [[1, 2, 3, 4], [4, 4, 4, 4]] {
        let all = [Purpose::Heartbeats, Purpose::Log, Purpose::Snapshots, Purpose::Requests];
        for (purpose, expected) in all.into_iter().zip(expected) {
            let answer: Result<HeartbeatAnswer, CallError> =
                links.call(to, purpose, Method::Heartbeat, &request, timeout).await;
            assert!(matches!(answer, Err(CallError::TimedOut(_))), "{purpose:?}: {answer:?}");
            assert_eq!(connections.load(Ordering::SeqCst), expected, "{purpose:?}");
        }
    }
}

#[tokio::test]
async fn a_follower_gets_the_newest_view_and_every_later_one() {
    let views = Arc::new(Views::new());
    let address = served(&views).await;
    let voters = BTreeMap::from([(NodeId(4), "there".to_owned())]);
    let view = ClusterView { applied: 5, ..ClusterView::default() };
    views.follow(NodeId(1), Some(ClusterId(3)), view, voters.clone());
    let links = links(1, "here", 1, &address);
    let request = FollowRequest { node: NodeId(2) };
    let mut items = links.follow(NodeId(1), &request, TIMEOUT).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        let item = tokio::time::timeout(TIMEOUT, items.next()).await.unwrap().unwrap().unwrap();
        if let FollowItem::View { cluster, view, voters: told } = decode(&item).unwrap() {
            assert_eq!((cluster, &told), (Some(ClusterId(3)), &voters));
            seen.push(view.applied);
            let applied = view.applied + 1;
            let view = ClusterView { applied, ..ClusterView::default() };
            views.follow(NodeId(1), None, view, BTreeMap::new());
        }
    }
    assert_eq!(seen, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn who_has_shown_the_cookie_is_not_cut_off() {
    let address = served(&Arc::new(Views::new())).await;
    let links = links(1, "here", 1, &address);
    let request = FollowRequest { node: NodeId(2) };
    let mut items = links.follow(NodeId(1), &request, TIMEOUT).await.unwrap();
    let began = Host::system().now();
    // The second sign of life comes long after a stranger would have been cut off.
    for _ in 0..3 {
        let item = tokio::time::timeout(TIMEOUT, items.next()).await.unwrap().unwrap();
        assert!(item.is_ok(), "{item:?}");
    }
    assert!(Host::system().now().since(began) > PATIENCE * 2);
}

#[test]
fn views_never_go_back() {
    let views = Views::new();
    let view = |applied| ClusterView { applied, ..ClusterView::default() };
    let voters = |node| BTreeMap::from([(NodeId(node), String::new())]);
    views.follow(NodeId(1), None, view(8), voters(8));
    views.follow(NodeId(1), None, view(7), voters(7));
    assert_eq!(views.newest().applied, 8);
    assert_eq!(views.voters().as_deref(), Some(&voters(8)));
}

/// The security of a node with a certificate of `authority`.
fn certified(authority: &Authority, node: u64) -> Security {
    let now = Host::system().clock.wall();
    let issued = authority.issue(NodeId(node), validity()).unwrap();
    let place = tempfile::tempdir().unwrap();
    let [ca, cert, key] = ["ca", "cert", "key"].map(|name| place.path().join(name));
    std::fs::write(&ca, authority.certificate()).unwrap();
    std::fs::write(&cert, &issued.cert).unwrap();
    std::fs::write(&key, &issued.key).unwrap();
    let files = Files { ca, cert, key };
    let credentials = Credentials::load(&files, "here", NodeId(node), now).unwrap();
    Security::mutual(&credentials, "control")
}

fn validity() -> Validity {
    let now = Host::system().clock.wall().0;
    Validity { from: Timestamp(now - 86_400_000), until: Timestamp(now + 86_400_000) }
}

#[tokio::test]
async fn calls_and_streams_cross_under_tls_and_strangers_are_refused_at_both_ends() {
    let authority = Authority::create("here", validity()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let metrics = Metrics::new().unwrap();
    let refusals = || Arc::new(Refusals::new("control", metrics.control_refused.clone()));
    let views = Arc::new(Views::new());
    let security = certified(&authority, 1);
    let ours = Policy { security, refusals: refusals(), ..policy(1, "here") };
    serve_on(listener, &views, ours);
    let peer = |security: Security, cookie: u8, node: u64| {
        links_under(Policy { security, ..policy(cookie, "here") }, node, &address)
    };
    let good = peer(certified(&authority, 2), 1, 1);
    assert!(refused(&good, 1).await.contains("not a voter"));
    let request = FollowRequest { node: NodeId(2) };
    let mut items = good.follow(NodeId(1), &request, TIMEOUT).await.unwrap();
    assert!(items.next().await.unwrap().is_ok());
    // TLS does not replace the cookie.
    assert!(refused(&peer(certified(&authority, 2), 2, 1), 1).await.contains("cookie"));
    let other = Authority::create("here", validity()).unwrap();
    let reason = refused(&peer(certified(&other, 2), 1, 1), 1).await;
    assert!(reason.contains(&Refusal::Authority.to_string()), "{reason}");
    let reason = refused(&peer(certified(&authority, 2), 1, 3), 3).await;
    assert!(reason.contains(&Refusal::Node.to_string()), "{reason}");
    let plain = peer(Security::open(), 1, 1);
    assert!(plain.follow(NodeId(1), &request, TIMEOUT).await.is_err());
    let count = |reason| metrics.control_refused.with_label_values(&[reason]).get();
    assert!(count("cookie") >= 1 && count("authority") >= 1 && count("plaintext") >= 1);
}
