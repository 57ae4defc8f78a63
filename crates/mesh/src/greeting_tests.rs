//! Two sides of a greeting over a pipe.

use super::*;

fn identity(node: u64, cluster: &str, cookie: &str) -> Identity {
    Identity {
        protocol: Protocol::CURRENT,
        cluster: cluster.to_owned(),
        node: NodeId(node),
        boot: BootId(node + 100),
        cookie: Cookie::new(&cookie.repeat(32)).unwrap(),
        window: Window { bytes: 1, frames: 2 },
    }
}

async fn greet(
    client: Identity,
    server: Identity,
    meant: u64,
) -> (Result<Greeted, GreetingError>, Result<Greeted, GreetingError>) {
    let (mut near, mut far) = tokio::io::duplex(4_096);
    let host = Host::system();
    tokio::join!(
        as_client(&mut near, &client, NodeId(meant), &host),
        as_server(&mut far, &server, None, &host)
    )
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let (client, server) = greet(identity(1, "c", "k"), identity(2, "c", "k"), 2).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.node, client.boot), (NodeId(2), BootId(102)));
    assert_eq!((server.node, server.boot), (NodeId(1), BootId(101)));
    assert_eq!((client.link, client.window), (server.link, server.window));
    let newest = Protocol::CURRENT.newest;
    assert_eq!((client.version, server.version), (newest, newest));
    let (again, _) = greet(identity(1, "c", "k"), identity(2, "c", "k"), 2).await;
    assert_ne!(again.unwrap().link, client.link);
}

fn refused(result: &Result<Greeted, GreetingError>, by_peer: bool, expected: Refusal) -> bool {
    match result {
        Err(GreetingError::Refused(refusal)) => !by_peer && *refusal == expected,
        Err(GreetingError::ByPeer(refusal)) => by_peer && *refusal == expected,
        _ => false,
    }
}

#[tokio::test]
async fn another_cookie_cluster_or_node_is_refused_and_told_so() {
    let us = || identity(1, "c", "k");
    // The client checks the server's proof first.
    let (client, server) = greet(us(), identity(2, "c", "x"), 2).await;
    assert!(refused(&client, false, Refusal::Cookie), "{client:?}");
    assert!(refused(&server, true, Refusal::Cookie), "{server:?}");
    let (client, server) = greet(us(), identity(2, "d", "k"), 2).await;
    assert!(refused(&client, true, Refusal::Cluster), "{client:?}");
    assert!(refused(&server, false, Refusal::Cluster), "{server:?}");
    let (client, _) = greet(us(), identity(3, "c", "k"), 2).await;
    assert!(refused(&client, false, Refusal::Node), "{client:?}");
    let (_, server) = greet(us(), identity(1, "c", "k"), 1).await;
    assert!(refused(&server, false, Refusal::Node), "{server:?}");
}

#[tokio::test]
async fn a_client_that_skips_its_proof_is_refused() {
    let (mut near, mut far) = tokio::io::duplex(4_096);
    let (host, client) = (Host::system(), identity(1, "c", "x"));
    let forged = async {
        write(&mut near, &hello(&client, &host)).await.unwrap();
        let _: (Hello, Proof) = answer(&mut near).await.unwrap();
        write(&mut near, &Answer::Go([7_u8; 32])).await.unwrap();
        answer::<_, ()>(&mut near).await
    };
    let server = identity(2, "c", "k");
    let (client, server) = tokio::join!(forged, as_server(&mut far, &server, None, &host));
    assert!(matches!(client, Err(GreetingError::ByPeer(Refusal::Cookie))), "{client:?}");
    assert!(refused(&server, false, Refusal::Cookie), "{server:?}");
}

async fn sent(bytes: &[u8]) -> Result<Greeted, GreetingError> {
    let (mut near, mut far) = tokio::io::duplex(4_096);
    near.write_all(bytes).await.unwrap();
    as_server(&mut far, &identity(2, "c", "k"), None, &Host::system()).await
}

#[tokio::test]
async fn garbage_and_lengths_over_the_limit_are_refused_unread() {
    assert!(refused(&sent(b"GET / HTTP/1.1\r\n").await, false, Refusal::Garbage));
    assert!(refused(&sent(b"QMSH\xff\xff").await, false, Refusal::Oversized));
    assert!(refused(&sent(b"QMSH\x00\x03abc").await, false, Refusal::Garbage));
}

#[tokio::test]
async fn versions_that_meet_are_taken_and_others_are_refused_and_told_so() {
    let speaking = |node, oldest, newest| Identity {
        protocol: Protocol { newest, oldest },
        ..identity(node, "c", "k")
    };
    for (client, server, common) in [((1, 1), (1, 2), 1), ((2, 3), (1, 2), 2), ((1, 9), (1, 1), 1)]
    {
        let (client, server) = (speaking(1, client.0, client.1), speaking(2, server.0, server.1));
        let (client, server) = greet(client, server, 2).await;
        assert_eq!((client.unwrap().version, server.unwrap().version), (common, common));
    }
    let (client, server) = greet(speaking(1, 2, 3), speaking(2, 1, 1), 2).await;
    assert!(refused(&client, true, Refusal::Version), "{client:?}");
    assert!(refused(&server, false, Refusal::Version), "{server:?}");
}

#[tokio::test]
async fn who_names_another_node_than_its_certificate_is_refused() {
    let (mut near, mut far) = tokio::io::duplex(4_096);
    let (host, client, server) = (Host::system(), identity(1, "c", "k"), identity(2, "c", "k"));
    let (client, server) = tokio::join!(
        as_client(&mut near, &client, NodeId(2), &host),
        as_server(&mut far, &server, Some(NodeId(3)), &host)
    );
    assert!(refused(&client, true, Refusal::Node), "{client:?}");
    assert!(refused(&server, false, Refusal::Node), "{server:?}");
}
