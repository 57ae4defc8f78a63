//! A cluster on a network of its own, to which faults are done and undone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::Fault;
use crate::{
    cluster::Cluster,
    database::Database,
    machine::{self, Shim},
    network::{BadLink, Door, Forbidden, Network, Peer, Switch},
    server::Server,
    site::Site,
    wait::Stopwatch,
    wire::Wire,
};

/// How long a node may take to end in order: it waits for handlers that run, up to its drain time.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// How long what was held takes to the database.
const ARRIVED_WITHIN: Duration = Duration::from_millis(150);

/// The network, with its way to the database and its doors for clients.
#[derive(Debug)]
pub struct Arena {
    _doors: Vec<Door>,
    /// The way of each node to the database.
    wires: BTreeMap<u16, Wire>,
    /// What stands between each node and its clock.
    shims: BTreeMap<u16, Shim>,
    server: Server,
    switch: Switch,
    /// The links of nodes that are in bad weather.
    bad: BTreeMap<u16, BadLink>,
    network: Network,
    seed: u64,
}

impl Arena {
    /// A network of so many hosts, and a cluster on it of which no node runs yet, over a PostgreSQL
    /// server of its own that they reach through the network. Each frame's fate in bad weather
    /// follows from `seed`, and from when it is sent. The inner answer says why this machine has no
    /// such thing. The cluster is to end before the network does.
    pub async fn build(nodes: u16, seed: u64) -> Result<Result<(Self, Cluster), Forbidden>> {
        let network = match Network::build(nodes)? {
            Ok(network) => network,
            Err(forbidden) => return Ok(Err(forbidden)),
        };
        let server = Server::start(Vec::new()).await?;
        let database = Database::create_on(&server.url()).await?;
        let (mut wires, mut sites) = (BTreeMap::new(), Vec::new());
        for host in network.hosts() {
            let wire = Wire::start(network.database(), server.address().to_owned()).await?;
            let store = database.url_through(wire.address())?;
            sites.push(Site::on_network(&network, host, &store));
            wires.insert(host, wire);
        }
        let door = |host: u16| {
            let outside = Site::outside(&network, host);
            Door::open(&network.namespace_file(host), outside, Site::inside())
        };
        let doors = network.hosts().map(door).collect::<Result<_>>()?;
        let mut cluster = Cluster::prepare_at(&sites, database)?;
        let mut shims = BTreeMap::new();
        for host in network.hosts() {
            let shim = Shim::build(cluster.directory())?;
            cluster.put_before(host, &shim)?;
            shims.insert(host, shim);
        }
        let (switch, bad) = (Switch::build()?, BTreeMap::new());
        let arena = Self { _doors: doors, wires, shims, server, switch, bad, network, seed };
        Ok(Ok((arena, cluster)))
    }

    /// Does these faults.
    pub async fn strike(&mut self, cluster: &mut Cluster, faults: &[Fault]) -> Result<()> {
        for fault in faults {
            if let Fault::Late(node) = fault {
                self.wire(*node)?.shut();
            }
        }
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
                Fault::Weather(node, weather) => {
                    let link = self.network.worsen(*node, &self.switch, *weather, self.seed)?;
                    self.bad.insert(*node, link);
                }
                Fault::Clock(node, hours) => self.shim(*node)?.begin(clock(*hours))?,
                Fault::DatabaseRestart => self.server.stop().await?,
                Fault::DatabaseCrash => self.server.crash().await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Undoes what [`Arena::strike`] did; does not wait for what follows of it.
    pub async fn undo(&mut self, cluster: &mut Cluster, faults: &[Fault]) -> Result<()> {
        for fault in faults {
            if let Fault::Late(node) = fault {
                self.wire(*node)?.open();
                Stopwatch::start().reaches(ARRIVED_WITHIN).await?;
                for other in cluster.ids_beside(*node) {
                    cluster.kill(other).await?;
                    cluster.start(other)?;
                }
            }
        }
        for (from, to) in self.cuts(faults) {
            self.network.mend(from, to)?;
        }
        for fault in faults {
            match fault {
                Fault::Kill(node) | Fault::Restart(node) => cluster.start(*node)?,
                Fault::Freeze(node) => cluster.thaw(*node)?,
                Fault::Weather(node, _) => drop(self.bad.remove(node)),
                Fault::Clock(node, hours) => self.shim(*node)?.end(clock(*hours))?,
                Fault::DatabaseRestart | Fault::DatabaseCrash => self.server.resume().await?,
                _ => {}
            }
        }
        Ok(())
    }

    fn wire(&self, node: u16) -> Result<&Wire> {
        self.wires.get(&node).with_context(|| format!("there is no node {node}"))
    }

    fn shim(&self, node: u16) -> Result<&Shim> {
        self.shims.get(&node).with_context(|| format!("there is no node {node}"))
    }

    /// Two faults may cut the same link.
    fn cuts(&self, faults: &[Fault]) -> BTreeSet<(u16, Peer)> {
        let nodes = u16::try_from(self.network.hosts().count()).unwrap_or(u16::MAX);
        faults.iter().flat_map(|fault| fault.cuts(nodes)).collect()
    }
}

const fn clock(hours: i64) -> machine::Fault {
    machine::Fault::Clock(hours * 3_600)
}
