//! The ports and directories of development nodes, kept beside their data so that a restart finds
//! the same voters.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use quarry_ports::Host;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    cli::DevArguments,
    configuration::Listen,
    failure::{Exit, Failure},
    node::{Port, create_directory, ensure_cookie, free_port, is_free},
};

const LAYOUT: &str = "dev.json";

/// Where everything of a development cluster is.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The directory of all, absolute.
    pub(crate) data: PathBuf,
    /// The cookie that the nodes share.
    pub(crate) cookie_file: PathBuf,
    /// Where messages and states are stored.
    pub(crate) store: String,
    /// The nodes.
    pub(crate) nodes: Vec<DevNode>,
    /// Held while the nodes run, so that no other process chooses other ports for them.
    _lock: File,
}

/// One development node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevNode {
    /// Its number.
    pub(crate) id: u64,
    /// The port of its API.
    pub(crate) http: u16,
    /// The port of its control plane.
    pub(crate) cluster: u16,
    /// The port of its message plane.
    pub(crate) mesh: u16,
    /// What is its own.
    pub(crate) directory: PathBuf,
}

impl DevNode {
    /// Where its API answers.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Stored {
    nodes: Vec<StoredNode>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct StoredNode {
    id: u64,
    cluster: u16,
    mesh: u16,
}

impl Layout {
    /// Chooses ports and directories under `data`; those of an earlier run are kept.
    ///
    /// # Errors
    /// Where a port is taken, the directory cannot be used, or it is that of another number of
    /// nodes.
    pub(crate) fn choose(
        arguments: &DevArguments,
        data: &Path,
        host: &Host,
    ) -> Result<Self, Failure> {
        let data = create_directory(data)?;
        let lock = lock(&data)?;
        let stored = stored_nodes(&data, arguments.nodes, host)?;
        let mut taken: Vec<u16> =
            stored.iter().flat_map(|node| [node.cluster, node.mesh]).collect();
        let mut nodes = Vec::new();
        for node in stored {
            let http = http_port(arguments.port, node.id, host, &taken)?;
            taken.push(http);
            nodes.push(DevNode {
                id: node.id,
                http,
                cluster: node.cluster,
                mesh: node.mesh,
                directory: create_directory(&data.join(format!("node-{}", node.id)))?,
            });
        }
        let cookie_file = data.join("cookie");
        ensure_cookie(&cookie_file, host)?;
        let store = arguments
            .store
            .clone()
            .unwrap_or_else(|| format!("sqlite://{}", data.join("quarry.db").display()));
        Ok(Self { data, cookie_file, store, nodes, _lock: lock })
    }

    /// The voters as `--voters` takes them: all nodes.
    pub(crate) fn voters(&self) -> String {
        let voters: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("{}=127.0.0.1:{}", node.id, node.cluster))
            .collect();
        voters.join(",")
    }
}

/// Makes sure that one process at a time runs the nodes of `data`.
fn lock(data: &Path) -> Result<File, Failure> {
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(data.join("dev.lock"))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        drop(file.read_to_string(&mut holder));
        let message = format!("{} is in use by process {}", data.display(), holder.trim());
        return Err(Failure::new(Exit::Refused, message)
            .advise("stop that process, or name another directory with --data"));
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The nodes of an earlier run in `data`, or new ones; on ports that are free.
fn stored_nodes(data: &Path, count: u64, host: &Host) -> Result<Vec<StoredNode>, Failure> {
    let file = data.join(LAYOUT);
    let mut nodes = read(&file)?.nodes;
    let known = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
    if known != 0 && known != count {
        let message = format!("{} is the data of {known} nodes, not {count}", data.display());
        return Err(Failure::new(Exit::Refused, message).advise(format!(
            "name another directory with --data, or start it with --nodes {known}"
        )));
    }
    let mut taken: Vec<u16> = nodes.iter().flat_map(|node| [node.cluster, node.mesh]).collect();
    for id in known + 1..=count {
        let cluster = free_port(host, &taken)?;
        taken.push(cluster);
        let mesh = free_port(host, &taken)?;
        taken.push(mesh);
        nodes.push(StoredNode { id, cluster, mesh });
    }
    for node in &mut nodes {
        for port in [&mut node.cluster, &mut node.mesh] {
            if !is_free(*port) {
                *port = free_port(host, &taken)?;
                taken.push(*port);
            }
        }
    }
    let text =
        serde_json::to_string(&Stored { nodes: nodes.clone() }).map_err(anyhow::Error::from)?;
    fs::write(&file, text)?;
    Ok(nodes)
}

fn read(file: &Path) -> Result<Stored, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            let message = format!("{} is damaged: {error}", file.display());
            Failure::new(Exit::Failed, message).advise("remove it; new ports are chosen then")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Stored::default()),
        Err(error) => Err(error.into()),
    }
}

/// The port of the API of node `id`: the `id`th from `first` on, or a free one.
fn http_port(first: u16, id: u64, host: &Host, taken: &[u16]) -> Result<u16, Failure> {
    if first == 0 {
        return free_port(host, taken);
    }
    let port = u16::try_from(id - 1).ok().and_then(|offset| first.checked_add(offset));
    let port = port.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("--port {first} leaves no port for node {id}"))
    })?;
    let listen = Listen { host: "127.0.0.1".to_owned(), port };
    Port { purpose: "the API", flag: "--port (0 for a free one)", listen: &listen }.probe()?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(line: &str) -> DevArguments {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Dev(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_restart_finds_the_same_planes() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::system();
        let three = arguments("quarry dev --nodes 3 --port 0");
        let first = Layout::choose(&three, directory.path(), &host).unwrap();
        let held = Layout::choose(&three, directory.path(), &host).unwrap_err();
        assert!(held.to_string().contains(&std::process::id().to_string()), "{held}");
        let voters = first.voters();
        drop(first);
        let second = Layout::choose(&three, directory.path(), &host).unwrap();
        assert_eq!(voters, second.voters());
        assert_eq!(second.nodes.len(), 3);
        drop(second);
        let one = arguments("quarry dev --port 0");
        let refused = Layout::choose(&one, directory.path(), &host).unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.to_string().contains("--nodes 3"), "{refused}");
    }

    #[test]
    fn a_taken_port_names_the_flag_that_changes_it() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let arguments = arguments(&format!("quarry dev --port {port}"));
        let failure = Layout::choose(&arguments, directory.path(), &Host::system()).unwrap_err();
        assert!(failure.to_string().contains("--port"), "{failure}");
    }
}
