//! The part of a history around a place, for people.

use std::fmt::Write as _;

use super::{AddEnd, Breach, CounterBreach, End, History};

/// How many stamps before and after a place are shown.
const MARGIN: u64 = 400;
/// How many lines are shown at most.
const LINES: usize = 60;

/// Where to look in a history.
pub trait Place {
    /// The entity, and the first and the last stamp of what happened there.
    fn find<'a>(&'a self, history: &History) -> (&'a str, u64, u64);
}

impl Place for Breach {
    fn find<'a>(&'a self, history: &History) -> (&'a str, u64, u64) {
        let calls = &history.calls;
        let call =
            calls.iter().find(|call| call.register == self.register && call.value == self.value);
        let first = call.map_or(history.stamp, |call| call.called);
        (&self.register, first, call.and_then(|call| call.answered).unwrap_or(first))
    }
}

impl Place for CounterBreach {
    fn find<'a>(&'a self, history: &History) -> (&'a str, u64, u64) {
        let stamp = if self.stamp == 0 { history.stamp } else { self.stamp };
        (&self.counter, stamp, stamp)
    }
}

/// What was done to the entity of `place` and to the nodes around that place, in the order of the
/// stamps; of more than sixty lines, those nearest to its end.
pub fn around(history: &History, place: &impl Place) -> String {
    let (entity, first, last) = place.find(history);
    let shown = first.saturating_sub(MARGIN)..=last.saturating_add(MARGIN);
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut tell = |stamp: u64, text: String| {
        if shown.contains(&stamp) {
            lines.push((stamp, text));
        }
    };
    for note in &history.notes {
        tell(note.stamp, format!("** {}", note.text));
    }
    for call in history.calls.iter().filter(|call| call.register == entity) {
        let who = format!("client {} append {:?}", call.client, call.value);
        tell(call.called, format!("{who} begins"));
        if let Some(answered) = call.answered {
            tell(answered, format!("{who}: {}", end_of_call(&call.end)));
        }
    }
    for add in history.adds.iter().filter(|add| add.counter == entity) {
        let who = format!("client {} add 1 of stamp {}", add.client, add.called);
        tell(add.called, format!("{who} begins"));
        if let Some(answered) = add.answered {
            tell(answered, format!("{who}: {}", end_of_add(add.end)));
        }
    }
    for read in history.reads.iter().filter(|read| read.register == entity) {
        tell(read.answered, format!("a read begun at {} saw {}", read.called, read.entries.len()));
    }
    lines.sort_unstable();
    let ends = lines.partition_point(|(stamp, _)| *stamp <= last);
    let from = ends.saturating_sub(LINES / 2);
    let mut shown = String::new();
    for (stamp, text) in lines.iter().skip(from).take(LINES) {
        // Writing to a string does not fail.
        let _ = writeln!(shown, "{stamp:>8} {text}");
    }
    shown
}

fn end_of_call(end: &End) -> String {
    match end {
        End::Acknowledged { seq, epoch, owner } => {
            format!("number {seq}, epoch {epoch}, node {owner}")
        }
        End::Refused => "refused".to_owned(),
        End::Unknown => "unknown".to_owned(),
    }
}

fn end_of_add(end: AddEnd) -> String {
    match end {
        AddEnd::Acknowledged(total) => format!("total {total}"),
        AddEnd::Refused => "refused".to_owned(),
        AddEnd::Unknown => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::history::{Recorder, check};

    #[test]
    fn a_breach_is_shown_among_what_was_done_to_its_register_and_to_the_nodes() {
        let recorder = Recorder::default();
        let end = |seq| End::Acknowledged { seq, epoch: 5, owner: json!(1) };
        let call = recorder.begin(1, "r", "a", "k");
        recorder.note("kill node 1");
        recorder.end(call, end(1));
        let other = recorder.begin(2, "s", "b", "k");
        recorder.end(other, End::Refused);
        let history = recorder.history();
        let breaches = check(&history, &BTreeMap::new());
        let shown = around(&history, &breaches[0]);
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "1 client 1 append \"a\" begins",
                "2 ** kill node 1",
                "3 client 1 append \"a\": number 1, epoch 5, node 1",
            ]
        );
    }

    #[test]
    fn of_a_long_history_only_the_lines_near_the_place_are_shown() {
        let recorder = Recorder::default();
        for number in 0..500 {
            let call = recorder.begin(1, "r", &number.to_string(), "k");
            recorder.end(call, End::Unknown);
        }
        let history = recorder.history();
        let kind = check(&history, &BTreeMap::new());
        assert_eq!(kind, [], "unknown ones may be gone");
        let place = CounterBreach {
            counter: "r".to_owned(),
            kind: crate::history::CounterBreachKind::AnsweredTwice(1),
            stamp: 500,
        };
        let shown = around(&history, &place);
        assert_eq!(shown.lines().count(), LINES);
        assert!(shown.contains("     500 "), "{shown}");
    }
}
