//! Operators, who act on what was sent.

use alloc::vec::Vec;

use quarry_types::{Answer, CallError, Intervention, MessageId, Outcome, Tenant};

use super::{
    step::EDITED,
    world::{Waiter, World, is_ordered},
};

impl World {
    /// An operator acts on one of the messages that were sent, under any of its ids.
    pub(super) fn intervene(&mut self, which: usize, intervention: &Intervention) {
        if self.known.is_empty() {
            return;
        }
        self.act(self.known[which % self.known.len()], intervention);
    }

    /// Operators decide about all that is set aside: one half runs again, edited.
    pub(super) fn decide(&mut self) {
        let aside: Vec<_> = self.disk.quarantined().collect();
        for (number, message_id) in aside.into_iter().enumerate() {
            let redrive = Intervention::Redrive { payload: Some(EDITED) };
            self.act(message_id, if number % 2 == 0 { &redrive } else { &Intervention::Drop });
        }
    }

    /// Operators decide about what holds others up.
    pub(super) fn let_go_on(&mut self) {
        let aside = self.disk.quarantined();
        let holding: Vec<_> = aside
            .filter(|id| self.disk.messages.get(id).is_some_and(|(it, _)| is_ordered(&it.address)))
            .collect();
        for message_id in holding {
            let redrive = Intervention::Redrive { payload: Some(EDITED) };
            let is_even = self.ids.is_multiple_of(2);
            self.act(message_id, if is_even { &redrive } else { &Intervention::Drop });
        }
    }

    fn act(&mut self, message_id: MessageId, intervention: &Intervention) {
        self.ids += 1;
        let (operator, tenant) = (Waiter::Operator(self.ids), Tenant::default_tenant());
        self.asked.insert(self.ids, intervention.clone());
        let (mut out, intervention) = (Vec::new(), intervention.clone());
        self.shard.intervene(self.now, message_id, tenant, intervention, operator, &mut out);
        self.todo.extend(out);
    }

    /// What an operator is told stands in the store; nobody is told twice.
    pub(super) fn told_operator(&mut self, number: u64, result: &Result<Answer, CallError>) {
        let asked = self.asked.remove(&number);
        let Some(intervention) = asked else { panic!("operator {number} is told twice") };
        match result {
            Ok(Answer::Handled { message_id, outcome, .. }) => {
                let stored = self.disk.finished.get(message_id);
                assert_eq!(stored, Some(outcome), "{message_id} did not end so (D1)");
            }
            Ok(Answer::Accepted { message_id, .. }) => {
                let is_redrive = matches!(intervention, Intervention::Redrive { .. });
                assert!(is_redrive, "{message_id} is not ended");
                assert!(
                    self.disk.messages.contains_key(message_id),
                    "{message_id} has no row (D1)"
                );
            }
            Err(_) => {}
        }
    }

    /// How many messages operators ended.
    pub(super) fn ended(&self) -> usize {
        let outcomes = self.disk.finished.values();
        outcomes.filter(|outcome| matches!(outcome, Outcome::Failure(_))).count()
    }
}
