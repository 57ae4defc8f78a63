//! Runs of the checker, and what they say.

use std::{collections::BTreeSet, fmt, time::Duration};

use quarry_ports::Host;
use stateright::{Checker, HasDiscoveries, Model};

use super::{
    model::LeaseModel,
    rules::{Bounds, Network, Requests, Rules, Setting},
    world::Step,
};

/// A way to break a promise.
#[derive(Debug)]
pub(crate) struct Counterexample {
    rules: Rules,
    network: Network,
    promise: &'static str,
    pub(crate) steps: Vec<Step>,
    time: Duration,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rules, network, promise, steps, time } = self;
        let length = steps.len();
        write!(f, "{rules:?}, {network:?}: \"{promise}\" broken in {length} steps ({time:.1?})")?;
        steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// Visits every state and panics where a promise is broken, or something was never reached.
pub(crate) fn exhaust(setting: Setting, bounds: Bounds) -> String {
    let host = Host::system();
    let began = host.now();
    let model = LeaseModel { setting, bounds };
    let checker = model.checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    format!(
        "{setting:?}, {bounds:?}: {} states, {} steps, at most {} deep, in {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        host.now().since(began),
    )
}

/// A shortest way to break `promise`, if there is any.
pub(crate) fn shortest(
    rules: Rules,
    network: Network,
    bounds: Bounds,
    promise: &'static str,
) -> Option<Counterexample> {
    let host = Host::system();
    let began = host.now();
    let setting = Setting { rules, network, requests: Requests::Kept };
    let mut shortest: Option<Vec<Step>> = None;
    loop {
        let search = LeaseModel { setting, bounds }
            .checker()
            .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([promise])));
        // The checker goes on for a block of states behind its first finding, so what it reports
        // is not yet the shortest. Depth counts states, one more than steps; those at the depth
        // given are not looked at.
        let search = match &shortest {
            Some(steps) => search.target_max_depth(steps.len() + 1),
            None => search,
        };
        match search.spawn_bfs().join().discovery(promise) {
            Some(path) => {
                let actions = path.into_actions();
                shortest = Some(actions);
            }
            None => break,
        }
    }
    let time = host.now().since(began);
    shortest.map(|steps| Counterexample { rules, network, promise, steps, time })
}
