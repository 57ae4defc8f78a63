//! Nodes with good and bad credentials meet on loopback.

use std::{path::Path, time::Duration};

use quarry_types::{NodeId, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const DAY: i64 = 86_400_000;
const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    quarry_ports::Host::system().clock.wall()
}

fn days(from: i64, until: i64) -> Validity {
    Validity { from: Timestamp(now().0 + from * DAY), until: Timestamp(now().0 + until * DAY) }
}

fn authority(cluster: &str) -> Authority {
    Authority::create(cluster, days(-1, 30)).unwrap()
}

/// Writes what `authority` issues for `node` under `directory`, with the certificate of `believed`.
fn files(directory: &Path, believed: &Authority, issued: &Issued) -> Files {
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name));
    std::fs::write(&ca, believed.certificate()).unwrap();
    std::fs::write(&cert, &issued.cert).unwrap();
    std::fs::write(&key, &issued.key).unwrap();
    Files { ca, cert, key }
}

/// Credentials as they are read on `at`.
fn credentials(
    believed: &Authority,
    issued: &Issued,
    node: u64,
    at: Timestamp,
) -> Result<Credentials, Vec<FileFault>> {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), believed, issued);
    Credentials::load(&files, "here", NodeId(node), at)
}

fn good(authority: &Authority, node: u64) -> Security {
    let issued = authority.issue(NodeId(node), days(-1, 9)).unwrap();
    let credentials = credentials(authority, &issued, node, now()).unwrap();
    Security::mutual(&credentials, "test")
}

type Met = (Result<Secured, SecurityError>, Result<Secured, SecurityError>);

/// What becomes of a connection that `client` makes to reach node `meant`, and finds `server`.
async fn meet(client: &Security, server: &Security, meant: u64) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async { server.accept(listener.accept().await.unwrap().0).await };
    let connect = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let connected = client.connect(stream, NodeId(meant)).await;
        match connected {
            // Without TLS the first byte is for the caller to send.
            Ok(mut secured) if !client.is_mutual() => {
                secured.stream.write_all(b"Q").await.unwrap();
                Ok(secured)
            }
            connected => connected,
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(connect, accept) }).await.unwrap()
}

fn refused(met: &Result<Secured, SecurityError>) -> Option<Refusal> {
    match met {
        Err(SecurityError::Refused(refusal)) => Some(*refusal),
        _ => None,
    }
}

fn refused_by_peer(met: &Result<Secured, SecurityError>) -> Option<Refusal> {
    match met {
        Err(SecurityError::ByPeer(refusal)) => Some(*refusal),
        _ => None,
    }
}

#[tokio::test]
async fn nodes_of_one_authority_learn_who_the_other_is_and_speak() {
    let authority = authority("here");
    let (client, server) = meet(&good(&authority, 1), &good(&authority, 2), 2).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.node, server.node), (Some(NodeId(2)), Some(NodeId(1))));
    client.stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    server.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_node_that_is_not_the_one_meant_is_refused() {
    let authority = authority("here");
    let (client, server) = meet(&good(&authority, 1), &good(&authority, 3), 2).await;
    assert_eq!(refused(&client), Some(Refusal::Node));
    assert!(refused_by_peer(&server).is_some(), "{server:?}");
}

#[tokio::test]
async fn another_authority_is_refused_at_both_ends() {
    let (ours, theirs) = (authority("here"), authority("here"));
    let (client, server) = meet(&good(&ours, 1), &good(&theirs, 2), 2).await;
    assert_eq!(refused(&client), Some(Refusal::Authority), "{client:?}");
    assert_eq!(refused_by_peer(&server), Some(Refusal::Authority), "{server:?}");
    // A client that believes both is still refused.
    let issued = theirs.issue(NodeId(1), days(-1, 9)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), &theirs, &issued);
    let both = format!("{}{}", ours.certificate(), theirs.certificate());
    std::fs::write(&files.ca, both).unwrap();
    let believer = Credentials::load(&files, "here", NodeId(1), now()).unwrap();
    let (client, server) = meet(&Security::mutual(&believer, "test"), &good(&ours, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Authority), "{server:?}");
    assert_eq!(refused_by_peer(&client), Some(Refusal::Authority), "{client:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_both_ends() {
    let authority = authority("here");
    let issued = authority.issue(NodeId(1), days(-9, -1)).unwrap();
    // It was good when the node started.
    let then = Timestamp(now().0 - 5 * DAY);
    let expired = Security::mutual(&credentials(&authority, &issued, 1, then).unwrap(), "test");
    let (client, server) = meet(&expired, &good(&authority, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Expired), "{server:?}");
    assert_eq!(refused_by_peer(&client), Some(Refusal::Expired), "{client:?}");
    let (client, server) = meet(&good(&authority, 2), &expired, 1).await;
    assert_eq!(refused(&client), Some(Refusal::Expired), "{client:?}");
    assert_eq!(refused_by_peer(&server), Some(Refusal::Expired), "{server:?}");
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let authority = authority("here");
    let (client, server) = meet(&without_certificate(&authority), &good(&authority, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::NoCertificate), "{server:?}");
    assert_eq!(refused_by_peer(&client), Some(Refusal::NoCertificate), "{client:?}");
}

fn without_certificate(authority: &Authority) -> Security {
    let issued = authority.issue(NodeId(1), days(-1, 9)).unwrap();
    credentials(authority, &issued, 1, now()).unwrap().without_client_certificate("test")
}

#[tokio::test]
async fn a_node_of_another_cluster_under_the_same_authority_is_refused() {
    let here = authority("here");
    let stranger = Authority::load("there", here.certificate(), &here.key());
    assert!(matches!(stranger, Err(AuthorityError::NotOurs { .. })), "{stranger:?}");
    let foreign = here.issue_named("node-1.there.quarry", days(-1, 9)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), &here, &foreign);
    let foreign = Credentials::load(&files, "there", NodeId(1), now()).unwrap();
    // It means a node of ours, as a mistaken address makes it.
    let foreign = Security::mutual(&foreign.posing_as("here"), "test");
    let (client, server) = meet(&foreign, &good(&here, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Cluster), "{server:?}");
    assert_eq!(refused_by_peer(&client), Some(Refusal::Cluster), "{client:?}");
}

#[tokio::test]
async fn the_planes_do_not_answer_one_another() {
    let authority = authority("here");
    let issued = authority.issue(NodeId(1), days(-1, 9)).unwrap();
    let other = Security::mutual(&credentials(&authority, &issued, 1, now()).unwrap(), "other");
    let (client, server) = meet(&other, &good(&authority, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Garbage), "{server:?}");
    assert_eq!(refused_by_peer(&client), Some(Refusal::Garbage), "{client:?}");
}

#[tokio::test]
async fn plain_bytes_at_a_tls_port_and_tls_at_a_plain_one_are_refused() {
    let authority = authority("here");
    let (_, server) = meet(&Security::open(), &good(&authority, 2), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Plaintext), "{server:?}");
    let (client, server) = meet(&good(&authority, 1), &Security::open(), 2).await;
    assert_eq!(refused(&server), Some(Refusal::Tls), "{server:?}");
    assert!(matches!(client, Err(SecurityError::Broken(_))), "{client:?}");
    let (client, server) = meet(&Security::open(), &Security::open(), 2).await;
    assert!(client.unwrap().node.is_none() && server.unwrap().node.is_none());
}

#[tokio::test]
async fn what_begins_as_tls_and_goes_on_as_garbage_is_refused() {
    let security = good(&authority("here"), 2);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    // A record of 16 KiB and more, which no version of TLS has.
    stream.write_all(&[0x16, 3, 1, 0xff, 0xff, 1, 2, 3]).await.unwrap();
    let accepted = security.accept(listener.accept().await.unwrap().0);
    let accepted = tokio::time::timeout(PATIENCE, accepted).await.unwrap();
    assert_eq!(refused(&accepted), Some(Refusal::Garbage), "{accepted:?}");
}

#[test]
fn all_that_is_wrong_with_the_files_is_said_at_once() {
    let missing = Files { ca: "/no/ca".into(), cert: "/no/cert".into(), key: "/no/key".into() };
    let faults = Credentials::load(&missing, "here", NodeId(1), now()).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.fault == Fault::Missing));
    let ours = authority("here");
    let issued = ours.issue(NodeId(1), days(-1, 9)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), &ours, &issued);
    std::fs::write(&files.ca, "no PEM").unwrap();
    std::fs::write(&files.key, &issued.cert).unwrap();
    let faults = Credentials::load(&files, "here", NodeId(1), now()).unwrap_err();
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].ends_with("ca.pem: it holds no certificate in PEM"), "{said:?}");
    assert!(said[1].ends_with("key.pem: it holds no private key in PEM"), "{said:?}");
}

fn fault(found: Result<Credentials, Vec<FileFault>>) -> String {
    let faults = found.unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults[0].to_string()
}

#[test]
fn credentials_that_do_not_fit_name_the_file_and_the_reason() {
    let (ours, theirs) = (authority("here"), authority("here"));
    let issued = ours.issue(NodeId(1), days(-1, 9)).unwrap();
    let at = |days: i64| Timestamp(now().0 + days * DAY + 1_000);
    let loaded = credentials(&ours, &issued, 1, now()).unwrap();
    let off = loaded.expires().0 - at(9).0;
    assert!(off.abs() < 60_000, "it expires when it was issued to: {off}");
    let expired = fault(credentials(&ours, &issued, 1, at(12)));
    assert!(expired.contains("cert.pem: the certificate expired 3 days ago"), "{expired}");
    let early = fault(credentials(&ours, &issued, 1, at(-3)));
    assert!(early.contains("valid in 47 hours only"), "{early}");
    let other = fault(credentials(&theirs, &issued, 1, now()));
    assert!(other.contains("not of the authority in cluster.tls.ca"), "{other}");
    let node = fault(credentials(&ours, &issued, 2, now()));
    assert!(node.contains("is for node-1.here.quarry, and this is node 2"), "{node}");
    let key = ours.issue(NodeId(1), days(-1, 9)).unwrap().key;
    let mixed = Issued { cert: issued.cert, key };
    let key = fault(credentials(&ours, &mixed, 1, now()));
    assert!(key.contains("key.pem: the key is not that of the certificate"), "{key}");
}

#[tokio::test]
async fn an_authority_is_taken_up_again_from_its_files() {
    let first = authority("here");
    let again = Authority::load("here", first.certificate(), &first.key()).unwrap();
    let (client, server) = meet(&good(&first, 1), &good(&again, 2), 2).await;
    assert!(client.is_ok() && server.is_ok(), "{client:?} {server:?}");
    let other = authority("here");
    let mixed = Authority::load("here", first.certificate(), &other.key());
    assert!(matches!(mixed, Err(AuthorityError::NotOurs { .. })), "{mixed:?}");
}
