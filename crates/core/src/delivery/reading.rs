//! One page that is being read of what is open in the store.

use alloc::collections::BTreeSet;

use quarry_types::{Address, MessageId, Sequence};

use super::{
    OpenPage, Which,
    backlog::behind,
    message::{Cursor, Position},
};

/// What may end while a page is read, before the page is too old to be believed.
const MOST_GONE: usize = 10_000;

/// What a page is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What is on it is to run.
    Run,
    /// It is held up: it is copied among the open messages, and left in the store.
    Copy,
    /// It is only looked for what was lost.
    Audit,
}

/// A page that is being read.
pub(super) struct Reading {
    pub(super) which: Which,
    pub(super) purpose: Purpose,
    pub(super) after: Cursor,
    /// The last commit when it was asked for.
    pub(super) seen: Sequence,
    /// What has ended since: it may still be open in the page.
    pub(super) gone: BTreeSet<MessageId>,
    /// So much has ended that the page is not believed.
    pub(super) is_void: bool,
    /// Something was left to the store since, which the page may lack.
    pub(super) is_behind: bool,
    /// The first of what is delayed and was left to the store since.
    pub(super) left: Option<Cursor>,
}

impl Reading {
    pub(super) const fn new(which: Which, after: Cursor, seen: Sequence) -> Self {
        Self {
            which,
            purpose: Purpose::Run,
            after,
            seen,
            gone: BTreeSet::new(),
            is_void: false,
            is_behind: false,
            left: None,
        }
    }

    /// The entity that it is of.
    pub(super) fn of(&self) -> Option<&Address> {
        match &self.which {
            Which::Entity(address) => Some(address),
            Which::Waiting | Which::Delayed => None,
        }
    }

    pub(super) fn is_scan(&self) -> bool {
        self.purpose == Purpose::Run && self.which == Which::Waiting
    }

    pub(super) fn is_of_delays(&self) -> bool {
        self.purpose == Purpose::Run && self.which == Which::Delayed
    }

    /// A message is over, or set aside: the page may still have it.
    pub(super) fn has_gone(&mut self, message_id: MessageId) {
        if !self.is_void {
            self.gone.insert(message_id);
            self.is_void = self.gone.len() > MOST_GONE;
        }
    }

    pub(super) fn is_gone(&self, message_id: MessageId) -> bool {
        self.gone.contains(&message_id)
    }

    /// Where to go on behind the page; none where nothing is behind it. A page shows the shard as it stood
    /// behind one commit, so up to its last row it lacks nothing, whatever was left meanwhile: were that row
    /// behind where it goes on, it could not run, and would keep the room that the next page needs.
    pub(super) fn next(&self, page: &OpenPage) -> Option<Position> {
        let last = page.messages.last().map(|row| row.position);
        let seen = last.into_iter().fold((self.seen, u32::MAX).max(self.after.1), Ord::max);
        page.next.map(|(_, position)| position).or_else(|| self.is_behind.then_some(seen))
    }

    /// Up to where what is delayed is in memory behind the page, which ended at `next`.
    pub(super) fn horizon(&self, next: Option<Cursor>) -> Option<Cursor> {
        next.into_iter().chain(self.left.map(behind)).min()
    }
}
