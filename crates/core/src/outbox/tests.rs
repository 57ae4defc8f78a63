//! Given, when, then what is passed on.

use alloc::{format, string::ToString, sync::Arc, vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use quarry_types::{
    Address, Answer, CallError, Due, EntityType, Epoch, KeyOrigin, MessageId, Method, Refusal,
    RefusalCode, Sequence, Tenant, Timestamp, Unknown, UnknownCode,
};

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn address(name: &str) -> Address {
    Address::parse(Tenant::default_tenant(), name).unwrap()
}

/// The `index`-th send of a message number `message` of the entity `from`.
fn entry(from: &str, to: &str, message: u64, index: u32) -> Entry {
    let (sender, target) = (address(&format!("A/{from}")), address(&format!("B/{to}")));
    Entry {
        id: SendId { message_id: MessageId::new(NOW, sender.slot(), message), index },
        sender,
        made_at: NOW,
        outgoing: Outgoing {
            message_id: MessageId::new(NOW, target.slot(), (message << 8) + u64::from(index)),
            address: target,
            method: Method::new("add").unwrap(),
            payload: Bytes::from_static(b"1"),
            due: Due::Now,
        },
    }
}

/// How long entities know keys.
fn day(_: &EntityType) -> Duration {
    Duration::from_hours(24)
}

/// An outbox that knows of nothing open.
fn empty(limits: OutboxLimits) -> Outbox {
    let page = limits.page;
    let mut outbox = Outbox::new(limits, Sequence(10));
    assert_eq!(outbox.start_read(NOW), Some((Place::default(), page)));
    outbox.page(vec![], None);
    outbox
}

/// A commit of these entries.
fn commit(outbox: &mut Outbox, sequence: u64, entries: Vec<Entry>) -> Vec<Closed> {
    let closed = outbox.begin_commit(entries.into_iter().map(Arc::new).collect(), 100);
    outbox.committed(Sequence(sequence));
    closed
}

fn later(millis: u64) -> Timestamp {
    NOW.after(Duration::from_millis(millis))
}

/// Who sends to whom, of what is to be passed on.
fn lanes(passing: &[Passing]) -> Vec<alloc::string::String> {
    let lane = |p: &Passing| {
        let (from, to) = (&p.entry.sender.id, &p.entry.outgoing.address.id);
        format!("{}>{}#{}", from.as_str(), to.as_str(), p.entry.id.index)
    };
    passing.iter().map(lane).collect()
}

fn again(may_be_there: bool) -> Verdict {
    Verdict::Again { may_be_there, error: "away".to_string() }
}

#[test]
fn sends_of_one_entity_to_another_go_one_after_another_and_others_side_by_side() {
    let mut outbox = empty(OutboxLimits::default());
    let made = vec![
        entry("a", "x", 1, 0),
        entry("a", "x", 1, 1),
        entry("a", "y", 1, 2),
        entry("b", "x", 2, 0),
    ];
    commit(&mut outbox, 11, made);
    let first = outbox.next(NOW, day);
    assert_eq!(lanes(&first), ["a>x#0", "a>y#2", "b>x#0"]);
    assert!(outbox.next(NOW, day).is_empty());
    outbox.answered(NOW, first[0].place, Verdict::Accepted);
    assert_eq!(lanes(&outbox.next(NOW, day)), ["a>x#1"]);
}

#[test]
fn no_more_than_the_window_is_on_its_way() {
    let mut outbox = empty(OutboxLimits { window: 2, ..OutboxLimits::default() });
    let made = ["x", "y", "z"].map(|to| entry("a", to, 1, 0)).into();
    commit(&mut outbox, 11, made);
    let first = outbox.next(NOW, day);
    assert_eq!(lanes(&first), ["a>x#0", "a>y#0"]);
    outbox.answered(NOW, first[1].place, again(false));
    assert_eq!(lanes(&outbox.next(NOW, day)), ["a>z#0"]);
}

#[test]
fn a_target_that_is_away_is_asked_again_later_and_what_follows_waits() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 0), entry("a", "x", 1, 1)]);
    let (mut now, mut waits) = (NOW, Vec::new());
    for _ in 0..8 {
        let passing = outbox.next(now, day);
        assert_eq!(lanes(&passing), ["a>x#0"]);
        assert_eq!(passing[0].send_count, 0, "it surely did not arrive");
        outbox.answered(now, passing[0].place, again(false));
        let next = outbox.next_wake().unwrap();
        assert!(outbox.next(Timestamp(next.0 - 1), day).is_empty());
        waits.push(next.0 - now.0);
        now = next;
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 1_600, 1_600]);
}

#[test]
fn what_may_have_arrived_is_sent_again_as_such_under_the_same_key() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 3)]);
    let first = outbox.next(NOW, day).remove(0);
    outbox.answered(NOW, first.place, again(true));
    let second = outbox.next(later(50), day).remove(0);
    let (first, second) = (first.envelope(), second.envelope());
    assert_eq!((first.send_count, second.send_count), (0, 1));
    assert_eq!((&first.key, first.message_id), (&second.key, second.message_id));
    assert_eq!(first.key_origin, KeyOrigin::Gateway, "new: nobody has to be asked for the key");
    assert!(first.key.as_str().ends_with(".3"), "{}", first.key);
}

#[test]
fn after_a_takeover_open_sends_are_read_in_pages_and_sent_as_sent_before() {
    let mut outbox = Outbox::new(OutboxLimits::default(), Sequence(10));
    assert_eq!(outbox.start_read(NOW), Some((Place::default(), 500)));
    assert_eq!(outbox.start_read(NOW), None, "one page at a time");
    commit(&mut outbox, 11, vec![entry("a", "x", 9, 0)]);
    assert!(outbox.next(NOW, day).is_empty(), "nothing overtakes what is not read");
    let place = (Sequence(5), 0);
    outbox.page(vec![(place, entry("a", "x", 1, 0))], Some(place));
    let passing = outbox.next(NOW, day);
    assert_eq!((lanes(&passing), passing[0].send_count), (vec!["a>x#0".to_string()], 1));
    assert_eq!(outbox.start_read(NOW), Some((place, 500)));
    outbox.page(vec![((Sequence(11), 0), entry("a", "x", 9, 0))], None);
    assert_eq!(outbox.start_read(NOW), None);
    outbox.answered(NOW, place, Verdict::Accepted);
    let passing = outbox.next(NOW, day);
    assert_eq!((passing[0].place, passing[0].send_count), ((Sequence(11), 0), 0));
}

#[test]
fn a_page_that_cannot_be_read_is_asked_for_again() {
    let mut outbox = Outbox::new(OutboxLimits::default(), Sequence(0));
    outbox.start_read(NOW);
    outbox.page_failed(NOW);
    assert_eq!(outbox.start_read(later(499)), None);
    assert_eq!(outbox.next_wake(), Some(later(500)));
    assert!(outbox.start_read(later(500)).is_some());
}

#[test]
fn what_does_not_fit_into_memory_stays_in_the_store_until_there_is_room() {
    let mut outbox = empty(OutboxLimits { held: 4, page: 3, ..OutboxLimits::default() });
    let made = (0..6).map(|n| entry("a", &format!("x{n}"), 1, n)).collect();
    commit(&mut outbox, 11, made);
    let first = outbox.next(NOW, day);
    assert_eq!((first.len(), outbox.held()), (4, 4));
    assert_eq!(outbox.start_read(NOW), None, "there is no room");
    for passing in &first[..2] {
        outbox.answered(NOW, passing.place, Verdict::Accepted);
    }
    assert_eq!(outbox.start_read(NOW), Some(((Sequence(11), 3), 3)));
    let rest = (4..6).map(|n| ((Sequence(11), n), entry("a", &format!("x{n}"), 1, n))).collect();
    outbox.page(rest, None);
    let passing = outbox.next(NOW, day);
    assert_eq!(lanes(&passing), ["a>x4#4", "a>x5#5"]);
    assert_eq!(passing[0].send_count, 0, "this owner made it and never passed it on");
}

#[test]
fn payloads_in_memory_are_bounded_in_bytes_too() {
    let mut outbox = empty(OutboxLimits { held_bytes: 2, ..OutboxLimits::default() });
    let made = (0..4).map(|n| entry("a", &format!("x{n}"), 1, n)).collect();
    commit(&mut outbox, 11, made);
    assert_eq!(outbox.held(), 2);
}

#[test]
fn no_page_is_read_while_there_is_no_room_for_its_bytes() {
    let mut outbox = empty(OutboxLimits { held_bytes: 2, ..OutboxLimits::default() });
    let made = (0..4).map(|n| entry("a", &format!("x{n}"), 1, n)).collect();
    commit(&mut outbox, 11, made);
    assert_eq!((outbox.held(), outbox.start_read(NOW), outbox.next_wake()), (2, None, None));
    let passing = outbox.next(NOW, day);
    outbox.answered(NOW, passing[0].place, Verdict::Accepted);
    assert!(outbox.start_read(NOW).is_some());
}

#[test]
fn what_is_read_before_its_commit_is_known_to_be_durable_is_held_once() {
    let mut outbox = Outbox::new(OutboxLimits::default(), Sequence(10));
    outbox.start_read(NOW);
    let (first, second) = (entry("a", "x", 1, 0), entry("a", "x", 1, 1));
    let made = vec![Arc::new(first.clone()), Arc::new(second.clone())];
    outbox.begin_commit(made, 100);
    let inherited = ((Sequence(9), 0), entry("a", "x", 0, 0));
    let place = |ordinal| (Sequence(11), ordinal);
    outbox.page(vec![inherited, (place(0), first), (place(1), second)], None);
    assert_eq!(outbox.held(), 1, "the answer to the commit is still to come");
    outbox.committed(Sequence(11));
    let mut places = Vec::new();
    while let [passing] = outbox.next(NOW, day).as_slice() {
        places.push(passing.place);
        outbox.answered(NOW, passing.place, Verdict::Accepted);
    }
    assert_eq!(places, [(Sequence(9), 0), place(0), place(1)]);
    assert_eq!(outbox.start_read(NOW), None);
}

#[test]
fn what_is_accepted_is_closed_by_the_next_commit() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 0)]);
    let passing = outbox.next(NOW, day).remove(0);
    outbox.answered(NOW, passing.place, Verdict::Accepted);
    assert!(!outbox.is_pressing(), "a commit may come along");
    let closed = commit(&mut outbox, 12, vec![]);
    assert_eq!(closed, [Closed { id: passing.entry.id, ending: Ending::Accepted }]);
    assert!(commit(&mut outbox, 13, vec![]).is_empty());
}

#[test]
fn without_another_commit_one_is_made_after_a_while_or_for_many() {
    let mut outbox = empty(OutboxLimits { closing: 2, ..OutboxLimits::default() });
    commit(&mut outbox, 11, ["x", "y", "z"].map(|to| entry("a", to, 1, 0)).into());
    let passing = outbox.next(NOW, day);
    outbox.answered(NOW, passing[0].place, Verdict::Accepted);
    assert_eq!(outbox.next_wake(), Some(later(200)));
    outbox.next(later(200), day);
    assert!(outbox.is_pressing());
    assert_eq!(commit(&mut outbox, 12, vec![]).len(), 1);
    assert!(!outbox.is_pressing());
    for passing in &passing[1..] {
        outbox.answered(NOW, passing.place, Verdict::Accepted);
    }
    assert!(outbox.is_pressing());
}

#[test]
fn what_a_failed_commit_was_to_close_is_closed_by_a_later_one() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 0)]);
    let passing = outbox.next(NOW, day).remove(0);
    outbox.answered(NOW, passing.place, Verdict::Accepted);
    assert_eq!(outbox.begin_commit(vec![Arc::new(entry("a", "y", 2, 0))], 9).len(), 1);
    assert!(outbox.not_committed(NOW));
    assert!(outbox.next(NOW, day).is_empty(), "what was to be made was not");
    assert_eq!(outbox.next_wake(), Some(later(200)));
    assert_eq!(commit(&mut outbox, 12, vec![]).len(), 1);
}

#[test]
fn what_no_target_takes_is_given_up_while_it_is_still_known_there() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 0), entry("a", "x", 1, 1)]);
    let passing = outbox.next(NOW, day).remove(0);
    outbox.answered(NOW, passing.place, again(true));
    let over = NOW.after(Duration::from_hours(12));
    let passing = outbox.next(Timestamp(over.0 - 1), day).remove(0);
    outbox.answered(Timestamp(over.0 - 1), passing.place, again(true));
    assert!(outbox.next(over.after(Duration::from_secs(2)), day).is_empty());
    let closed = commit(&mut outbox, 12, vec![]);
    let reasons: Vec<_> = closed
        .iter()
        .map(|closed| match &closed.ending {
            Ending::Quarantined(reason) => reason.as_str(),
            Ending::Accepted => "accepted",
        })
        .collect();
    let silent = "nobody took it within 43200 s: ";
    assert_eq!(reasons, [&format!("{silent}away"), silent], "the second was never passed on");
}

#[test]
fn a_refusal_for_good_counts_when_the_send_is_not_new() {
    let mut outbox = empty(OutboxLimits::default());
    commit(&mut outbox, 11, vec![entry("a", "x", 1, 0)]);
    let never = || Verdict::Never("no such method".to_string());
    let passing = outbox.next(NOW, day).remove(0);
    outbox.answered(NOW, passing.place, never());
    let old = NOW.after(Duration::from_mins(10));
    let passing = outbox.next(old, day).remove(0);
    outbox.answered(old, passing.place, never());
    let ending = Ending::Quarantined("no such method".to_string());
    assert_eq!(commit(&mut outbox, 12, vec![]), [Closed { id: passing.entry.id, ending }]);
}

#[test]
fn an_entity_with_many_open_sends_has_room_again_when_one_is_accepted() {
    let mut outbox = empty(OutboxLimits { of_sender: 2, ..OutboxLimits::default() });
    commit(&mut outbox, 11, ["x", "y", "z"].map(|to| entry("a", to, 1, 0)).into());
    assert!(!outbox.has_room(&address("A/a")) && outbox.has_room(&address("A/b")));
    let passing = outbox.next(NOW, day);
    outbox.answered(NOW, passing[0].place, Verdict::Accepted);
    assert!(!outbox.has_room(&address("A/a")) && outbox.take_freed().is_empty());
    outbox.answered(NOW, passing[1].place, Verdict::Accepted);
    assert!(outbox.has_room(&address("A/a")));
    assert_eq!(outbox.take_freed(), [address("A/a")]);
}

#[test]
fn answers_say_whether_a_target_has_it() {
    let refused = |code| {
        let (message, retry_after_ms) = ("no".to_string(), None);
        Err(CallError::Refused(Refusal { code, message, retry_after_ms }))
    };
    let unknown = |code| {
        Err(CallError::Unknown(Unknown { code, message: "?".to_string(), message_id: None }))
    };
    let message_id = MessageId::new(NOW, address("B/x").slot(), 1);
    let accepted = Ok(Answer::Accepted { message_id, replayed: true });
    assert_eq!(Verdict::of(&accepted), Verdict::Accepted);
    assert_eq!(Verdict::of(&unknown(UnknownCode::Quarantined)), Verdict::Accepted);
    for code in [UnknownCode::LinkLost, UnknownCode::OwnerLost, UnknownCode::Deadline] {
        let verdict = Verdict::of(&unknown(code));
        assert!(matches!(verdict, Verdict::Again { may_be_there: true, .. }), "{code:?}");
    }
    for code in [RefusalCode::NotOwner(Epoch(1)), RefusalCode::Overloaded, RefusalCode::Draining] {
        let verdict = Verdict::of(&refused(code));
        assert!(matches!(verdict, Verdict::Again { may_be_there: false, .. }), "{code:?}");
    }
    for code in [RefusalCode::UnknownMethod, RefusalCode::KeyReused, RefusalCode::TooLarge] {
        assert!(matches!(Verdict::of(&refused(code)), Verdict::Never(_)), "{code:?}");
    }
}
