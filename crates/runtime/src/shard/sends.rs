//! The shard's outbox: passes sends on to their targets' owners, and reads what is open.

use std::sync::Arc;

use quarry_core::{
    delivery::{Batch, SendPage},
    outbox::{Ending, Passing, Place},
};
use quarry_ports::{Position, StoreError, crash};
use quarry_types::{Answer, CallError};

use super::{io::Done, task::Serving};
use crate::convert;

impl Serving {
    /// Passes sends on, those to one shard together.
    pub(super) fn pass_on(&mut self, passing: Vec<Passing>) {
        if passing.is_empty() {
            return;
        }
        let Some(node) = self.shared.caller.upgrade() else { return };
        for parcel in node.parcels(passing) {
            let node = Arc::clone(&node);
            let places = parcel.places.clone();
            self.io.push(Box::pin(async move {
                crash::point("send-passed");
                let answers = node.pass_on(parcel).await;
                crash::point("send-answered");
                Done::PassedOn(places.into_iter().zip(answers).collect())
            }));
        }
    }

    pub(super) fn passed_on(&mut self, answers: Vec<(Place, Result<Answer, CallError>)>) {
        let now = self.now();
        for (place, answer) in answers {
            if let Err(error) = &answer {
                self.shared.metrics.sends.with_label_values(&["again"]).inc();
                tracing::debug!(shard = %self.shard, %error, "a send was not taken; trying again");
            }
            self.machine.passed_on(now, place, &answer, &mut self.out);
        }
    }

    pub(super) fn read_sends(&mut self, after: Place, limit: u32) {
        let store = Arc::clone(&self.shared.store);
        let (space, range) = (self.shard.space(), self.range);
        let after = Position { sequence: after.0, ordinal: after.1 };
        self.io.push(Box::pin(async move {
            Done::SendsRead(store.open_sends(space, range, Some(after), limit).await)
        }));
    }

    pub(super) fn sends_read(&mut self, page: Result<quarry_ports::SendPage, StoreError>) {
        let page = match page {
            Ok(page) => Some(SendPage {
                entries: page.sends.into_iter().map(convert::entry).collect(),
                next: page.next.map(|next| (next.sequence, next.ordinal)),
            }),
            Err(error) => {
                tracing::warn!(shard = %self.shard, %error, "open sends could not be read; trying again");
                None
            }
        };
        let now = self.now();
        self.machine.sends_read(now, page, &mut self.out);
    }

    /// Counts the sends that a commit closes, and says which are given up.
    pub(super) fn count_sends(&self, batch: &Batch) {
        for closed in &batch.closed {
            let outcome = match &closed.ending {
                Ending::Accepted => "accepted",
                Ending::Quarantined(reason) => {
                    let (message, index) = (closed.id.message_id, closed.id.index);
                    tracing::error!(shard = %self.shard, %message, index, reason, "a send is given up and set aside");
                    "quarantined"
                }
            };
            self.shared.metrics.sends.with_label_values(&[outcome]).inc();
        }
    }
}
