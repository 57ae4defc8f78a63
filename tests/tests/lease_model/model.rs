//! The model as the checker sees it: steps that are possible, and properties.

use quarry_types::{Epoch, NodeId};
use stateright::{Model, Property};

use super::{
    message::Answer,
    process::{Phase, Process},
    rules::{Bounds, Rules, Setting},
    storage::Fate,
    world::{Breach, NODES, Step, World},
};

pub(crate) const L1: &str = "L1: fences only grow";
pub(crate) const L3: &str = "L3, G3: once an epoch is loaded, nothing of an older one is committed";
pub(crate) const L4: &str = "L4: the newest owner knows all that is committed";
pub(crate) const L5: &str = "L5: one grant is loaded by one process";
pub(crate) const D2_KEPT: &str = "D2: what was acknowledged is in the state";
pub(crate) const D2_ONCE: &str = "D2: no write is committed twice";
pub(crate) const G6: &str = "G6: what was refused is never committed";

/// How a run goes, and how far.
#[derive(Clone, Debug)]
pub(crate) struct LeaseModel {
    pub(crate) setting: Setting,
    pub(crate) bounds: Bounds,
}

impl Model for LeaseModel {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.coordinator_steps(world, steps);
        for (node, process) in world.nodes().take(usize::try_from(world.known_nodes()).unwrap_or(0))
        {
            self.process_steps(world, node, process, steps);
        }
        steps.extend(world.requests.iter().map(|request| Step::Execute(*request)));
        for (node, process) in world.nodes() {
            let heard = world.answers.iter().filter(|answer| answer.boot() == process.boot(node));
            steps.extend(heard.map(|answer| Step::Hear(node, *answer)));
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let next = world.after(self.setting, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        if self.setting.rules == Rules::Sound {
            properties.extend(reached());
        }
        properties
    }
}

impl LeaseModel {
    fn coordinator_steps(&self, world: &World, steps: &mut Vec<Step>) {
        if (world.grants.len() as u64) < self.bounds.grants {
            let new = u64::from(world.known_nodes() < NODES as u64);
            steps.extend((0..world.known_nodes() + new).map(|node| Step::Grant(NodeId(node))));
        }
    }

    fn process_steps(&self, world: &World, node: NodeId, process: &Process, steps: &mut Vec<Step>) {
        let restarts: u8 = world.processes.iter().map(|process| process.restarts).sum();
        if restarts < self.bounds.restarts {
            steps.push(Step::Restart(node));
        }
        match process.phase {
            Phase::Idle => {
                let granted = (1..).map(Epoch).zip(&world.grants);
                let mine = granted.filter(|(epoch, to)| **to == node && *epoch > process.spent);
                steps.extend(mine.map(|(epoch, _)| Step::BeginLoad(node, epoch)));
            }
            Phase::Loading { .. } => steps.push(Step::GiveUp(node)),
            Phase::Loaded { .. } => steps.extend([Step::GiveUp(node), Step::Read(node)]),
            Phase::Serving(serving) => {
                steps.push(Step::GiveUp(node));
                match serving.sending {
                    Some(sending) if !sending.is_lost => steps.push(Step::LoseAnswer(node)),
                    Some(_) => {}
                    None => {
                        // Writes are alike until one is asked for; they are numbered as they are.
                        let asked = (world.asked + 1).min(self.bounds.writes);
                        let has_room = serving.sequence.next().0 <= self.bounds.sequences;
                        let may = |write: &u8| has_room || serving.known.holds(*write);
                        steps.extend((0..asked).filter(may).map(|write| Step::Ask(node, write)));
                    }
                }
            }
        }
    }
}

/// What must hold in every state.
fn promises() -> Vec<Property<LeaseModel>> {
    vec![
        Property::always(L1, |_, world: &World| !world.breaches.holds(Breach::FenceWentBack)),
        Property::always(L3, |_, world: &World| !world.breaches.holds(Breach::OlderEpochCommitted)),
        Property::always(L4, |_, world: &World| newest_owner_knows_all(world)),
        Property::always(L5, |_, world: &World| !world.breaches.holds(Breach::LoadedTwice)),
        Property::always(D2_KEPT, |_, world: &World| {
            world.acknowledged.is_within(world.storage.state)
        }),
        Property::always(D2_ONCE, |_, world: &World| !world.storage.has_doubled()),
        Property::always(G6, |_, world: &World| !world.breaches.holds(Breach::RefusedIsCommitted)),
    ]
}

/// The owner under the newest loaded epoch knows what is committed, and no more, but for the commit
/// that it waits for. A read that claims to be current is answered by it alone, since the fence is
/// asked after the state was read (`Serving::check_fence` of the runtime), so it misses nothing
/// that was acknowledged before it began.
fn newest_owner_knows_all(world: &World) -> bool {
    let committed = world.storage.committed();
    world.processes.iter().all(|process| match process.phase {
        Phase::Serving(serving) if serving.epoch == world.newest_load => {
            let sending = serving.sending.map(|sending| sending.write);
            let at_most = sending.map_or(serving.known, |write| serving.known.with(write));
            serving.known.is_within(committed) && committed.is_within(at_most)
        }
        _ => true,
    })
}

/// What must happen in some state: a run in which none of it does shows nothing.
fn reached() -> Vec<Property<LeaseModel>> {
    vec![
        Property::sometimes(
            "three nodes owned the shard, and all writes are acknowledged",
            |model: &LeaseModel, world: &World| {
                world.known_nodes() == model.bounds.grants.min(NODES as u64)
                    && world.acknowledged.count() == u32::from(model.bounds.writes)
                    && world.newest_load == Epoch(model.bounds.grants)
            },
        ),
        Property::sometimes("an owner reads what another one committed", |_, world: &World| {
            world.processes.iter().any(|process| match process.phase {
                Phase::Serving(serving) => {
                    let mut commits = world.storage.commits.iter();
                    !serving.known.is_empty() && commits.all(|row| row.epoch < serving.epoch)
                }
                _ => false,
            })
        }),
        Property::sometimes(
            "an owner reads a write whose answer was never given",
            |_, world: &World| {
                world.processes.iter().any(|process| match process.phase {
                    Phase::Serving(serving) => !serving.known.is_within(world.acknowledged),
                    _ => false,
                })
            },
        ),
        Property::sometimes(
            "two processes believe that the shard is theirs",
            |_, world: &World| {
                let serving = |process: &&Process| matches!(process.phase, Phase::Serving(_));
                world.processes.iter().filter(serving).count() == 2
            },
        ),
        Property::sometimes("a commit is refused by the fence", |_, world: &World| {
            world
                .answers
                .iter()
                .any(|answer| matches!(answer, Answer::Committed { written: false, .. }))
        }),
        Property::sometimes("a lost commit is voided", |_, world: &World| {
            decided(world, Fate::Voided)
        }),
        Property::sometimes("a lost commit is there", |_, world: &World| {
            decided(world, Fate::Written)
        }),
        Property::sometimes("a lost commit was there before the fence", |_, world: &World| {
            decided(world, Fate::Fenced { written: true })
        }),
        Property::sometimes(
            "a restarted process asks for a grant that was loaded",
            |_, world: &World| {
                world.nodes().any(|(node, process)| match (process.phase, world.storage.fence) {
                    (Phase::Loading { epoch }, Some(fence)) => {
                        fence.epoch == epoch && fence.boot != process.boot(node)
                    }
                    _ => false,
                })
            },
        ),
    ]
}

fn decided(world: &World, expected: Fate) -> bool {
    let is_it =
        |answer: &Answer| matches!(answer, Answer::Decided { fate, .. } if *fate == expected);
    world.answers.iter().any(is_it)
}
