//! The workload `bombs`: messages that end the process in which they run, of a type whose order
//! outranks progress, while everything else goes on.

use std::{
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use quarry::prelude::*;
use quarry::runtime::AfterQuarantine;
use quarry_types::{
    Answer, BootId, CallError, Intervention, MessageId, Monotonic, NodeId, ReplyMode, Tenant,
};

use crate::{
    chronicle::Point,
    clients::{Ask, Client, Told},
    history::History,
    world::World,
};

/// Of 100 runs, in how many there are bombs.
const BOMBING: u64 = 25;
/// How often one bomb may end a process: the first time may be before anything of it was recorded, then
/// twice beside others, and twice alone.
const MOST: u32 = 5;
/// How long a node may take for one try to drop a message.
const TRY: Duration = Duration::from_secs(5);

/// Ends its process when it is lit, and counts its steps.
pub(crate) struct Bomb {
    pub(crate) world: Weak<World>,
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    /// Ends the process.
    Light,
    /// Answers the number of steps.
    Carry,
}

impl Entity for Bomb {
    const TYPE: &'static str = "Bomb";
    const AFTER_QUARANTINE: Option<AfterQuarantine> = Some(AfterQuarantine::Wait);
    type State = u64;
    type Command = Command;
    type Query = quarry::runtime::NoQuery;

    async fn handle(
        &self,
        steps: &mut u64,
        command: Command,
        context: &Context,
    ) -> Result<Reply, HandlerError> {
        if matches!(command, Command::Light) {
            if let Some(world) = self.world.upgrade() {
                world.explode(self.node, self.boot, context.message_id());
            }
            pending::<()>().await;
        }
        *steps += 1;
        Reply::of(steps)
    }

    async fn read(
        &self,
        _: &u64,
        query: quarry::runtime::NoQuery,
        _: &Context,
    ) -> Result<Reply, HandlerError> {
        match query {}
    }
}

impl World {
    /// A handler ends its process; whoever watches over it starts another one.
    fn explode(self: &Arc<Self>, node: NodeId, boot: BootId, bomb: MessageId) {
        let is_there = self.running().get(&node.0).is_some_and(|now| now.boot == boot);
        if !is_there {
            return;
        }
        let times = self.exploded(bomb);
        self.chronicle.note(&format!("{bomb} ends the process of {node}, {times}"));
        self.chronicle.reach(Point::ProcessEnded);
        self.chronicle.expect(times <= MOST, || format!("D4: {bomb} has ended {times} processes"));
        self.kill(node.0);
        let (world, pause) = (Arc::clone(self), self.bombs.milliseconds(10, 1_000));
        drop(self.host.spawn("starter", async move {
            tokio::time::sleep(pause).await;
            let is_up = world.running().contains_key(&node.0);
            if !is_up {
                world.start(node.0);
            }
        }));
    }

    /// Lights bombs until `end`, and sees them to theirs.
    pub(crate) async fn light_bombs(self: Arc<Self>, history: Arc<History>, end: Monotonic) {
        if !self.bombs.hits(BOMBING) {
            return;
        }
        for number in 0..=self.bombs.below(2) {
            tokio::time::sleep(self.bombs.milliseconds(500, 9_000)).await;
            if self.host.now() >= end {
                return;
            }
            let client = Client {
                world: Arc::clone(&self),
                history: Arc::clone(&history),
                id: 100 + number,
            };
            client.light_a_bomb().await;
        }
    }
}

impl Client {
    /// What comes after a bomb waits until an operator drops it (D3).
    async fn light_a_bomb(&self) {
        let chronicle = &self.world.chronicle;
        let entity = format!("Bomb/b{}", self.id);
        let ask = |method, key: &str| {
            Ask::new(entity.clone(), method, String::new(), &format!("{}-{key}", self.id))
        };
        let before = self.ask(&ask("carry", "before")).await;
        let lit = self.ask(&ask("light", "light")).await;
        let Some(Told::Quarantined { message_id }) = lit else {
            return chronicle.expect(lit.is_none(), || format!("a bomb cannot end as {lit:?}"));
        };
        let behind = Ask { reply: ReplyMode::Accepted, ..ask("carry", "behind") };
        let kept = self.ask(&behind).await;
        self.drop_message(message_id).await;
        let after = self.ask(&ask("carry", "after")).await;
        let are_as_asked = matches!(
            (&before, &kept, &after),
            (
                Some(Told::Reply { reply: first, .. }),
                Some(Told::Accepted { .. }),
                Some(Told::Reply { reply: third, .. }),
            ) if first == "1" && third == "3"
        );
        chronicle.expect(are_as_asked || chronicle.is_broken(), || {
            format!("D3: around a bomb: {before:?}, {kept:?}, {after:?}")
        });
    }

    /// Drops a message that is set aside, as an operator does, until that is answered.
    async fn drop_message(&self, message_id: MessageId) {
        let world = &self.world;
        while !world.chronicle.is_broken() {
            if let Some((node, process)) = world.any_node() {
                let (tell, told) = tokio::sync::oneshot::channel();
                let host = process.host(&world.host);
                drop(host.spawn("operate", async move {
                    let tenant = Tenant::default_tenant();
                    let drop_it = Intervention::Drop;
                    let result = node.intervene(&tenant, message_id, &drop_it, TRY).await;
                    drop(tell.send(result));
                }));
                match tokio::time::timeout(TRY + TRY, told).await {
                    Ok(Ok(Ok(Answer::Handled { .. }))) => return,
                    Ok(Ok(Err(CallError::Refused(refusal)))) if !refusal.code.is_retryable() => {
                        let what = format!("{message_id} cannot be dropped: {refusal}");
                        return world.chronicle.violation(&what);
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(world.random.milliseconds(10, 100)).await;
        }
    }
}
