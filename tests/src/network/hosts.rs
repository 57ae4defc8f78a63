//! The hosts, their bridge and their links.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::switch::{Passing, Switch, Weather};

/// How many networks can stand side by side on one machine.
const NETWORKS: u8 = 200;
/// The most hosts of one.
const HOSTS: u16 = 16;
/// The last byte of the machine's addresses.
const DATABASE: u8 = 253;
const CLIENTS: u8 = 254;
/// Locally administered, and nobody's.
const NOBODY: &str = "02:00:00:00:00:00";
/// The machine's own end of every network.
const BRIDGE: &str = "02:00:00:00:00:01";

/// Why there can be no network here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden(pub String);

/// To whom a host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Another host.
    Host(u16),
    /// Where clients are.
    Clients,
    /// Where the database is.
    Database,
}

/// A bridge and its hosts, numbered from 1. They go with this value.
#[derive(Debug)]
pub struct Network {
    number: u8,
    hosts: u16,
}

impl Network {
    /// Makes a network of so many hosts, at most 16. Where the machine does not permit it, that is
    /// the inner answer; any other trouble is an error.
    pub fn build(hosts: u16) -> Result<Result<Self, Forbidden>> {
        ensure!((1..=HOSTS).contains(&hosts), "{hosts} hosts");
        let network = match Self::claim(hosts)? {
            Ok(network) => network,
            Err(forbidden) => return Ok(Err(forbidden)),
        };
        Ok(match network.furnish() {
            Ok(()) => Ok(network),
            Err(error) => Err(forbidden(error)?),
        })
    }

    /// Makes the bridge, under the first number that is free.
    fn claim(hosts: u16) -> Result<Result<Self, Forbidden>> {
        for number in 0..NETWORKS {
            let bridge = bridge(number);
            if is_abandoned(&bridge) {
                remove(number);
            }
            match ip(&format!("link add {bridge} type bridge")) {
                Ok(()) => {
                    let network = Self { number, hosts };
                    let (processes, process) = (processes(), std::process::id());
                    ip(&format!("link set {bridge} alias {OWNER}{processes}-{process}"))?;
                    // Else it takes that of one of its ports, and another one when ports come and go:
                    // then nobody reaches it until they have asked anew.
                    ip(&format!("link set {bridge} address {BRIDGE}"))?;
                    return Ok(Ok(network));
                }
                Err(Refused { said, .. }) if said.contains("File exists") => {}
                Err(refused) => return Ok(Err(forbidden(refused)?)),
            }
        }
        bail!("{NETWORKS} networks of tests stand on this machine")
    }

    fn furnish(&self) -> Result<(), Refused> {
        let bridge = bridge(self.number);
        for last in [CLIENTS, DATABASE] {
            ip(&format!("address add {}/24 dev {bridge}", self.at(last)))?;
        }
        ip(&format!("link set {bridge} up"))?;
        for host in self.hosts() {
            let (namespace, link) = (self.namespace(host), link(self.number, host));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"))?;
            // While a switch stands between them, nobody is to ask the link itself for addresses.
            ip(&format!("link set {link} arp off"))?;
            ip(&format!("link set {link} master {bridge} up"))?;
            let [near, far] = detour(self.number, host);
            ip(&format!("link add {near} type veth peer name {far}"))?;
            ip(&format!("link set {near} arp off up"))?;
            ip(&format!("link set {far} master {bridge} up"))?;
            let address = self.address(host);
            ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }

    /// The numbers of the hosts.
    pub fn hosts(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.hosts
    }

    /// The address of a host.
    pub fn address(&self, host: u16) -> Ipv4Addr {
        self.at(u8::try_from(host).unwrap_or(u8::MAX))
    }

    /// The machine's address for the database.
    pub fn database(&self) -> Ipv4Addr {
        self.at(DATABASE)
    }

    /// What stands before a command line that is to run on a host. The process is that of the
    /// command itself.
    pub fn command(&self, host: u16) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(host)].map(str::to_owned).to_vec()
    }

    /// The file that stands for the namespace of a host.
    pub fn namespace_file(&self, host: u16) -> PathBuf {
        Path::new("/var/run/netns").join(self.namespace(host))
    }

    /// From now on, what `from` sends to `to` is lost; `from` is not told. What it hears of `to` it
    /// goes on hearing.
    pub fn cut(&self, from: u16, to: Peer) -> Result<()> {
        let (namespace, to) = (self.namespace(from), self.at_peer(to));
        let what = format!("neighbour replace {to} lladdr {NOBODY} nud permanent dev eth0");
        Ok(ip(&format!("-n {namespace} {what}"))?)
    }

    /// What `from` sends to `to` arrives again.
    pub fn mend(&self, from: u16, to: Peer) -> Result<()> {
        let (namespace, to) = (self.namespace(from), self.at_peer(to));
        Ok(ip(&format!("-n {namespace} neighbour delete {to} dev eth0"))?)
    }

    /// From now on, what `host` and other hosts say to one another goes through `switch`, in this
    /// weather, until the answer is dropped. What it says to clients and database does not change.
    pub fn worsen(
        &self,
        host: u16,
        switch: &Switch,
        weather: Weather,
        seed: u64,
    ) -> Result<BadLink> {
        let link = link(self.number, host);
        let [near, _] = detour(self.number, host);
        let passing = switch.start((&link, &near), self.hosts, weather, seed)?;
        ip(&format!("link set {link} nomaster"))?;
        Ok(BadLink { link, bridge: bridge(self.number), _passing: passing })
    }

    fn at_peer(&self, peer: Peer) -> Ipv4Addr {
        match peer {
            Peer::Host(host) => self.address(host),
            Peer::Clients => self.at(CLIENTS),
            Peer::Database => self.at(DATABASE),
        }
    }

    /// All of them are private (RFC 1918).
    const fn at(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number, last)
    }

    fn namespace(&self, host: u16) -> String {
        namespace(self.number, host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(self.number);
    }
}

/// A link in bad weather. It is well again when this is dropped.
#[derive(Debug)]
pub struct BadLink {
    link: String,
    bridge: String,
    /// Ends behind the return of the link to its bridge.
    _passing: Passing,
}

impl Drop for BadLink {
    fn drop(&mut self) {
        // It may be gone, with all of the network.
        drop(ip(&format!("link set {} master {}", self.link, self.bridge)));
    }
}

/// What the alias of a bridge begins with, before the namespace and the id of its process.
const OWNER: &str = "quarry-tests-";

fn bridge(number: u8) -> String {
    format!("quarry{number}")
}

fn namespace(number: u8, host: u16) -> String {
    format!("quarry{number}-{host}")
}

/// At most 15 characters.
fn link(number: u8, host: u16) -> String {
    format!("quarry{number}-{host}")
}

/// The way around the bridge's port of a host: the end at which a switch stands, and that on the
/// bridge.
fn detour(number: u8, host: u16) -> [String; 2] {
    ["a", "b"].map(|end| format!("{}{end}", link(number, host)))
}

/// Within what the ids of processes here are unique: others may share the network and not see them.
fn processes() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// Whether the process that made this bridge is gone. One that cannot be seen from here is not.
fn is_abandoned(bridge: &str) -> bool {
    let alias = fs::read_to_string(format!("/sys/class/net/{bridge}/ifalias"));
    let process = alias.ok().and_then(|alias| {
        let (processes, id) = alias.trim().strip_prefix(OWNER)?.split_once('-')?;
        let id: u32 = id.parse().ok()?;
        (processes == self::processes()).then_some(id)
    });
    process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists())
}

/// The links go first: a namespace stays until the last of its processes and sockets is gone.
fn remove(number: u8) {
    for host in 1..=HOSTS {
        if Path::new("/sys/class/net").join(link(number, host)).exists() {
            drop(ip(&format!("link delete {}", link(number, host))));
        }
        let [near, _] = detour(number, host);
        if Path::new("/sys/class/net").join(&near).exists() {
            drop(ip(&format!("link delete {near}")));
        }
        if Path::new("/var/run/netns").join(namespace(number, host)).exists() {
            drop(ip(&format!("netns delete {}", namespace(number, host))));
        }
    }
    drop(ip(&format!("link delete {}", bridge(number))));
}

/// `ip` did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("ip {arguments}: {said}")]
struct Refused {
    arguments: String,
    said: String,
}

/// Runs `ip` (iproute2).
fn ip(arguments: &str) -> Result<(), Refused> {
    let refused = |said: String| Refused { arguments: arguments.to_owned(), said };
    let ran = Command::new("ip").args(arguments.split(' ')).output();
    let ran = ran.map_err(|error| refused(error.to_string()))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(refused(String::from_utf8_lossy(&ran.stderr).trim().to_owned()))
}

/// The refusals that say that this machine permits, or has, no such thing; others are errors.
fn forbidden(refused: Refused) -> Result<Forbidden> {
    const SIGNS: [&str; 4] = [
        "Operation not permitted",
        "Permission denied",
        "Operation not supported",
        "Unknown device type",
    ];
    if SIGNS.iter().any(|sign| refused.said.contains(sign)) {
        return Ok(Forbidden(refused.to_string()));
    }
    Err(refused).context("a network of namespaces (iproute2 is needed)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_machine_does_not_permit_is_a_reason_to_do_without() {
        let refused =
            |said: &str| Refused { arguments: "netns add a".to_owned(), said: said.to_owned() };
        let reason = forbidden(refused("mount failed: Operation not permitted")).unwrap();
        assert_eq!(reason.0, "ip netns add a: mount failed: Operation not permitted");
        assert!(forbidden(refused("No such file or directory (os error 2)")).is_err());
        assert!(forbidden(refused("Cannot find device")).is_err());
    }

    #[test]
    fn names_of_devices_fit_the_kernel() {
        assert!(link(NETWORKS, HOSTS).len() <= 15);
        assert!(detour(NETWORKS, HOSTS).iter().all(|name| name.len() <= 15));
        assert!(bridge(NETWORKS).len() <= 15);
    }
}
