//! Rules that concern more than one key.

use quarry_consensus::TimesError;
use quarry_core::lease::InvalidTimes;
use quarry_plane::{Credentials, is_cluster_label};
use quarry_ports::Host;
use quarry_types::{NodeId, Role};

use super::{
    kind::split_host_port,
    load::Origins,
    mistake::Mistake,
    settings::{Listen, Settings},
};

/// What is wrong with values that are each right by themselves.
pub(crate) fn check(settings: &Settings, origins: &Origins) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut say = |path: &str, message: String| {
        mistakes.push(Mistake::new(origins.of(path), message));
    };
    let cluster = &settings.cluster;
    if !cluster.shards.is_power_of_two() {
        let next = cluster.shards.next_power_of_two();
        say("cluster.shards", format!("cluster.shards must be a power of two, as {next} is"));
    }
    check_times(settings, &mut say);
    check_voters(settings, &mut say);
    check_exposure(settings, &mut say);
    check_credentials(settings, &mut say);
    mistakes
}

/// As the coordinator would take them.
fn check_times(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    for error in settings.cluster.times().leases().err().unwrap_or_default() {
        let path = match error {
            TimesError::Lease(InvalidTimes::Heartbeat { .. }) => "cluster.heartbeat",
            // No key sets the times of Raft, so a lease has to suit them.
            TimesError::Lease(InvalidTimes::Ttl { .. })
            | TimesError::Election { .. }
            | TimesError::NoRaftHeartbeat
            | TimesError::HastyElection
            | TimesError::SplitVotes => "cluster.lease_ttl",
        };
        say(path, format!("{path} does not fit: {error}"));
    }
}

fn check_voters(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let id = NodeId(settings.node.id);
    let voters = &settings.cluster.voters;
    let is_voter = voters.is_empty() || voters.iter().any(|voter| voter.node == id);
    let is_coordinator = settings.node.roles.contains(&Role::Coordinator);
    if is_coordinator && !is_voter {
        say(
            "cluster.voters",
            format!(
                "node {id} has the role coordinator and is not among the voters; add \
                 {id}={} or leave the role out of node.roles",
                settings.node.cluster
            ),
        );
    }
    if !is_coordinator && is_voter {
        let message = if voters.is_empty() {
            "cluster.voters must name the coordinator where node.roles does not".to_owned()
        } else {
            format!("node {id} is among the voters and lacks the role coordinator")
        };
        say("node.roles", message);
    }
}

fn check_exposure(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let node = &settings.node;
    if !node.http.is_loopback() {
        say(
            "node.http",
            format!(
                "node.http is {} and HTTP has no authentication yet: it binds loopback only; put a \
                 proxy that authenticates in front of it",
                node.http
            ),
        );
    }
    let is_protected = settings.cluster.insecure || settings.cluster.tls.files().is_some();
    let mut expose = |path: &str, what: String| {
        let message = format!(
            "{what}: beyond loopback a plane needs TLS, which `quarry cluster certs` prepares \
             (cluster.tls), or cluster.insecure = true"
        );
        if !is_protected {
            say(path, message);
        }
    };
    let planes: [(&str, &Listen); 2] = [("node.cluster", &node.cluster), ("node.mesh", &node.mesh)];
    for (path, listen) in planes {
        if !listen.is_loopback() {
            expose(path, format!("{path} is {listen}"));
        }
    }
    let far = settings.cluster.voters.iter().find(|voter| !is_loopback(&voter.control));
    if let Some(voter) = far {
        expose("cluster.voters", format!("voter {} is at {}", voter.node, voter.control));
    }
    for (path, listen) in planes {
        if listen.is_unspecified() && node.advertise.is_none() {
            say(path, format!("{path} is {listen}, which others cannot use; set node.advertise"));
        }
    }
    let is_alone = settings.cluster.voters.len() < 2;
    let has_cookie = settings.cluster.cookie.is_some() || settings.cluster.cookie_file.is_some();
    if !is_alone && !has_cookie {
        say(
            "cluster.voters",
            "a cluster of several nodes needs cluster.cookie or cluster.cookie_file; make one with \
             `openssl rand -hex 32`"
                .to_owned(),
        );
    }
}

fn is_loopback(address: &str) -> bool {
    split_host_port(address).is_ok_and(|(host, port)| Listen { host, port }.is_loopback())
}

/// The credentials as this node would start with them now.
fn check_credentials(settings: &Settings, say: &mut impl FnMut(&str, String)) {
    let tls = &settings.cluster.tls;
    let parts = [
        ("cluster.tls.ca", &tls.ca),
        ("cluster.tls.cert", &tls.cert),
        ("cluster.tls.key", &tls.key),
    ];
    let Some((given, _)) = parts.iter().find(|(_, file)| file.is_some()) else { return };
    let name = &settings.cluster.name;
    if !is_cluster_label(name) {
        let message = format!(
            "cluster.name is {name:?}: certificates can only name a cluster of lower-case letters, \
             digits and inner hyphens"
        );
        return say("cluster.name", message);
    }
    let Some(files) = tls.files() else {
        let lacks = parts.iter().filter(|(_, file)| file.is_none());
        for (path, _) in lacks {
            say(given, format!("{given} is set and {path} is not; all three are needed"));
        }
        return;
    };
    let (node, now) = (NodeId(settings.node.id), Host::system().clock.wall());
    for fault in Credentials::load(&files, name, node, now).err().unwrap_or_default() {
        let file = Some(fault.path.clone());
        let path = parts.iter().find(|(_, named)| **named == file).map_or(*given, |(path, _)| path);
        say(path, format!("{path} {fault}"));
    }
}
