//! The one remotable actor of a node: takes what peers cast.

use std::{sync::Arc, time::Duration};

use quarry_ports::Host;
use quarry_types::NodeId;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent, pg};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{frame::MeshMessage, switchboard::Switchboard};

/// The scope of process groups in which gateways are found.
pub(crate) const SCOPE: &str = "quarry.mesh";

/// The group that the gateway of `node` is the member of.
pub(crate) fn group(node: NodeId) -> String {
    format!("gateway/{node}")
}

/// The pause before a gateway that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Unnamed: the substrate takes the names of a dead peer's actors from local ones too.
pub(crate) struct Gateway;

impl Gateway {
    /// Starts the gateway, so that peers find it, and starts it again should it end before `stop`:
    /// peers then lose their links and make new ones.
    pub(crate) async fn start(
        node: NodeId,
        switchboard: Arc<Switchboard>,
        host: &Host,
        stop: CancellationToken,
    ) -> Result<(), SpawnErr> {
        let (mut gateway, mut ended) = Self::spawn(node, &switchboard).await?;
        host.spawn("mesh gateway", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return gateway.stop(None),
                    _ = &mut ended => {}
                }
                tracing::error!("the gateway of the mesh ended and is started again");
                (gateway, ended) = loop {
                    tokio::time::sleep(RESTART_PAUSE).await;
                    match Self::spawn(node, &switchboard).await {
                        Ok(spawned) => break spawned,
                        Err(error) => tracing::error!(%error, "the gateway did not start"),
                    }
                };
            }
        });
        Ok(())
    }

    async fn spawn(
        node: NodeId,
        switchboard: &Arc<Switchboard>,
    ) -> Result<(ActorRef<MeshMessage>, JoinHandle<()>), SpawnErr> {
        let (gateway, ended) = Actor::spawn(None, Self, switchboard.clone()).await?;
        pg::join_scoped(SCOPE.to_owned(), group(node), vec![gateway.get_cell()]);
        Ok((gateway, ended))
    }
}

impl Actor for Gateway {
    type Msg = MeshMessage;
    type State = Arc<Switchboard>;
    type Arguments = Arc<Switchboard>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        switchboard: Arc<Switchboard>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(switchboard)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        switchboard: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MeshMessage::Batch(batch) => switchboard.receive(batch),
            MeshMessage::Refused { link, refusal } => switchboard.refuse_batch(link, refusal),
        }
        Ok(())
    }

    /// The default stops an actor with any of its children; this one has none and stays.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        _event: SupervisionEvent,
        _switchboard: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
