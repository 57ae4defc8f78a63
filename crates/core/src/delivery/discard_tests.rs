//! Given, when, then effects: messages of which only the key is kept.

use alloc::{string::ToString, vec::Vec};

use bytes::Bytes;
use quarry_types::{
    Answer, CallError, Envelope, Failure, Keep, MessageId, Outcome, PayloadDigest, RefusalCode,
    ReplyMode,
};

use super::{
    tests::{
        NOW, activate, address, admit, answers, batch_of, committed, done, message, run_of, shard,
    },
    *,
};

fn passing(key: &str) -> Envelope {
    Envelope { reply: ReplyMode::Accepted, keep: Keep::Key, ..message("c1", key) }
}

#[test]
fn its_reply_is_neither_kept_nor_told() {
    let mut shard = shard();
    admit(&mut shard, passing("k1"), 1);
    admit(&mut shard, message("c1", "k1"), 2);
    let work = run_of(&activate(&mut shard, "c1"));
    committed(&mut shard, 1, 1);
    let batch = batch_of(&done(&mut shard, "c1", work.run));
    let nothing = Outcome::Success(Bytes::new());
    assert_eq!((&batch.finishes[0].outcome, batch.finishes[0].keep), (&nothing, Keep::Key));
    assert_eq!(batch.states.len(), 1, "what it did stays");
    let effects = committed(&mut shard, batch.ticket, 2);
    assert!(
        matches!(answers(&effects)[..], [(2, Ok(Answer::Handled { outcome, .. }))] if *outcome == nothing),
        "who asked meanwhile is told what later ones are told: {effects:?}"
    );
}

#[test]
fn of_its_failure_the_code_is_kept() {
    let mut shard = shard();
    admit(&mut shard, passing("k1"), 1);
    let work = run_of(&activate(&mut shard, "c1"));
    committed(&mut shard, 1, 1);
    let failure = Failure { code: "too_little".to_string(), message: "a secret".to_string() };
    let mut out = Vec::new();
    shard.ran(NOW, &address("c1"), work.run, Ran::Failed(failure), &mut out);
    let Outcome::Failure(kept) = &batch_of(&out).finishes[0].outcome else { panic!("no failure") };
    assert_eq!(kept.code, "too_little");
    assert!(!kept.message.contains("secret"));
}

#[test]
fn its_key_is_still_refused_with_another_payload() {
    let stored = Bytes::from_static(b"1");
    let found = Found {
        message_id: MessageId::new(NOW, address("c1").slot(), 9),
        payload: Bytes::new(),
        digest: Some(PayloadDigest::of(&stored)),
        state: FoundState::Finished(Outcome::Success(Bytes::new())),
    };
    for (payload, is_same) in [(stored, true), (Bytes::from_static(b"2"), false)] {
        let mut shard = shard();
        let again = Envelope { send_count: 1, payload, ..message("c1", "k1") };
        let message_id = again.message_id;
        admit(&mut shard, again, 1);
        let mut out = Vec::new();
        shard.looked_up(NOW, message_id, Ok(Some(found.clone())), &mut out);
        let is_answered =
            matches!(answers(&out)[..], [(1, Ok(Answer::Handled { replayed: true, .. }))]);
        let is_refused = matches!(answers(&out)[..], [(1, Err(CallError::Refused(refusal)))] if refusal.code == RefusalCode::KeyReused);
        assert_eq!((is_answered, is_refused), (is_same, !is_same), "{out:?}");
    }
}
