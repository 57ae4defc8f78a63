use std::{collections::BTreeMap, sync::Arc, time::Duration};

use quarry_ports::Host;
use quarry_types::{BootId, ClusterId, ClusterView, NodeId};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;

use super::{
    CallError, Cookie, FollowItem, FollowRequest, HeartbeatAnswer, HeartbeatRequest, Links, Method,
    Plane, Purpose, decode, serve,
};
use crate::view::Views;

const TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_millis(100);

fn cookie(byte: u8) -> Cookie {
    Cookie::new(&[byte; 32]).unwrap()
}

/// A node 1 of cluster `here` that is no voter, and where it listens.
async fn served(views: &Arc<Views>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let plane = Plane::new(NodeId(1), "here".to_owned(), cookie(1), Arc::clone(views), None);
    let serving =
        serve(listener, Arc::new(plane), Host::system(), PATIENCE, std::future::pending());
    drop(Host::system().spawn("server", async move { serving.await.unwrap() }));
    address
}

fn links(cookie: Cookie, cluster: &str, node: u64, address: &str) -> Links {
    let voters = BTreeMap::from([(NodeId(node), address.to_owned())]);
    Links::new(cookie, cluster.to_owned(), voters)
}

async fn refused(links: &Links, node: u64) -> String {
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7) };
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
    assert!(refused(&ours(cookie(2), "here", 1), 1).await.contains("cookie"));
    assert!(refused(&ours(cookie(1), "there", 1), 1).await.contains("another cluster"));
    assert!(refused(&ours(cookie(1), "here", 2), 2).await.contains("this is node 1"));
    assert!(refused(&ours(cookie(1), "here", 1), 1).await.contains("not a voter"));
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let links = links(cookie(1), "here", 1, &address);
    assert!(!refused(&links, 1).await.is_empty());
    // The same connection works as soon as somebody listens.
    let listener = TcpListener::bind(&address).await.unwrap();
    let views = Arc::new(Views::new());
    let plane = Plane::new(NodeId(1), "here".to_owned(), cookie(1), views, None);
    let serving =
        serve(listener, Arc::new(plane), Host::system(), PATIENCE, std::future::pending());
    drop(Host::system().spawn("server", async move { serving.await.unwrap() }));
    assert!(refused(&links, 1).await.contains("not a voter"));
}

#[tokio::test]
async fn a_peer_that_is_silent_costs_no_more_than_the_time_given() {
    // It accepts connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let links = links(cookie(1), "here", 1, &listener.local_addr().unwrap().to_string());
    let request = HeartbeatRequest { node: NodeId(7), boot: BootId(7) };
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
    let links = links(cookie(1), "here", 1, &address);
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
    let links = links(cookie(1), "here", 1, &address);
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
