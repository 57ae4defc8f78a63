//! Which messages are meant.

use quarry_ports::{MessageFilter, MessageRecord, MessageState, MessageStateKind};
use quarry_types::{Address, EntityType, Outcome};

use crate::{Gateway, Problem, placement::check_type, time};

/// What a request says of the messages that it means, as it was written.
pub(crate) struct Texts<'a> {
    pub(crate) entity: Option<&'a str>,
    pub(crate) entity_type: Option<&'a str>,
    pub(crate) before: Option<&'a str>,
    pub(crate) older_than: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
}

/// Which messages are meant.
pub(crate) struct Wanted {
    /// What the store knows of them.
    pub(crate) filter: MessageFilter,
    /// A part of one of their errors.
    error: Option<String>,
}

impl Wanted {
    /// Parses what is written; `invalid` makes the refusal of a member for a reason.
    pub(crate) fn parse(
        gateway: &Gateway,
        state: Option<MessageStateKind>,
        texts: &Texts<'_>,
        invalid: impl Fn(&str, &str) -> Problem,
    ) -> Result<Self, Problem> {
        let tenant = gateway.tenant();
        let address = texts.entity.map(|text| Address::parse(tenant.clone(), text)).transpose();
        let address = address.map_err(|error| invalid("entity", &error.to_string()))?;
        if let Some(address) = &address {
            check_type(gateway, &address.entity_type).map_err(|problem| problem.field("entity"))?;
        }
        let entity_type = texts.entity_type.map(EntityType::new).transpose();
        let entity_type = entity_type.map_err(|error| invalid("type", &error.to_string()))?;
        if let Some(entity_type) = &entity_type {
            check_type(gateway, entity_type)?;
        }
        let before = texts.before.map(|text| {
            let reason = "is no time; write 2026-11-21T02:34:06Z";
            time::timestamp(text).ok_or_else(|| invalid("before", reason))
        });
        let age = texts.older_than.map(|text| {
            let reason = "is no duration; write 250ms, 5s or 2m";
            time::duration(text).ok_or_else(|| invalid("older_than", reason))
        });
        let (before, age) = (before.transpose()?, age.transpose()?);
        let now = gateway.host().clock.wall();
        let long_ago = age.map(|age| now.before(age));
        let before = before.into_iter().chain(long_ago).min();
        let filter =
            MessageFilter { tenant: Some(tenant.clone()), address, entity_type, state, before };
        Ok(Self { filter, error: texts.error.map(str::to_owned) })
    }

    /// Whether what the store found is meant: the errors are for this node to look at.
    pub(crate) fn fits(&self, record: &MessageRecord) -> bool {
        let Some(wanted) = &self.error else { return true };
        match &record.state {
            MessageState::Open { errors, .. } | MessageState::Quarantined { errors, .. } => {
                errors.iter().any(|error| error.contains(wanted))
            }
            MessageState::Finished { outcome, .. } => match outcome {
                Outcome::Failure(failure) => failure.to_string().contains(wanted),
                Outcome::Success(_) => false,
            },
        }
    }

    /// Names the list of what is meant, for its cursors. A time that is now and will be another
    /// later does not make it another list.
    pub(crate) fn name(&self, texts: &Texts<'_>) -> String {
        let MessageFilter { tenant, address, entity_type, state, .. } = &self.filter;
        let times = (texts.before, texts.older_than, texts.error);
        format!("messages {tenant:?} {address:?} {entity_type:?} {state:?} {times:?}")
    }
}
