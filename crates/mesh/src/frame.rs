//! What crosses between nodes: batches of frames, each batch one cast of the substrate.

use bytes::Bytes;
use quarry_plane::Refusal;
use quarry_ports::codec::{self, schema};
use ractor::{
    Message,
    message::{BoxedDowncastErr, SerializedMessage},
};
use serde::{Deserialize, Serialize};

/// The largest body of a request or reply.
pub(crate) const MAX_BODY: usize = 16 << 20;
/// The largest piece of a body in one frame.
pub(crate) const MAX_CHUNK: usize = 64 << 10;
/// A batch is closed once it holds so many bytes.
pub(crate) const BATCH_BYTES: usize = 128 << 10;
/// The most frames of a batch.
pub(crate) const BATCH_FRAMES: usize = 512;
/// The largest encoded batch; a larger one is refused undecoded.
pub(crate) const MAX_BATCH: usize = 512 << 10;
/// What a frame costs beside the bytes of its chunk.
pub(crate) const FRAME_COST: u32 = 64;

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    /// Which request it belongs to; chosen by the node that asks.
    pub(crate) correlation: u64,
    /// The length of the whole body.
    pub(crate) total: u32,
    /// Where in the body this piece begins.
    pub(crate) offset: u32,
    /// The piece, at most [`MAX_CHUNK`].
    pub(crate) piece: Bytes,
}

impl Chunk {
    /// Whether the body ends with it.
    pub(crate) fn is_last(&self) -> bool {
        let piece = u32::try_from(self.piece.len()).unwrap_or(u32::MAX);
        self.offset.saturating_add(piece) == self.total
    }

    /// What it takes of the credit.
    pub(crate) fn cost(&self) -> u32 {
        u32::try_from(self.piece.len()).unwrap_or(u32::MAX).saturating_add(FRAME_COST)
    }
}

/// One message of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// A piece of a request.
    Request(Chunk),
    /// A piece of the reply to a request.
    Reply(Chunk),
    /// The request was dropped: there will be no reply.
    Nack {
        /// Which request.
        correlation: u64,
    },
    /// No more pieces of this request will come, and no reply is waited for.
    Cancel {
        /// Which request.
        correlation: u64,
    },
    /// The sender handed on this much: the receiver may send as much again.
    Credit {
        /// Bytes, with [`FRAME_COST`] per frame.
        bytes: u64,
        /// Frames.
        frames: u32,
    },
    /// Asks the gateway at the other end for a sign of life.
    Ping {
        /// Which of the pings of this side and link.
        number: u64,
    },
    /// The gateway took the ping.
    Pong {
        /// Which ping.
        number: u64,
    },
}

impl Frame {
    /// All kinds, as the metrics show them.
    pub(crate) const KINDS: [&'static str; 7] =
        ["request", "reply", "nack", "cancel", "credit", "ping", "pong"];

    /// Its kind, as the metrics show it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Reply(_) => "reply",
            Self::Nack { .. } => "nack",
            Self::Cancel { .. } => "cancel",
            Self::Credit { .. } => "credit",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
        }
    }

    /// Whether it comes because the peer took something that this side had sent.
    pub(crate) const fn answers(&self) -> bool {
        match self {
            Self::Reply(_) | Self::Nack { .. } | Self::Credit { .. } | Self::Pong { .. } => true,
            Self::Request(_) | Self::Cancel { .. } | Self::Ping { .. } => false,
        }
    }
}

/// Frames in the order in which they were sent, over one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The link, as agreed in the greeting.
    pub(crate) link: u64,
    /// The frames.
    pub(crate) frames: Vec<Frame>,
}

/// The one remotable message type of a node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MeshMessage {
    /// What a peer sent, or what is to be sent to it.
    Batch(Batch),
    /// A peer sent what is no batch: over which link, as far as that can be read, and what is wrong.
    Refused {
        /// The number at the place where batches have it.
        link: Option<u64>,
        /// What is wrong.
        refusal: Refusal,
    },
}

/// How many bytes a stored value of ours has before the first of its content.
const HEAD: usize = 16;

impl MeshMessage {
    fn refused(args: &[u8], refusal: Refusal) -> Self {
        let link = args.get(HEAD..).and_then(|body| body.first_chunk());
        Self::Refused { link: link.map(|number| u64::from_le_bytes(*number)), refusal }
    }
}

impl Message for MeshMessage {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        let Self::Batch(batch) = self else { return Err(BoxedDowncastErr) };
        let args = codec::encode(schema::MESH_FRAME, &batch).map_err(|_| BoxedDowncastErr)?;
        Ok(SerializedMessage::Cast { variant: String::new(), args: args.into(), metadata: None })
    }

    /// Never fails: the substrate drops what does not decode without a word, and it is to be counted.
    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        let SerializedMessage::Cast { args, .. } = message else {
            return Ok(Self::refused(&[], Refusal::Garbage));
        };
        if args.len() > MAX_BATCH {
            return Ok(Self::refused(&args, Refusal::Oversized));
        }
        let batch = codec::decode(schema::MESH_FRAME, &args);
        Ok(batch.map_or_else(|_| Self::refused(&args, Refusal::Garbage), Self::Batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let piece = Bytes::from_static(b"body");
        let chunk = Chunk { correlation: 3, total: 4, offset: 0, piece };
        let frames = vec![
            Frame::Request(chunk.clone()),
            Frame::Reply(chunk),
            Frame::Nack { correlation: 4 },
            Frame::Cancel { correlation: 5 },
            Frame::Credit { bytes: 6, frames: 7 },
        ];
        Batch { link: 2, frames }
    }

    fn cast(args: Vec<u8>) -> SerializedMessage {
        SerializedMessage::Cast { variant: String::new(), args, metadata: None }
    }

    fn encoded() -> Vec<u8> {
        codec::encode(schema::MESH_FRAME, &batch()).unwrap().into()
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let message = MeshMessage::Batch(batch()).serialize().unwrap();
        assert_eq!(MeshMessage::deserialize(message), Ok(MeshMessage::Batch(batch())));
    }

    #[test]
    fn garbage_and_what_is_too_large_are_told_apart() {
        let refused = |args| match MeshMessage::deserialize(cast(args)).unwrap() {
            MeshMessage::Refused { link, refusal } => (link, refusal),
            MeshMessage::Batch(batch) => panic!("taken: {batch:?}"),
        };
        assert_eq!(refused(vec![7; 20]), (None, Refusal::Garbage));
        let sevens = u64::from_le_bytes([7; 8]);
        assert_eq!(refused(vec![7; 100]), (Some(sevens), Refusal::Garbage));
        assert_eq!(refused(vec![7; MAX_BATCH + 1]), (Some(sevens), Refusal::Oversized));
        let mut damaged = encoded();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(refused(damaged), (Some(2), Refusal::Garbage), "it still says over which link");
    }

    #[test]
    fn the_bytes_of_version_one_never_change() {
        let body: Vec<u8> = encoded().split_off(16);
        let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        for kind in [0, 1] {
            expected.extend([kind, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
            expected.extend([4, 0, 0, 0, 0, 0, 0, 0]);
            expected.extend(b"body");
        }
        expected.extend([2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(body, expected);
    }

    #[test]
    fn the_bytes_of_version_two_never_change() {
        let frames = vec![Frame::Ping { number: 8 }, Frame::Pong { number: 9 }];
        let encoded = codec::encode(schema::MESH_FRAME, &Batch { link: 2, frames }).unwrap();
        let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded.get(16..), Some(&expected[..]));
    }
}
