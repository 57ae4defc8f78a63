//! A cluster on a network of its own, to which faults are done and undone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};

use super::Fault;
use crate::{
    cluster::Cluster,
    database::Database,
    network::{Door, Forbidden, Network, Peer},
    site::Site,
    wire::Wire,
};

/// How long a node may take to end in order: it waits for handlers that run, up to its drain time.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// The network, with its way to the database and its doors for clients.
#[derive(Debug)]
pub struct Arena {
    _doors: Vec<Door>,
    _database: Wire,
    network: Network,
}

impl Arena {
    /// A network of so many hosts, and a cluster on it of which no node runs yet, over a PostgreSQL
    /// database that they reach through the network. The inner answer says why this machine has no
    /// such thing. The cluster is to end before the network does.
    pub async fn build(nodes: u16) -> Result<Result<(Self, Cluster), Forbidden>> {
        let network = match Network::build(nodes)? {
            Ok(network) => network,
            Err(forbidden) => return Ok(Err(forbidden)),
        };
        let database = Database::create().await?;
        let wire = Wire::start(network.database(), Database::server_address()?).await?;
        let store = database.url_through(wire.address())?;
        let sites: Vec<Site> =
            network.hosts().map(|host| Site::on_network(&network, host, &store)).collect();
        let door = |host: u16| {
            let outside = Site::outside(&network, host);
            Door::open(&network.namespace_file(host), outside, Site::inside())
        };
        let doors = network.hosts().map(door).collect::<Result<_>>()?;
        let cluster = Cluster::prepare_at(&sites, database)?;
        Ok(Ok((Self { _doors: doors, _database: wire, network }, cluster)))
    }

    /// Does these faults.
    pub async fn strike(&self, cluster: &mut Cluster, faults: &[Fault]) -> Result<()> {
        for (from, to) in self.cuts(faults) {
            self.network.cut(from, to)?;
        }
        for fault in faults {
            match fault {
                Fault::Kill(node) => cluster.kill(*node).await?,
                Fault::Restart(node) => {
                    let status = cluster.terminate(*node, ENDED_WITHIN).await?;
                    ensure!(status.success(), "node {node} ended with {status}");
                }
                Fault::Freeze(node) => cluster.freeze(*node)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Undoes what [`Arena::strike`] did; does not wait for what follows of it.
    pub fn undo(&self, cluster: &mut Cluster, faults: &[Fault]) -> Result<()> {
        for (from, to) in self.cuts(faults) {
            self.network.mend(from, to)?;
        }
        for fault in faults {
            match fault {
                Fault::Kill(node) | Fault::Restart(node) => cluster.start(*node)?,
                Fault::Freeze(node) => cluster.thaw(*node)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Two faults may cut the same link.
    fn cuts(&self, faults: &[Fault]) -> BTreeSet<(u16, Peer)> {
        let nodes = u16::try_from(self.network.hosts().count()).unwrap_or(u16::MAX);
        faults.iter().flat_map(|fault| fault.cuts(nodes)).collect()
    }
}
