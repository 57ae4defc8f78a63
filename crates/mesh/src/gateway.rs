//! The one remotable actor of a node: takes what peers cast.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent, pg};
use tokio::task::JoinHandle;

use quarry_types::NodeId;

use crate::{frame::MeshMessage, switchboard::Switchboard};

/// The scope of process groups in which gateways are found.
pub(crate) const SCOPE: &str = "quarry.mesh";

/// The group that the gateway of `node` is the member of.
pub(crate) fn group(node: NodeId) -> String {
    format!("gateway/{node}")
}

/// Unnamed: the substrate takes the names of a dead peer's actors from local ones too.
pub(crate) struct Gateway;

impl Gateway {
    /// Starts the gateway, so that peers find it.
    pub(crate) async fn spawn(
        node: NodeId,
        switchboard: Arc<Switchboard>,
    ) -> Result<(ActorRef<MeshMessage>, JoinHandle<()>), ractor::SpawnErr> {
        let (gateway, ended) = Actor::spawn(None, Self, switchboard).await?;
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
            MeshMessage::Refused(refusal) => switchboard.refuse("unknown", refusal),
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
