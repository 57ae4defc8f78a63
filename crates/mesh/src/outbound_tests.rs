//! Given queues and credit, when a batch is made, then these frames.

use tokio::sync::Semaphore;

use super::*;

const CHUNK: u32 = 64 << 10;

fn outbound(window_bytes: u32, window_frames: u32) -> Outbound {
    let limits = Limits { window_bytes, window_frames, reply_bytes: 100, ..Limits::default() };
    Outbound::new(limits, Window { bytes: window_bytes, frames: window_frames })
}

fn room() -> Room {
    let semaphore = Arc::new(Semaphore::new(2));
    let permit = || semaphore.clone().try_acquire_owned().unwrap();
    (permit(), permit())
}

fn ask(outbound: &mut Outbound, correlation: u64, size: usize) -> Arc<Ticket> {
    let ticket = Arc::<Ticket>::default();
    outbound.push_request(correlation, Bytes::from(vec![0; size]), ticket.clone(), room());
    ticket
}

/// Kind, correlation and length of each frame.
fn shape(frames: &[Frame]) -> Vec<(&'static str, u64, usize)> {
    let shape = |frame: &Frame| match frame {
        Frame::Request(chunk) | Frame::Reply(chunk) => (chunk.correlation, chunk.piece.len()),
        Frame::Nack { correlation } | Frame::Cancel { correlation } => (*correlation, 0),
        Frame::Credit { bytes, .. } => (*bytes, 0),
        Frame::Ping { number } | Frame::Pong { number } => (*number, 0),
    };
    frames.iter().map(|frame| (frame.kind(), shape(frame).0, shape(frame).1)).collect()
}

#[test]
fn small_frames_leave_together_in_order() {
    let mut outbound = outbound(1 << 20, 100);
    for correlation in 0..3 {
        ask(&mut outbound, correlation, 10);
    }
    let batch = shape(&outbound.next_batch());
    assert_eq!(batch, [("request", 0, 10), ("request", 1, 10), ("request", 2, 10)]);
    assert!(outbound.next_batch().is_empty());
}

#[test]
fn large_bodies_of_requests_and_replies_take_turns() {
    let mut outbound = outbound(1 << 20, 100);
    outbound.limits.reply_bytes = 1 << 20;
    ask(&mut outbound, 1, 2 * MAX_CHUNK);
    outbound.push_reply(7, Bytes::from(vec![0; MAX_CHUNK + 1])).unwrap();
    let mut frames = shape(&outbound.next_batch());
    frames.extend(shape(&outbound.next_batch()));
    let expected = [
        ("request", 1, MAX_CHUNK),
        ("reply", 7, MAX_CHUNK),
        ("request", 1, MAX_CHUNK),
        ("reply", 7, 1),
    ];
    assert_eq!(frames, expected);
    assert_eq!(outbound.reply_bytes, 0);
}

#[test]
fn nothing_leaves_without_credit_of_both_kinds() {
    let mut bytes = outbound(2 * (CHUNK + FRAME_COST), 100);
    ask(&mut bytes, 1, 4 * MAX_CHUNK);
    assert_eq!(bytes.next_batch().len(), 2);
    assert!(!bytes.has_credit());
    assert!(bytes.next_batch().is_empty());
    bytes.credited(u64::from(CHUNK + FRAME_COST), 1);
    assert_eq!(bytes.next_batch().len(), 1);
    bytes.credited(u64::MAX, u32::MAX);
    assert_eq!(bytes.credit.bytes, u64::from(2 * (CHUNK + FRAME_COST)), "the window is the limit");
    let mut frames = outbound(1 << 20, 2);
    for correlation in 0..3 {
        ask(&mut frames, correlation, 1);
    }
    assert_eq!(frames.next_batch().len(), 2);
    assert!(frames.next_batch().is_empty());
}

#[test]
fn an_abandoned_request_that_never_left_is_not_sent_at_all() {
    let mut outbound = outbound(1 << 20, 100);
    let ticket = ask(&mut outbound, 1, 10);
    assert!(!ticket.abandon(), "nothing had left");
    ask(&mut outbound, 2, 10);
    assert_eq!(shape(&outbound.next_batch()), [("request", 2, 10)]);
    let ticket = ask(&mut outbound, 3, 10);
    ticket.abandon();
    outbound.withdraw(3);
    assert!(outbound.requests.is_empty());
}

#[test]
fn an_abandoned_request_of_which_a_part_left_is_cancelled() {
    let mut outbound = outbound(CHUNK + FRAME_COST, 100);
    let ticket = ask(&mut outbound, 1, 3 * MAX_CHUNK);
    assert_eq!(shape(&outbound.next_batch()), [("request", 1, MAX_CHUNK)]);
    assert!(ticket.abandon(), "a frame had left");
    outbound.withdraw(1);
    assert_eq!(shape(&outbound.next_batch()), [("cancel", 1, 0)]);
    assert!(outbound.requests.is_empty());
}

#[test]
fn replies_over_the_limit_become_nacks_which_need_no_credit() {
    let mut outbound = outbound(0, 0);
    assert_eq!(outbound.push_reply(1, Bytes::from(vec![0; 36])), Ok(true));
    assert_eq!(outbound.push_reply(2, Bytes::from(vec![0; 1])), Ok(false));
    assert_eq!(shape(&outbound.next_batch()), [("nack", 2, 0)]);
    for correlation in 0..u64::try_from(MAX_CONTROL).unwrap() {
        outbound.push_control(Frame::Nack { correlation }).unwrap();
    }
    assert_eq!(outbound.push_control(Frame::Nack { correlation: 0 }), Err(Overrun));
}

#[test]
fn credit_is_granted_by_the_quarter_of_the_window() {
    let mut outbound = outbound(1_000, 100);
    assert!(!outbound.consumed(249, 1));
    assert!(outbound.next_batch().is_empty());
    assert!(outbound.consumed(1, 1));
    assert_eq!(outbound.next_batch(), [Frame::Credit { bytes: 250, frames: 2 }]);
    assert!(outbound.consumed(0, 25));
    assert_eq!(outbound.next_batch(), [Frame::Credit { bytes: 0, frames: 25 }]);
}
