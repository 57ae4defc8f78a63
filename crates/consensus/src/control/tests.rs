use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quarry_core::coordinator::Loads;
use quarry_plane::{Authority, Cookie, Credentials, Files, Refusal, Refusals, Security, Validity};
use quarry_ports::{Host, Metrics};
use quarry_types::{BootId, ClusterId, ClusterView, NodeId, Timestamp};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;

use super::{
    CallError, FollowItem, FollowRequest, HeartbeatAnswer, HeartbeatRequest, Links, Method, Plane,
    Policy, Purpose, decode, serve,
};
use crate::view::Views;

const TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_millis(100);

fn policy(cookie: u8, cluster: &str) -> Policy {
    let metrics = Metrics::new().unwrap();
    Policy {
        cluster: cluster.to_owned(),
        cookie: Cookie::new(&cookie.to_string().repeat(32)).unwrap(),
        security: Security::open(),
        refusals: Arc::new(Refusals::new("control", metrics.control_refused)),
    }
}

fn serve_on(listener: TcpListener, views: &Arc<Views>, policy: Policy) {
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

fn links(cookie: u8, cluster: &str, node: u64, address: &str) -> Links {
    links_under(policy(cookie, cluster), node, address)
}

fn links_under(policy: Policy, node: u64, address: &str) -> Links {
    Links::new(policy, BTreeMap::from([(NodeId(node), address.to_owned())]))
}

async fn refused(links: &Links, node: u64) -> String {
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

#[tokio::test]
async fn a_follower_gets_the_newest_view_and_every_later_one() {
    let views = Arc::new(Views::new());
    let address = served(&views).await;
    views.follow(Some(ClusterId(3)), ClusterView { applied: 5, ..ClusterView::default() });
    let links = links(1, "here", 1, &address);
    let request = FollowRequest { node: NodeId(2) };
    let mut items = links.follow(NodeId(1), &request, TIMEOUT).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        let item = tokio::time::timeout(TIMEOUT, items.next()).await.unwrap().unwrap().unwrap();
        if let FollowItem::View { cluster, view } = decode(&item).unwrap() {
            assert_eq!(cluster, Some(ClusterId(3)));
            seen.push(view.applied);
            let applied = view.applied + 1;
            views.follow(None, ClusterView { applied, ..ClusterView::default() });
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
    views.follow(None, view(8));
    views.follow(None, view(7));
    assert_eq!(views.newest().applied, 8);
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
