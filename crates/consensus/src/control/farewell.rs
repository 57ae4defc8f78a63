//! What this side of a connection says as it ends it. HTTP/2 tells the peer by a frame whose fault the
//! end is (GOAWAY; RFC 9113, 6.8), and nobody else: what was no HTTP/2 is seen there.

use quarry_plane::Refusal;

/// The bytes of a frame before its content.
const HEADER: usize = 9;
const GOAWAY: u8 = 7;
/// A header, the last stream that was taken, and the reason.
const WHOLE: usize = HEADER + 8;

/// Reasons of an end (RFC 9113, 7) that are none of the peer's.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const FRAME_SIZE_ERROR: u32 = 6;
/// The peer asked for more than it may.
const ENHANCE_YOUR_CALM: u32 = 11;

/// Follows the frames that are written on a connection. A value: no I/O.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// The beginning of the frame under way.
    head: Vec<u8>,
    /// How much of the frame under way is still to come and says nothing.
    skip: usize,
}

impl Farewell {
    /// Takes bytes that were written; why the peer is refused where they end the connection for that.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) -> Option<Refusal> {
        let mut refusal = None;
        while !bytes.is_empty() {
            let taken = if self.skip > 0 {
                let taken = self.skip.min(bytes.len());
                self.skip -= taken;
                taken
            } else {
                let whole = if self.head.len() < HEADER { HEADER } else { WHOLE };
                let taken = (whole - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                let seen = self.look();
                refusal = refusal.or(seen);
                taken
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        refusal
    }

    /// Looks at what there is of the frame under way; done with its beginning, it passes over the rest.
    fn look(&mut self) -> Option<Refusal> {
        let [l0, l1, l2, kind, ..] = *self.head.first_chunk::<HEADER>()?;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
        if kind == GOAWAY && length >= WHOLE - HEADER {
            let reason = *self.head.first_chunk::<WHOLE>()?.last_chunk::<4>()?;
            self.head.clear();
            self.skip = length - (WHOLE - HEADER);
            return refusal_of(u32::from_be_bytes(reason));
        }
        self.head.clear();
        self.skip = length;
        None
    }
}

const fn refusal_of(reason: u32) -> Option<Refusal> {
    match reason {
        NO_ERROR | INTERNAL_ERROR => None,
        FRAME_SIZE_ERROR => Some(Refusal::Oversized),
        ENHANCE_YOUR_CALM => Some(Refusal::Overload),
        _ => Some(Refusal::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 4, 0];
    /// Content that would end the connection if it was a frame.
    const DATA: [u8; 26] = [
        0, 0, 17, 0, 0, 0, 0, 0, 1, // and the content
        0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];

    fn goaway(reason: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, 11, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, reason];
        frame.extend(b"why");
        frame
    }

    /// What is seen of `frames` where they are written in pieces of this size.
    fn seen(frames: &[u8], piece: usize) -> Vec<Refusal> {
        let mut farewell = Farewell::default();
        frames.chunks(piece).filter_map(|bytes| farewell.wrote(bytes)).collect()
    }

    #[test]
    fn an_end_for_the_peers_fault_is_seen_however_it_is_cut() {
        for (reason, expected) in [
            (0, None),
            (1, Some(Refusal::Garbage)),
            (2, None),
            (6, Some(Refusal::Oversized)),
            (9, Some(Refusal::Garbage)),
            (11, Some(Refusal::Overload)),
        ] {
            let frames = [&SETTINGS[..], &DATA, &goaway(reason), &SETTINGS].concat();
            for piece in 1..=frames.len() {
                let expected = Vec::from_iter(expected);
                assert_eq!(seen(&frames, piece), expected, "reason {reason} by {piece}");
            }
        }
    }

    #[test]
    fn frames_without_an_end_say_nothing() {
        let frames = [&SETTINGS[..], &DATA, &DATA, &SETTINGS].concat();
        for piece in 1..=frames.len() {
            assert_eq!(seen(&frames, piece), []);
        }
    }
}
