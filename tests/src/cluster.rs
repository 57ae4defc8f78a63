//! Nodes on loopback that share a store.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    client::Client,
    database::Database,
    machine::{Shim, Volume},
    metrics::Metrics,
    process::{self, Launch, PortBlock, Process, StoreKind, tail_of},
    site::Site,
    wait::until,
    wire::Wire,
};

/// How long a node may take from start to readiness.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// What both planes ask of a peer; the nodes of one test share it.
const COOKIE: &str = "6a1f0c52b7e94d3884c2d5e6f7a8b9c0d1e2f30415263748596a7b8c9daebfc0";

/// One node: how it starts, and its process while it runs.
#[derive(Debug)]
struct Node {
    id: u16,
    url: String,
    launch: Launch,
    process: Option<Process>,
}

/// Real nodes, numbered from 1, which end with this value.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    client: Client,
    store_url: String,
    database: Option<Database>,
    directory: TempDir,
    ports: Option<PortBlock>,
}

/// Runs `test` on a ready cluster of `nodes`. If it fails, the error shows the end of every node's
/// log; if it passes, no node may have panicked.
pub async fn run(
    nodes: u16,
    store: StoreKind,
    test: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<()> {
    run_prepared(Cluster::prepare(nodes, store).await?, test).await
}

/// As [`run`], on a cluster that was prepared and does not run yet.
pub async fn run_prepared(
    mut cluster: Cluster,
    test: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
) -> Result<()> {
    let result = match cluster.start_all().await {
        Ok(()) => test(&mut cluster).await.and_then(|()| cluster.nobody_panicked()),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        return Err(anyhow!("{error:#}\n{}", cluster.tails()));
    }
    cluster.remove().await
}

impl Cluster {
    /// A cluster on loopback of which no node runs yet.
    pub async fn prepare(nodes: u16, store: StoreKind) -> Result<Self> {
        let database = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(Database::create().await?),
        };
        Self::prepare_over(nodes, database)
    }

    /// A cluster on loopback over `database`, or over a file, of which no node runs yet.
    pub fn prepare_over(nodes: u16, database: Option<Database>) -> Result<Self> {
        let directory = directory()?;
        let ports = PortBlock::claim()?;
        let store_url = database.as_ref().map_or_else(
            || format!("sqlite://{}", directory.path().join("quarry.db").display()),
            |database| database.url().to_owned(),
        );
        let sites: Vec<Site> = (1..=nodes)
            .map(|id| Site::on_loopback(id, &ports, &store_url))
            .collect::<Result<_>>()?;
        let nodes = nodes_at(&sites, directory.path())?;
        let client = Client::new()?;
        Ok(Self { nodes, client, store_url, database, directory, ports: Some(ports) })
    }

    /// A cluster at these sites, whose stores lead to `database`, of which no node runs yet.
    pub fn prepare_at(sites: &[Site], database: Database) -> Result<Self> {
        let (directory, client) = (directory()?, Client::new()?);
        let nodes = nodes_at(sites, directory.path())?;
        let store_url = database.url().to_owned();
        Ok(Self { nodes, client, store_url, database: Some(database), directory, ports: None })
    }

    /// Starts every node and waits until all are ready.
    pub async fn start_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.process = Some(Process::start(&node.launch)?);
        }
        for id in self.ids() {
            self.ready(id, READY_WITHIN).await?;
        }
        Ok(())
    }

    /// The ids of the nodes.
    pub fn ids(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The ids of all nodes but `id`.
    pub fn ids_beside(&self, id: u16) -> Vec<u16> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    /// The base addresses of all nodes, in the order of their ids.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    /// The base address of node `id`.
    pub fn url(&self, id: u16) -> Result<&str> {
        let node = self.nodes.iter().find(|node| node.id == id);
        Ok(&node.with_context(|| format!("there is no node {id}"))?.url)
    }

    /// The base addresses of all nodes but `id`, beginning behind it.
    pub fn urls_beside(&self, id: u16) -> Vec<String> {
        let (before, after): (Vec<&Node>, Vec<&Node>) =
            self.nodes.iter().filter(|node| node.id != id).partition(|node| node.id < id);
        after.into_iter().chain(before).map(|node| node.url.clone()).collect()
    }

    /// Where all nodes store what they are sent.
    pub fn store_url(&self) -> &str {
        &self.store_url
    }

    /// The client that the cluster itself uses.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the nodes keep their data and logs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Adds node `id` to a cluster on loopback, and starts it: with an empty directory, and as it is told
    /// that these nodes vote; where it is not among them it only runs entities and answers HTTP.
    pub fn add(&mut self, id: u16, voters: &[u16]) -> Result<()> {
        self.add_over(id, voters, &self.store_url.clone())
    }

    /// As [`Cluster::add`], with a number that another process may have.
    pub fn add_as(&mut self, id: u16, number: u16, voters: &[u16]) -> Result<()> {
        self.push(id, voters, &self.store_url.clone())?;
        let arguments = &mut self.node_mut(id)?.launch.arguments;
        let at = arguments.iter().position(|argument| argument == "--node");
        let said = at.and_then(|at| arguments.get_mut(at + 1)).context("it says no number")?;
        *said = number.to_string();
        self.start(id)
    }

    /// As [`Cluster::add`], over a store that need not be that of the others.
    pub fn add_over(&mut self, id: u16, voters: &[u16], store: &str) -> Result<()> {
        self.push(id, voters, store)?;
        self.start(id)
    }

    fn push(&mut self, id: u16, voters: &[u16], store: &str) -> Result<()> {
        let ports = self.ports.as_ref().context("a network has no room for more nodes")?;
        let site = |id: u16| Site::on_loopback(id, ports, store);
        let named: Vec<String> = voters
            .iter()
            .map(|voter| Ok(format!("{voter}={}", site(*voter)?.control)))
            .collect::<Result<_>>()?;
        let mut node = Node::new(id, &site(id)?, &named.join(","), self.directory.path())?;
        if !voters.contains(&id) {
            let roles = ("QUARRY_NODE__ROLES".to_owned(), "runner,gateway".to_owned());
            node.launch.environment.push(roles);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Where node `id` keeps what is its own.
    pub fn home(&self, id: u16) -> PathBuf {
        self.directory.path().join(format!("node-{id}"))
    }

    /// Sets an environment variable for later starts of node `id`.
    pub fn set(&mut self, id: u16, name: &str, value: &str) -> Result<()> {
        self.unset(id, name)?;
        let environment = &mut self.node_mut(id)?.launch.environment;
        environment.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Takes an environment variable from later starts of node `id`.
    pub fn unset(&mut self, id: u16, name: &str) -> Result<()> {
        self.node_mut(id)?.launch.environment.retain(|(known, _)| known != name);
        Ok(())
    }

    /// Gives later starts of node `id` another flag.
    pub fn add_flag(&mut self, id: u16, flag: &str) -> Result<()> {
        self.node_mut(id)?.launch.arguments.push(flag.to_owned());
        Ok(())
    }

    /// Takes a flag from later starts of node `id`.
    pub fn drop_flag(&mut self, id: u16, flag: &str) -> Result<()> {
        self.node_mut(id)?.launch.arguments.retain(|argument| argument != flag);
        Ok(())
    }

    /// Lets all nodes, from their next starts on, be of the binary that has this bug.
    pub fn plant(&mut self, bug: &str) -> Result<()> {
        let binary = process::planted()?;
        for id in self.ids() {
            self.node_mut(id)?.launch.binary = Some(binary.clone());
            self.set(id, "QUARRY_PLANTED_BUG", bug)?;
        }
        Ok(())
    }

    /// Puts a wire between node `id`, from its next start on, and the PostgreSQL server.
    pub async fn wire(&mut self, id: u16) -> Result<Wire> {
        let wire = Wire::start(Ipv4Addr::LOCALHOST, Database::server_address()?).await?;
        let url = self.database()?.url_through(wire.address())?;
        self.store_of(id, &url)?;
        Ok(wire)
    }

    /// Lets node `id`, from its next start on, find its store at `url`.
    fn store_of(&mut self, id: u16, url: &str) -> Result<()> {
        let direct = self.store_url.clone();
        for argument in &mut self.node_mut(id)?.launch.arguments {
            if *argument == direct {
                url.clone_into(argument);
            }
        }
        Ok(())
    }

    /// Moves the file of all nodes, which do not run yet, to a volume that they see. What reads the
    /// store beside them finds it where it was, once it is copied there.
    pub fn store_on(&mut self, volume: &Volume) -> Result<()> {
        let url = format!("sqlite://{}", volume.inside().join("quarry.db").display());
        for id in self.ids() {
            self.store_of(id, &url)?;
            self.node_mut(id)?.launch.command = volume.command();
        }
        Ok(())
    }

    /// Moves the directories of all nodes, which do not run yet, to a volume that they see.
    pub fn keep_data_on(&mut self, volume: &Volume) -> Result<()> {
        for id in self.ids() {
            let home = volume.inside().join(format!("node-{id}")).display().to_string();
            let node = self.node_mut(id)?;
            let mut of_data = node.launch.arguments.iter_mut().skip_while(|word| *word != "--data");
            *of_data.nth(1).context("no --data")? = home;
            node.launch.command = volume.command();
        }
        Ok(())
    }

    /// Puts a shim before the C library of node `id`, from its next start on.
    pub fn put_before(&mut self, id: u16, shim: &Shim) -> Result<()> {
        shim.environment().iter().try_for_each(|(name, value)| self.set(id, name, value))
    }

    /// The database of all nodes, where they have one.
    pub fn database(&self) -> Result<&Database> {
        self.database.as_ref().context("the store is no PostgreSQL")
    }

    /// Ends node `id` with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self, id: u16) -> Result<()> {
        self.end_with(id, Signal::KILL, GONE_WITHIN).await.map(drop)
    }

    /// Asks node `id` to go (SIGTERM) and waits until it is gone.
    pub async fn terminate(&mut self, id: u16, within: Duration) -> Result<ExitStatus> {
        self.end_with(id, Signal::TERM, within).await
    }

    /// Asks node `id` to go (SIGTERM), and does not wait for that.
    pub fn ask_to_go(&self, id: u16) -> Result<()> {
        self.process(id)?.signal(Signal::TERM)
    }

    /// Whether the process of node `id` has not ended yet.
    pub fn runs(&mut self, id: u16) -> Result<bool> {
        let process = self.node_mut(id)?.process.as_mut();
        process.map_or(Ok(false), |process| Ok(process.ended()?.is_none()))
    }

    /// Stops node `id` as it stands (SIGSTOP).
    pub fn freeze(&self, id: u16) -> Result<()> {
        self.process(id)?.signal(Signal::STOP)
    }

    /// Lets a frozen node go on (SIGCONT).
    pub fn thaw(&self, id: u16) -> Result<()> {
        self.process(id)?.signal(Signal::CONT)
    }

    /// Waits until every thread of node `id` has stopped, by [`Cluster::freeze`] or by a crash point.
    pub async fn stopped(&self, id: u16, within: Duration) -> Result<()> {
        let process = self.process(id)?;
        let what = format!("node {id} stops itself");
        until(&what, within, async || process.is_stopped().then_some(())).await
    }

    /// Starts node `id` again and waits until it is ready.
    pub async fn restart(&mut self, id: u16) -> Result<()> {
        self.start(id)?;
        self.ready(id, READY_WITHIN).await
    }

    /// Starts node `id` without waiting for it.
    pub fn start(&mut self, id: u16) -> Result<()> {
        let node = self.node_mut(id)?;
        ensure!(node.process.is_none(), "node {id} runs");
        node.process = Some(Process::start(&node.launch)?);
        Ok(())
    }

    /// Waits until node `id` says that it is ready; ends early if its process ends.
    pub async fn ready(&mut self, id: u16, within: Duration) -> Result<()> {
        let client = self.client.clone();
        let node = self.node_mut(id)?;
        let page = format!("{}/readyz", node.url);
        let process = node.process.as_mut().with_context(|| format!("node {id} is down"))?;
        until(&format!("node {id} is ready"), within, async || match process.ended() {
            Ok(None) => client.status(&page).await?.is_success().then_some(Ok(())),
            Ok(Some(status)) => Some(Err(anyhow!("node {id} ended: {status}"))),
            Err(error) => Some(Err(error)),
        })
        .await?
    }

    /// Waits for the end of node `id`, which a crash point or a fault brings about.
    pub async fn ended(&mut self, id: u16, within: Duration) -> Result<ExitStatus> {
        let node = self.node_mut(id)?;
        let process = node.process.as_mut().with_context(|| format!("node {id} is down"))?;
        let status = process.end(within).await.with_context(|| format!("node {id}"))?;
        node.process = None;
        Ok(status)
    }

    /// What node `id` counted.
    pub async fn metrics(&self, id: u16) -> Result<Metrics> {
        Ok(Metrics::new(self.client.text(&format!("{}/metrics", self.url(id)?)).await?))
    }

    /// How many violations of invariants the running nodes have counted.
    pub async fn violations(&self) -> Result<u64> {
        self.counted("quarry_invariant_violations_total").await
    }

    async fn counted(&self, family: &str) -> Result<u64> {
        let mut sum = 0;
        for node in self.nodes.iter().filter(|node| node.process.is_some()) {
            sum += self.metrics(node.id).await?.sum(family);
        }
        Ok(sum)
    }

    /// Bytes of memory that the running nodes have resident.
    pub fn resident(&self) -> Result<u64> {
        self.nodes.iter().filter_map(|node| node.process.as_ref()).map(Process::resident).sum()
    }

    /// How many messages the running nodes found that nothing would have woken.
    pub async fn stalls(&self) -> Result<u64> {
        self.counted("quarry_stalls_total").await
    }

    /// The end of every node's log.
    pub fn tails(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let tail = tail_of(&node.launch.log);
            let _ = write!(text, "--- node {} ({})\n{tail}\n", node.id, node.url);
        }
        text
    }

    fn nobody_panicked(&self) -> Result<()> {
        for node in &self.nodes {
            let log = fs::read(&node.launch.log).unwrap_or_default();
            let panicked = String::from_utf8_lossy(&log).contains("panicked at");
            ensure!(!panicked, "node {} panicked", node.id);
        }
        Ok(())
    }

    async fn remove(mut self) -> Result<()> {
        self.nodes.clear();
        match self.database.take() {
            Some(database) => database.remove().await,
            None => Ok(()),
        }
    }

    async fn end_with(&mut self, id: u16, signal: Signal, within: Duration) -> Result<ExitStatus> {
        self.process(id)?.signal(signal)?;
        self.ended(id, within).await
    }

    fn process(&self, id: u16) -> Result<&Process> {
        let node = self.nodes.iter().find(|node| node.id == id);
        let node = node.with_context(|| format!("there is no node {id}"))?;
        node.process.as_ref().with_context(|| format!("node {id} is down"))
    }

    fn node_mut(&mut self, id: u16) -> Result<&mut Node> {
        let node = self.nodes.iter_mut().find(|node| node.id == id);
        node.with_context(|| format!("there is no node {id}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{}", self.tails());
        }
    }
}

fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("quarry-cluster.").tempdir()?)
}

/// Nodes at these sites, numbered from 1, all of which vote.
fn nodes_at(sites: &[Site], directory: &Path) -> Result<Vec<Node>> {
    let voters: Vec<String> =
        (1..).zip(sites).map(|(id, site)| format!("{id}={}", site.control)).collect();
    let voters = voters.join(",");
    (1..).zip(sites).map(|(id, site)| Node::new(id, site, &voters, directory)).collect()
}

impl Node {
    fn new(id: u16, site: &Site, voters: &str, directory: &Path) -> Result<Self> {
        let home: PathBuf = directory.join(format!("node-{id}"));
        fs::create_dir(&home)?;
        let arguments = [
            "serve",
            "--node",
            &id.to_string(),
            "--voters",
            voters,
            "--http",
            &site.http,
            "--cluster",
            &site.control,
            "--mesh",
            &site.mesh,
            "--store",
            &site.store,
            "--data",
            &home.to_string_lossy(),
            "--parent",
            &std::process::id().to_string(),
        ];
        let mut environment = site.environment.clone();
        environment.push(("QUARRY_CLUSTER__COOKIE".to_owned(), COOKIE.to_owned()));
        let launch = Launch {
            binary: None,
            command: site.command.clone(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            environment,
            log: directory.join(format!("node-{id}.log")),
        };
        Ok(Self { id, url: site.url.clone(), launch, process: None })
    }
}
