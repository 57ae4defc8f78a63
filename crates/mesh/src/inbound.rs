//! Bodies put together from their chunks, with limits.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use quarry_plane::Refusal;

use crate::frame::{Chunk, MAX_BODY, MAX_CHUNK};

/// The most bodies of one peer that may be incomplete at once. Our own nodes send one request and
/// one reply at a time.
const MAX_PARTIAL: usize = 4;

/// What a body is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A request of the peer.
    Request,
    /// A reply to a request of ours.
    Reply,
}

/// The incomplete bodies of one link.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    partial: BTreeMap<(Kind, u64), BytesMut>,
}

impl Inbound {
    /// Takes a chunk; the whole body where this was its last.
    pub(crate) fn take(&mut self, kind: Kind, chunk: Chunk) -> Result<Option<Bytes>, Refusal> {
        let Chunk { correlation, total, offset, piece } = chunk;
        let total = usize::try_from(total).map_err(|_| Refusal::Chunk)?;
        let offset = usize::try_from(offset).map_err(|_| Refusal::Chunk)?;
        if total > MAX_BODY || piece.len() > MAX_CHUNK || offset.saturating_add(piece.len()) > total
        {
            return Err(Refusal::Chunk);
        }
        let key = (kind, correlation);
        if offset == 0 {
            // A body that begins anew replaces what there was of it.
            self.partial.remove(&key);
            if piece.len() == total {
                return Ok(Some(piece));
            }
            if self.partial.len() >= MAX_PARTIAL {
                return Err(Refusal::Chunk);
            }
        }
        if piece.is_empty() {
            return Err(Refusal::Chunk);
        }
        // Grown as bytes arrive: an announced length alone takes no memory.
        let body = self.partial.entry(key).or_default();
        if body.len() != offset {
            return Err(Refusal::Chunk);
        }
        body.extend_from_slice(&piece);
        if body.len() < total {
            return Ok(None);
        }
        Ok(self.partial.remove(&key).map(BytesMut::freeze))
    }

    /// Forgets a request that will not be completed.
    pub(crate) fn cancel(&mut self, correlation: u64) {
        self.partial.remove(&(Kind::Request, correlation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(correlation: u64, total: u32, offset: u32, piece: &[u8]) -> Chunk {
        Chunk { correlation, total, offset, piece: Bytes::copy_from_slice(piece) }
    }

    fn take(inbound: &mut Inbound, chunk: Chunk) -> Result<Option<Bytes>, Refusal> {
        inbound.take(Kind::Request, chunk)
    }

    #[test]
    fn pieces_in_order_make_the_body() {
        let mut inbound = Inbound::default();
        assert_eq!(take(&mut inbound, chunk(1, 5, 0, b"ab")), Ok(None));
        assert_eq!(take(&mut inbound, chunk(2, 2, 0, b"xy")), Ok(Some(Bytes::from_static(b"xy"))));
        assert_eq!(take(&mut inbound, chunk(1, 5, 2, b"cd")), Ok(None));
        let whole = take(&mut inbound, chunk(1, 5, 4, b"e"));
        assert_eq!(whole, Ok(Some(Bytes::from_static(b"abcde"))));
        assert_eq!(take(&mut inbound, chunk(3, 0, 0, b"")), Ok(Some(Bytes::new())));
        assert!(inbound.partial.is_empty());
    }

    #[test]
    fn requests_and_replies_of_one_number_are_kept_apart() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.take(Kind::Request, chunk(1, 2, 0, b"a")), Ok(None));
        assert_eq!(inbound.take(Kind::Reply, chunk(1, 2, 0, b"x")), Ok(None));
        let request = inbound.take(Kind::Request, chunk(1, 2, 1, b"b"));
        assert_eq!(request, Ok(Some(Bytes::from_static(b"ab"))));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = Err(Refusal::Chunk);
        let mut inbound = Inbound::default();
        let over = u32::try_from(MAX_BODY + 1).unwrap();
        assert_eq!(take(&mut inbound, chunk(1, over, 0, b"a")), refused);
        assert_eq!(take(&mut inbound, chunk(1, 2, 1, b"ab")), refused);
        assert_eq!(take(&mut inbound, chunk(1, 9, 0, b"")), refused);
        assert_eq!(take(&mut inbound, chunk(1, 1 << 20, 0, &vec![0; MAX_CHUNK + 1])), refused);
        assert_eq!(take(&mut Inbound::default(), chunk(1, 9, 4, b"gap")), refused);
        let mut full = Inbound::default();
        for correlation in 0..4 {
            assert_eq!(take(&mut full, chunk(correlation, 9, 0, b"a")), Ok(None));
        }
        assert_eq!(take(&mut full, chunk(9, 9, 0, b"a")), refused);
        full.cancel(3);
        assert_eq!(take(&mut full, chunk(9, 9, 0, b"a")), Ok(None));
    }
}
