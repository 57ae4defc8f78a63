//! The greeting: before a connection is handed to the substrate, both sides say who they are and
//! prove that they hold the cluster's cookie.
//!
//! ```text
//! client ─ hello(protocol, cluster, node, boot, nonce) ─▶ server
//! client ◀─ hello, proof(server) ──────────────────────── server
//! client ─ proof(client) ───────────────────────────────▶ server
//! client ◀─ welcome ───────────────────────────────────── server
//! ```
//! Each hello names the newest and the oldest version of the protocol that its side speaks; where the
//! ranges do not meet, the greeting ends there. A proof is HMAC-SHA-256 of both hellos and the role, keyed with the cookie, so it cannot be
//! reflected or replayed. Each message is `QMSH`, its length (2 bytes, big-endian, at most 1 KiB)
//! and a frame of the codec; nothing larger is ever read from a peer that has proved nothing.
//! Instead of going on, either side may answer with the reason of its refusal.

use std::io;

use hmac::{Hmac, Mac};
use quarry_plane::{Cookie, Protocol, Refusal};
use quarry_ports::{
    Host,
    codec::{self, schema},
};
use quarry_types::{BootId, NodeId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::outbound::Window;

const MAGIC: [u8; 4] = *b"QMSH";
const MAX_MESSAGE: usize = 1_024;
/// The version of the protocol from which on a link vouches for what it carries.
const VOUCHED_FROM: u16 = 2;

/// What a side knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) protocol: Protocol,
    pub(crate) cluster: String,
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    pub(crate) cookie: Cookie,
    /// What a peer may send before it is handed on.
    pub(crate) window: Window,
}

/// Who the other side proved to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    /// What this node may send before the peer has handed it on.
    pub(crate) window: Window,
    /// The number of the link: the same at both ends, and another one for every connection.
    pub(crate) link: u64,
    /// The version of the protocol that both sides speak from here on.
    pub(crate) version: u16,
}

impl Greeted {
    /// Whether what follows is checked, by TLS or by records of ours, and pings are answered.
    pub(crate) const fn is_vouched_for(&self) -> bool {
        self.version >= VOUCHED_FROM
    }
}

/// Why a greeting came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    /// We refused the other side.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The other side refused us.
    #[error("the peer refused: {0}")]
    ByPeer(Refusal),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    protocol: u16,
    oldest: u16,
    window: Window,
    cluster: String,
    node: NodeId,
    boot: BootId,
    nonce: [u8; 32],
}

type Proof = [u8; 32];

#[derive(Debug, Serialize, Deserialize)]
enum Answer<T> {
    Go(T),
    Refused(Refusal),
}

/// Greets as the side that connected; `meant` is the node it wants to reach.
pub(crate) async fn as_client<S>(
    stream: &mut S,
    us: &Identity,
    meant: NodeId,
    host: &Host,
) -> Result<Greeted, GreetingError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mine = hello(us, host);
    write(stream, &mine).await?;
    let (theirs, proof): (Hello, Proof) = answer(stream).await?;
    let transcript = Transcript { cookie: &us.cookie, client: &mine, server: &theirs };
    let checked = check(us, &theirs).and_then(|version| {
        if theirs.node != meant {
            return Err(Refusal::Node);
        }
        transcript.verify(b"server", &proof).map(|()| version)
    });
    let version = match checked {
        Err(refusal) => return refuse::<Proof, _>(stream, refusal).await,
        Ok(version) => version,
    };
    write(stream, &Answer::Go(transcript.proof(b"client"))).await?;
    let () = answer(stream).await?;
    Ok(transcript.greeted(&theirs, version))
}

/// Greets as the side that was connected to; `certified` is the node that the other side has a
/// certificate of, where it showed one.
pub(crate) async fn as_server<S>(
    stream: &mut S,
    us: &Identity,
    certified: Option<NodeId>,
    host: &Host,
) -> Result<Greeted, GreetingError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let theirs: Hello = match read(stream).await {
        Err(GreetingError::Refused(refusal)) => {
            return refuse::<(Hello, Proof), _>(stream, refusal).await;
        }
        theirs => theirs?,
    };
    let is_another = certified.is_some_and(|node| node != theirs.node);
    let checked = if is_another { Err(Refusal::Node) } else { check(us, &theirs) };
    let version = match checked {
        Err(refusal) => return refuse::<(Hello, Proof), _>(stream, refusal).await,
        Ok(version) => version,
    };
    let mine = hello(us, host);
    let transcript = Transcript { cookie: &us.cookie, client: &theirs, server: &mine };
    write(stream, &Answer::Go((mine.clone(), transcript.proof(b"server")))).await?;
    let proof: Proof = match answer(stream).await {
        Err(GreetingError::Refused(refusal)) => return refuse::<(), _>(stream, refusal).await,
        proof => proof?,
    };
    if let Err(refusal) = transcript.verify(b"client", &proof) {
        return refuse::<(), _>(stream, refusal).await;
    }
    write(stream, &Answer::Go(())).await?;
    Ok(transcript.greeted(&theirs, version))
}

fn hello(us: &Identity, host: &Host) -> Hello {
    let mut nonce = [0; 32];
    for part in nonce.chunks_exact_mut(8) {
        part.copy_from_slice(&host.random.next_u64().to_le_bytes());
    }
    let Identity { protocol, cluster, node, boot, window, .. } = us;
    Hello {
        protocol: protocol.newest,
        oldest: protocol.oldest,
        window: *window,
        cluster: cluster.clone(),
        node: *node,
        boot: *boot,
        nonce,
    }
}

/// The version of the protocol that both sides speak.
fn check(us: &Identity, theirs: &Hello) -> Result<u16, Refusal> {
    let speaks = Protocol { newest: theirs.protocol, oldest: theirs.oldest };
    let Some(version) = us.protocol.common(speaks) else {
        let (ours, node) = (us.protocol, theirs.node);
        tracing::debug!(%node, %speaks, %ours, "a peer speaks another version of the protocol");
        return Err(Refusal::Version);
    };
    if theirs.cluster != us.cluster {
        Err(Refusal::Cluster)
    } else if theirs.node == us.node {
        Err(Refusal::Node)
    } else {
        Ok(version)
    }
}

struct Transcript<'a> {
    cookie: &'a Cookie,
    client: &'a Hello,
    server: &'a Hello,
}

impl Transcript<'_> {
    fn mac(&self, role: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.cookie.expose().as_bytes())
            .expect("keys of every length are taken");
        mac.update(role);
        for hello in [self.client, self.server] {
            mac.update(&hello.protocol.to_le_bytes());
            mac.update(&hello.oldest.to_le_bytes());
            mac.update(&hello.window.bytes.to_le_bytes());
            mac.update(&hello.window.frames.to_le_bytes());
            mac.update(&hello.node.0.to_le_bytes());
            mac.update(&hello.boot.0.to_le_bytes());
            mac.update(&hello.nonce);
            mac.update(&u64::try_from(hello.cluster.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(hello.cluster.as_bytes());
        }
        mac
    }

    fn proof(&self, role: &[u8]) -> Proof {
        self.mac(role).finalize().into_bytes().into()
    }

    fn verify(&self, role: &[u8], proof: &Proof) -> Result<(), Refusal> {
        self.mac(role).verify_slice(proof).map_err(|_| Refusal::Cookie)
    }

    fn greeted(&self, theirs: &Hello, version: u16) -> Greeted {
        let link = self.proof(b"link").first_chunk().copied().map_or(0, u64::from_le_bytes);
        Greeted { node: theirs.node, boot: theirs.boot, window: theirs.window, link, version }
    }
}

async fn answer<S, T>(stream: &mut S) -> Result<T, GreetingError>
where
    S: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    match read(stream).await? {
        Answer::Go(value) => Ok(value),
        Answer::Refused(refusal) => Err(GreetingError::ByPeer(refusal)),
    }
}

/// Tells the other side why; it waits for an answer of the type `T`.
async fn refuse<T: Serialize, S>(stream: &mut S, refusal: Refusal) -> Result<Greeted, GreetingError>
where
    S: AsyncWrite + Unpin,
{
    // Whether it hears the reason does not matter here: it is refused.
    let _ = write(stream, &Answer::<T>::Refused(refusal)).await;
    Err(GreetingError::Refused(refusal))
}

async fn write<S, T>(stream: &mut S, value: &T) -> Result<(), GreetingError>
where
    S: AsyncWrite + Unpin,
    T: Serialize,
{
    let body = codec::encode(schema::MESH_HELLO, value).map_err(io::Error::other)?;
    let length = u16::try_from(body.len()).ok().filter(|_| body.len() <= MAX_MESSAGE);
    let length = length.ok_or_else(|| io::Error::other("the cluster's name is too long"))?;
    let mut message = MAGIC.to_vec();
    message.extend(length.to_be_bytes());
    message.extend(body);
    stream.write_all(&message).await?;
    Ok(stream.flush().await?)
}

async fn read<S, T>(stream: &mut S) -> Result<T, GreetingError>
where
    S: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    let mut magic = [0; 4];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(GreetingError::Refused(Refusal::Garbage));
    }
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_MESSAGE {
        return Err(GreetingError::Refused(Refusal::Oversized));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    codec::decode(schema::MESH_HELLO, &body).map_err(|_| GreetingError::Refused(Refusal::Garbage))
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
