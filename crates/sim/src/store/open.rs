//! What an owner reads of unfinished messages.

use quarry_ports::{OPEN_PAGE_BYTES, OpenMessage, OpenOf, OpenPage, OpenQuery, OpenState};

use super::tables::Tables;

impl Tables {
    /// A page of what is unfinished and not quarantined, in order of place.
    pub(super) fn open_messages(&self, query: &OpenQuery, limit: usize) -> OpenPage {
        let mut found: Vec<OpenMessage> = self
            .unfinished(query)
            .filter(|open| query.range.contains(open.message.address.slot()))
            .filter(|open| query.after.is_none_or(|after| open.place(&query.of) > after))
            .filter(|open| match &query.of {
                OpenOf::Waiting => open.state == OpenState::Waiting,
                OpenOf::Entity(address) => {
                    open.state == OpenState::Waiting && open.message.address == *address
                }
                OpenOf::Delayed => open.state == OpenState::Delayed,
                OpenOf::Quarantined(address) => {
                    open.state == OpenState::Quarantined && open.message.address == *address
                }
            })
            .collect();
        found.sort_by_key(|open| open.place(&query.of));
        let mut bytes = 0;
        let fits = |open: &&OpenMessage| {
            let before = bytes;
            bytes += open.message.payload.len();
            before < OPEN_PAGE_BYTES
        };
        let messages: Vec<_> = found.iter().take(limit).take_while(fits).cloned().collect();
        let is_whole = messages.len() == found.len();
        let next = messages.last().map(|last| last.place(&query.of)).filter(|_| !is_whole);
        OpenPage { messages, next }
    }

    /// Open rows, and rows above the mark that have neither outcome nor open row.
    fn unfinished(&self, query: &OpenQuery) -> impl Iterator<Item = OpenMessage> {
        let waiting = self.open.values().cloned();
        let low_water = query.low_water;
        let fresh = self.messages.values().filter(move |(position, row)| {
            position.sequence > low_water
                && !self.outcomes.contains_key(&row.message_id)
                && !self.open.contains_key(&row.message_id)
        });
        waiting.chain(fresh.map(|(position, row)| OpenMessage {
            message: row.clone(),
            original: None,
            position: *position,
            attempts: 0,
            lost: 0,
            due: row.accepted_at,
            state: OpenState::Waiting,
            errors: Vec::new(),
        }))
    }
}
