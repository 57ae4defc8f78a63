//! `quarry cluster certs`: an authority for a cluster, and a certificate for each of its nodes.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use quarry_plane::{Authority, AuthorityError, Validity, is_cluster_label, node_name};
use quarry_ports::Host;
use quarry_types::{NodeId, Timestamp};
use serde::Serialize;

use crate::{
    cli::{CertsArguments, Format},
    failure::{Exit, Failure},
    output::Output,
};

/// A clock that is behind by less than this takes a new certificate for valid.
const CLOCKS_DIFFER_DAYS: i64 = 1;
/// How long an authority is believed, where its nodes' certificates do not ask for more.
const AUTHORITY_DAYS: i64 = 3_650;
const DAY: i64 = 86_400_000;
/// Where the lines for the configuration say that a node keeps its files.
const HOME: &str = "/etc/quarry/tls";

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    cluster: String,
    authority: PathBuf,
    authority_key: PathBuf,
    authority_is_new: bool,
    days: i64,
    nodes: Vec<MadeNode>,
}

#[derive(Debug, Serialize)]
struct MadeNode {
    node: u64,
    name: String,
    directory: PathBuf,
}

/// Runs the command.
pub(crate) fn run(arguments: &CertsArguments, output: Output) -> Result<(), Failure> {
    let CertsArguments { out, nodes, name, days } = arguments;
    if !is_cluster_label(name) {
        let message = format!("--name {name:?} cannot be a cluster's name in certificates");
        return Err(Failure::new(Exit::Usage, message).advise(
            "take lower-case letters, digits and inner hyphens, as cluster.name has them",
        ));
    }
    let nodes: BTreeSet<u64> = nodes.iter().copied().collect();
    let directories: Vec<(NodeId, PathBuf)> =
        nodes.iter().map(|id| (NodeId(*id), out.join(format!("node-{id}")))).collect();
    refuse_to_overwrite(&directories)?;
    create_directory(out, true)?;
    let now = Host::system().clock.wall();
    let (authority, authority_is_new) =
        authority(out, name, validity(now, (*days).max(AUTHORITY_DAYS)))?;
    let mut made = Made {
        cluster: name.clone(),
        authority: out.join(CA),
        authority_key: out.join(CA_KEY),
        authority_is_new,
        days: *days,
        nodes: Vec::new(),
    };
    for (node, directory) in directories {
        let issued = authority.issue(node, validity(now, *days)).map_err(|e| explain(&e))?;
        create_directory(&directory, false)?;
        write(&directory.join(CA), authority.certificate(), PUBLIC)?;
        write(&directory.join("node.pem"), &issued.cert, PUBLIC)?;
        write(&directory.join("node.key"), &issued.key, PRIVATE)?;
        made.nodes.push(MadeNode { node: node.0, name: node_name(name, node), directory });
    }
    print(&made, output)
}

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

fn validity(now: Timestamp, days: i64) -> Validity {
    Validity {
        from: Timestamp(now.0.saturating_sub(CLOCKS_DIFFER_DAYS * DAY)),
        until: Timestamp(now.0.saturating_add(days.saturating_mul(DAY))),
    }
}

fn refuse_to_overwrite(directories: &[(NodeId, PathBuf)]) -> Result<(), Failure> {
    let present: Vec<String> = directories
        .iter()
        .filter(|(_, directory)| directory.exists())
        .map(|(_, directory)| directory.display().to_string())
        .collect();
    if present.is_empty() {
        return Ok(());
    }
    let message = format!("{} exists already; nothing was written", present.join(" and "));
    Err(Failure::new(Exit::Refused, message)
        .advise("move it away to renew its certificate, or name only the other nodes"))
}

/// The authority in `out`, or a new one where there is none.
fn authority(out: &Path, cluster: &str, validity: Validity) -> Result<(Authority, bool), Failure> {
    let (cert, key) = (out.join(CA), out.join(CA_KEY));
    match (read(&cert)?, read(&key)?) {
        (Some(found), Some(secret)) => {
            let authority = Authority::load(cluster, &found, &secret).map_err(|error| {
                explain(&error).advise(format!(
                    "name the cluster of {} with --name, or another directory with --out",
                    cert.display()
                ))
            })?;
            Ok((authority, false))
        }
        (None, None) => {
            let authority = Authority::create(cluster, validity).map_err(|e| explain(&e))?;
            write(&key, &authority.key(), PRIVATE)?;
            write(&cert, authority.certificate(), PUBLIC)?;
            Ok((authority, true))
        }
        (found, _) => {
            let (present, missing) = if found.is_some() { (cert, key) } else { (key, cert) };
            let message = format!(
                "{} is there and {} is not; nothing was written",
                present.display(),
                missing.display()
            );
            Err(Failure::new(Exit::Refused, message)
                .advise("bring it back, or name another directory with --out"))
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn create_directory(path: &Path, may_exist: bool) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(may_exist).mode(0o700).create(path);
    made.map_err(|error| unusable(path, &error))
}

/// Writes a file that must be new.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written =
        file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}

fn explain(error: &AuthorityError) -> Failure {
    let exit = match error {
        AuthorityError::NotOurs { .. } => Exit::Refused,
        AuthorityError::Instant(_) => Exit::Usage,
        AuthorityError::Library(_) => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

fn print(made: &Made, output: Output) -> Result<(), Failure> {
    if output.format() != Format::Table {
        return output.record(&[], made);
    }
    let how = if made.authority_is_new { "made" } else { "found and used" };
    output.line(&format!(
        "authority  {} ({how}); keep {} on no node",
        made.authority.display(),
        made.authority_key.display()
    ))?;
    for MadeNode { node, name, directory } in &made.nodes {
        output.line(&format!(
            "node {node:<5} copy {}/ to {HOME}/ of node {node} ({name}, {} days)",
            directory.display(),
            made.days
        ))?;
    }
    output.line(&format!(
        "\nin quarry.toml of every node, files readable by its user alone:\n\n{}",
        configuration(&made.cluster)
    ))
}

fn configuration(cluster: &str) -> String {
    format!(
        "[cluster]\nname = \"{cluster}\"\n\n[cluster.tls]\nca = \"{HOME}/{CA}\"\n\
         cert = \"{HOME}/node.pem\"\nkey = \"{HOME}/node.key\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_for_the_configuration_are_right() {
        let mut mistakes = Vec::new();
        crate::configuration::parse_file("lines", &configuration("east"), &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}
