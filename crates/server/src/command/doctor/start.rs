//! From what is known of this machine to what would hinder a node here.

use std::time::Duration;

use quarry_store::{Examined, OpenError};

use super::{
    finding::Finding,
    machine::{Directory, Ground, Machine},
};

/// A node wants so much free space, in bytes.
const SPACE: u64 = 512 * MIB;
const MIB: u64 = 1024 * 1024;
/// A flush that takes longer makes every durable call slow.
const SLOW_FLUSH: Duration = Duration::from_millis(20);
/// A node wants so many file descriptors.
const DESCRIPTORS: u64 = 1_024;

/// All that is found, the worst first.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let mut found = vec![unanswered(machine)];
    match &machine.ground {
        Err(mistakes) => found.extend(mistakes.0.iter().map(|mistake| {
            Finding::error("configuration", mistake.to_string())
                .advise("`quarry config check` says the same; `quarry config init` shows all keys")
        })),
        Ok(ground) => {
            let warnings = ground.warnings.iter();
            found.extend(warnings.map(|said| Finding::warning("configuration", said.clone())));
            ports(ground, &mut found);
            directory(&ground.directory, &mut found);
            found.push(database(&ground.database));
            found.extend(descriptors(ground));
        }
    }
    found.sort();
    found
}

fn unanswered(machine: &Machine) -> Finding {
    let what = format!("{}; what a node would need here was looked at instead", machine.unanswered);
    if machine.is_named {
        return Finding::error("no_server", what).advise("name a node that runs with --url");
    }
    Finding::notice("no_server", what).advise("start one with `quarry dev`, or name one with --url")
}

/// The ports of a node that runs are its own.
fn ports(ground: &Ground, found: &mut Vec<Finding>) {
    if ground.directory.holder.is_some() {
        return;
    }
    for failure in &ground.ports {
        let finding = Finding::error("port", failure.message.clone());
        found.push(Finding { advice: failure.advice.clone(), ..finding });
    }
}

fn directory(seen: &Directory, found: &mut Vec<Finding>) {
    let path = seen.path.display();
    if let Some(process) = seen.holder {
        let what = format!("process {process} runs a node with the data directory {path}");
        found.push(
            Finding::warning("directory_held", what).advise(
                "ask it: name its HTTP address with --url; another node needs another --data",
            ),
        );
    }
    if let Some(reason) = &seen.unwritable {
        let what = format!("the data directory {path} cannot be written: {reason}");
        found.push(
            Finding::error("directory", what)
                .advise("let this user write there, or name another with --data (node.data_dir)"),
        );
    }
    if let Some(free) = seen.free.filter(|free| *free < SPACE) {
        let what = format!("{} MiB are free for the data directory {path}", free / MIB);
        found
            .push(Finding::warning("space", what).advise("make room, or name another with --data"));
    }
    if let Some(flush) = seen.flush.filter(|flush| *flush > SLOW_FLUSH) {
        let what = format!("a flush takes {} ms in the data directory {path}", flush.as_millis());
        found.push(
            Finding::notice("slow_flush", what).advise(
                "each durable call to a SQLite file there waits for one; take a faster disk",
            ),
        );
    }
}

fn database(seen: &Result<Examined, OpenError>) -> Finding {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let finding = Finding::error("database", error.to_string());
            return match error {
                OpenError::Database { .. } => {
                    finding.advise("start it, or check --store (store.url)")
                }
                _ => finding,
            };
        }
    };
    let server = seen.server.as_ref().map_or_else(String::new, |at| format!(" (version {at})"));
    let name = format!("the database {}{server}", seen.store);
    let what = match seen.schema {
        None => format!("{name} has nothing of Quarry yet: the first start makes its schema"),
        Some(version) if version < seen.newest => format!(
            "{name} has schema version {version}: the next start brings it to {}, which older programs \
             do not take",
            seen.newest
        ),
        Some(version) => format!("{name} answers, with schema version {version}"),
    };
    let whose = seen
        .cluster
        .map_or_else(String::new, |id| format!(", and belongs to cluster {:016x}", id.0));
    Finding::notice("database", format!("{what}{whose}"))
}

fn descriptors(ground: &Ground) -> Option<Finding> {
    let most = ground.descriptors.filter(|most| *most < DESCRIPTORS)?;
    let what = format!("a process here may open {most} files");
    let advice = format!("let it have {DESCRIPTORS} or more (ulimit -n, LimitNOFILE)");
    Some(Finding::warning("descriptors", what).advise(advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::doctor::finding::Severity,
        configuration::{Mistake, Mistakes},
        failure::{Exit, Failure},
    };

    fn machine(ground: Result<Ground, Mistakes>) -> Machine {
        Machine { unanswered: "no server answers".to_owned(), is_named: false, ground }
    }

    fn ground() -> Ground {
        let directory = Directory {
            path: "data".into(),
            free: Some(1 << 40),
            flush: Some(Duration::from_micros(60)),
            ..Directory::default()
        };
        let database = Ok(Examined {
            store: "sqlite data/quarry.db".to_owned(),
            server: None,
            schema: None,
            newest: 9,
            cluster: None,
        });
        let (warnings, ports, descriptors) = (Vec::new(), Vec::new(), Some(1_024));
        Ground { warnings, ports, directory, database, descriptors }
    }

    fn taken() -> Failure {
        Failure::new(Exit::Failed, "HTTP cannot listen").advise("--http")
    }

    fn away() -> OpenError {
        OpenError::Database { store: "postgres".to_owned(), reason: "away".to_owned() }
    }

    fn newer() -> OpenError {
        OpenError::Newer { store: "s".to_owned(), found: 10, known: 9 }
    }

    /// What is changed, and what is found then.
    type Case = (fn(&mut Ground), Severity, &'static str);

    #[test]
    fn what_would_hinder_a_start_is_found_alone() {
        const CASES: &[Case] = &[
            (|of| of.ports.push(taken()), Severity::Error, "port"),
            (|of| of.directory.holder = Some(42), Severity::Warning, "directory_held"),
            (|of| of.directory.unwritable = Some("no".to_owned()), Severity::Error, "directory"),
            (|of| of.directory.free = Some(1 << 20), Severity::Warning, "space"),
            (
                |of| of.directory.flush = Some(Duration::from_millis(50)),
                Severity::Notice,
                "slow_flush",
            ),
            (|of| of.descriptors = Some(256), Severity::Warning, "descriptors"),
            (|of| of.warnings.push("odd".to_owned()), Severity::Warning, "configuration"),
            (|of| of.database = Err(away()), Severity::Error, "database"),
            (|of| of.database = Err(newer()), Severity::Error, "database"),
        ];
        let usual = [(Severity::Notice, "database"), (Severity::Notice, "no_server")];
        let found = |machine: &Machine| -> Vec<(Severity, &'static str)> {
            findings(machine).iter().map(|found| (found.severity, found.code)).collect()
        };
        assert_eq!(found(&machine(Ok(ground()))), usual);
        for (happens, severity, code) in CASES {
            let mut ground = ground();
            happens(&mut ground);
            let seen = found(&machine(Ok(ground)));
            assert!(seen.contains(&(*severity, *code)), "{code}: {seen:?}");
            let others = seen.iter().filter(|seen| **seen != (*severity, *code));
            assert!(others.clone().all(|seen| usual.contains(seen)), "{code}: {seen:?}");
        }
        // The ports of a node that runs are its own.
        let mut held = ground();
        held.directory.holder = Some(42);
        held.ports.push(taken());
        assert!(!found(&machine(Ok(held))).iter().any(|(_, code)| *code == "port"));
        let mistakes = Mistakes(vec![Mistake::new("a:1", "x"), Mistake::new("a:2", "y")]);
        let configuration = (Severity::Error, "configuration");
        let unread = [configuration, configuration, (Severity::Notice, "no_server")];
        assert_eq!(found(&machine(Err(mistakes))), unread);
        let named = Machine { is_named: true, ..machine(Ok(ground())) };
        assert_eq!(found(&named), [(Severity::Error, "no_server"), usual[0]]);
    }
}
