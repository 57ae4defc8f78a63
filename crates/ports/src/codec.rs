//! The only use of bincode: frames with schema, version, length and checksum.
//!
//! bincode is not maintained any more; behind this module it can be exchanged. Every decode has a
//! limit (without one, a twelve-byte message can ask for any amount of memory) and checks that all
//! bytes were consumed.
//!
//! Layout, little-endian: codec id (1 byte, 1 = bincode 2), schema id (2), version (1), body length
//! (4), xxh3-64 of the body (8), body.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

const CODEC: u8 = 1;
const HEADER: usize = 16;

/// The largest body that is encoded or decoded: 16 MiB.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// What a frame holds, and in which version it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its number; never reused.
    pub id: u16,
    /// The version that is written; decoding refuses newer ones.
    pub version: u8,
}

/// The schemas of the project.
pub mod schema {
    use super::Schema;

    /// A request of one runtime to another.
    pub const REQUEST: Schema = Schema { id: 1, version: 1 };
    /// The reply to it.
    pub const REPLY: Schema = Schema { id: 2, version: 1 };
    /// A frame of the mesh.
    pub const MESH_FRAME: Schema = Schema { id: 3, version: 1 };
    /// A command in the coordinator's log.
    pub const RAFT_ENTRY: Schema = Schema { id: 4, version: 1 };
    /// A snapshot of the coordinator's state.
    pub const RAFT_SNAPSHOT: Schema = Schema { id: 5, version: 1 };
    /// The same where entity types are bound to groups.
    pub const RAFT_SNAPSHOT_BOUND: Schema = Schema { id: 5, version: 2 };
    /// The same, with the times to live of leases that are not the usual one.
    pub const RAFT_SNAPSHOT_LEASED: Schema = Schema { id: 5, version: 3 };
    /// A message of the control plane.
    pub const CONTROL: Schema = Schema { id: 6, version: 1 };
    /// A stored error chain.
    pub const ERRORS: Schema = Schema { id: 7, version: 1 };
    /// Reply chunks of one row.
    pub const CHUNKS: Schema = Schema { id: 10, version: 1 };
    /// A Raft vote or progress mark.
    pub const RAFT_META: Schema = Schema { id: 8, version: 1 };
    /// A message of the greeting with which two nodes of the mesh prove who they are.
    pub const MESH_HELLO: Schema = Schema { id: 9, version: 1 };
}

/// Why bytes were not encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value is larger than [`MAX_BODY`] when encoded, or cannot be encoded at all.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The frame is cut, damaged, of another schema, or too new.
    #[error("cannot decode: {0}")]
    Decode(String),
}

fn configuration() -> Configuration<LittleEndian, Fixint, Limit<MAX_BODY>> {
    bincode::config::legacy().with_limit::<MAX_BODY>()
}

/// Encodes `value` as a frame.
///
/// # Errors
/// [`CodecError::Encode`].
pub fn encode<T: Serialize>(schema: Schema, value: &T) -> Result<Bytes, CodecError> {
    let body = bincode::serde::encode_to_vec(value, configuration())
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY);
    let length = length.ok_or_else(|| {
        CodecError::Encode(format!("{} bytes are over the limit of {MAX_BODY}", body.len()))
    })?;
    let mut frame = BytesMut::with_capacity(HEADER + body.len());
    frame.put_u8(CODEC);
    frame.put_u16_le(schema.id);
    frame.put_u8(schema.version);
    frame.put_u32_le(length);
    frame.put_u64_le(xxh3_64(&body));
    frame.put_slice(&body);
    Ok(frame.freeze())
}

/// Decodes a frame of `schema` as written by [`encode`].
///
/// # Errors
/// [`CodecError::Decode`] says what is wrong with it.
pub fn decode<T: DeserializeOwned>(schema: Schema, frame: &[u8]) -> Result<T, CodecError> {
    let fail = |what: &str| Err(CodecError::Decode(what.to_owned()));
    let Some((header, body)) = frame.split_first_chunk::<HEADER>() else {
        return fail("the frame is shorter than its header");
    };
    let [codec, s0, s1, version, l0, l1, l2, l3, c0, c1, c2, c3, c4, c5, c6, c7] = *header;
    if codec != CODEC || u16::from_le_bytes([s0, s1]) != schema.id {
        return fail("the frame is of another codec or schema");
    }
    if version == 0 || version > schema.version {
        return fail("the frame is of a version that this program does not know");
    }
    if usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])) != Ok(body.len())
        || body.len() > MAX_BODY
    {
        return fail("the frame's length is wrong");
    }
    if u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]) != xxh3_64(body) {
        return fail("the frame is damaged: its checksum is wrong");
    }
    let (value, consumed) = bincode::serde::decode_from_slice(body, configuration())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    if consumed == body.len() { Ok(value) } else { fail("the frame has bytes left over") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema { id: 900, version: 2 };

    fn frame() -> Vec<u8> {
        encode(SCHEMA, &(7_u64, "text".to_owned())).unwrap().to_vec()
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        assert_eq!(decode::<(u64, String)>(SCHEMA, &frame()), Ok((7, "text".to_owned())));
    }

    #[test]
    fn every_single_damaged_byte_is_noticed() {
        let good = frame();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(decode::<(u64, String)>(SCHEMA, &bad).is_err(), "byte {at}");
        }
        for cut in 0..good.len() {
            assert!(decode::<(u64, String)>(SCHEMA, &good[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_without_allocating() {
        let body = u64::MAX.to_le_bytes();
        let mut frame = vec![CODEC, 0x84, 0x03, 1];
        frame.extend(8_u32.to_le_bytes());
        frame.extend(xxh3_64(&body).to_le_bytes());
        frame.extend(body);
        assert!(decode::<Vec<u64>>(SCHEMA, &frame).is_err());
    }

    #[test]
    fn the_bytes_of_version_one_never_change() {
        let schema = Schema { id: 900, version: 1 };
        let frame = encode(schema, &(1_u8, 2_u16)).unwrap();
        assert_eq!(frame.split_at(8), (&[1, 0x84, 3, 1, 3, 0, 0, 0][..], &frame[8..]));
        assert_eq!(&frame[16..], [1, 2, 0]);
    }
}
