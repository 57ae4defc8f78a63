//! From what nodes say of themselves to what is wrong with them.

use std::collections::BTreeMap;

use quarry_types::api::HealthStatus;

use super::{
    facts::{Facts, Told},
    finding::{Finding, counted, named},
};

/// Clocks of nodes that differ by more are told, in milliseconds.
const CLOCKS_APART: i64 = 5_000;
/// So many of a hundred file descriptors a node may use.
const DESCRIPTORS_PERCENT: u64 = 80;
/// Transactions of the store that take longer on average are told, in seconds.
const SLOW_COMMITS: f64 = 0.1;
/// So long before it expires a certificate is told of, in seconds.
const EXPIRES_SOON: u64 = 14 * DAY;
/// The seconds of a day.
const DAY: u64 = 86_400;

/// What is wrong with single nodes, and between them.
pub(super) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    store(facts, found);
    found.extend(clocks(facts));
    found.extend(versions(facts));
    for (id, told) in facts.heard() {
        let mut own = Vec::new();
        health(id, told, &mut own);
        counters(id, told, &mut own);
        resources(id, told, facts.now, &mut own);
        found.extend(own.into_iter().map(|finding| finding.of([id])));
    }
}

/// What the check of this name saw, where it is not well.
fn ill<'a>(told: &'a Told, name: &str) -> Option<&'a str> {
    let checks = &told.health.as_ref()?.checks;
    let check = checks.iter().find(|check| check.name == name)?;
    (check.status == HealthStatus::Unhealthy).then_some(check.detail.as_str())
}

/// The store as nodes see it; those that see the same are told together.
fn store(facts: &Facts, found: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (id, told) in facts.heard() {
        if let Some(detail) = ill(told, "store") {
            seen.entry(detail).or_default().push(id);
        }
    }
    for (detail, nodes) in seen {
        let what = format!("the store takes no writes from {}: {detail}", named(&nodes));
        found.push(Finding::error("store", what).advise(store_advice(detail)).of(nodes));
    }
}

/// What helps a store that says so.
fn store_advice(detail: &str) -> &'static str {
    let said = detail.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if says(&["full", "no space", "quota"]) {
        "make room on its disk; nodes go on by themselves, without a restart"
    } else if says(&["read-only", "readonly", "read only"]) {
        "let it take writes: the file system, the file or the database is read-only; nodes go on by \
         themselves"
    } else {
        "start the database, or mend the way to it (store.url); nodes go on by themselves when it \
         answers"
    }
}

/// The two clocks that differ most.
fn clocks(facts: &Facts) -> Option<Finding> {
    let told: Vec<_> = facts.heard().filter_map(|(id, told)| Some((id, told.clock?))).collect();
    let pairs = told.iter().flat_map(|one| told.iter().map(move |other| (one, other)));
    let (apart, nodes) = pairs
        .filter(|((one, _), (other, _))| one < other)
        .map(|((one, clock), (other, second))| (clock.differs_from(*second), [*one, *other]))
        .max()?;
    if apart < CLOCKS_APART {
        return None;
    }
    let what = format!("the clocks of {} differ by at least {} s", named(&nodes), apart / 1_000);
    let advice = "set them by NTP: nothing that is stored depends on it, but times that are given \
                  (deliver_at) and shown do, and certificates";
    Some(Finding::warning("clocks_differ", what).advise(advice).of(nodes))
}

fn versions(facts: &Facts) -> Option<Finding> {
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (id, told) in facts.heard() {
        for (version, _) in told.samples.labels("quarry_build_info", "version") {
            seen.entry(version).or_default().push(id);
        }
    }
    if seen.len() < 2 {
        return None;
    }
    let each: Vec<String> =
        seen.iter().map(|(version, nodes)| format!("{version} on {}", named(nodes))).collect();
    let what = format!("nodes run different versions: {}", each.join(", "));
    Some(Finding::notice("versions_differ", what).advise("go on with the upgrade"))
}

fn health(id: u64, told: &Told, found: &mut Vec<Finding>) {
    let hears = told.cluster.as_ref().is_some_and(|cluster| cluster.has_quorum);
    if ill(told, "lease").is_some() && hears {
        let what = format!("node {id} hears a leader and has no lease: it refuses calls");
        found.push(
            Finding::error("no_lease", what)
                .advise("it joins again by itself; where it stays so, look at its log"),
        );
    }
    if let Some(detail) = ill(told, "shards") {
        let what = format!("node {id} has been up for a while and serves nothing: {detail}");
        found.push(Finding::warning("no_shards_served", what).advise(
            "`quarry cluster shards` says what it was granted; shards that it is granted and does not \
             serve wait for the store",
        ));
    }
}

fn counters(id: u64, told: &Told, found: &mut Vec<Finding>) {
    let violations = told.samples.labels("quarry_invariant_violations_total", "id");
    for (invariant, count) in violations {
        let what = format!("node {id} saw invariant {invariant} violated {count:.0} times");
        found.push(Finding::error("invariant", what).advise(
            "keep its log and report it; L3 also means that the store was set back to an older state",
        ));
    }
    let raised = told.samples.count("quarry_coordinator_epochs_raised_total");
    if raised > 0 {
        let what = format!(
            "node {id}, leading, raised the epochs above those of the store, {}: the coordinator's data \
             were lost",
            counted(raised, "time")
        );
        found.push(Finding::warning("epochs_raised", what).advise(
            "no message was lost by it; find out why the voters' data directories were emptied or set \
             back, since drains and the history of moves went with them",
        ));
    }
    let stalls = told.samples.count("quarry_stalls_total");
    if stalls > 0 {
        let what = format!(
            "node {id} found {} that nothing would have woken, and let it go on",
            counted(stalls, "message")
        );
        found.push(Finding::notice("stalls", what).advise("keep its log and report it"));
    }
    let aside = told.samples.labels("quarry_sends_total", "outcome");
    for (_, count) in aside.filter(|(outcome, _)| *outcome == "quarantined") {
        let what = format!(
            "node {id} set {count:.0} sends between entities aside that nobody took in time"
        );
        found.push(Finding::notice("sends_set_aside", what).advise(
            "the view v_outbox of the database has them, in the state quarantined, with the reason",
        ));
    }
    let (sum, count) = (
        told.samples.sum("quarry_commit_seconds_sum"),
        told.samples.sum("quarry_commit_seconds_count"),
    );
    if count >= 100.0 && sum / count > SLOW_COMMITS {
        let what =
            format!("a transaction of node {id} takes {:.0} ms on average", 1_000.0 * sum / count);
        found
            .push(Finding::notice("slow_commits", what).advise("look at the disk of the database"));
    }
}

fn resources(id: u64, told: &Told, now: u64, found: &mut Vec<Finding>) {
    let (open, most) =
        (told.samples.count("process_open_fds"), told.samples.count("process_max_fds"));
    if open.saturating_mul(100) > most.saturating_mul(DESCRIPTORS_PERCENT) {
        let what = format!("node {id} uses {open} of {most} file descriptors");
        let advice = "let it have more (ulimit -n, LimitNOFILE)";
        found.push(Finding::warning("descriptors", what).advise(advice));
    }
    let expires = told.samples.count("quarry_certificate_expiry_timestamp_seconds");
    let left = expires.saturating_sub(now);
    let advice = "make another with `quarry cluster certs` and start the node again";
    if expires > 0 && left == 0 {
        let what = format!("the certificate of node {id} has expired: others refuse it");
        found.push(Finding::error("certificate", what).advise(advice));
    } else if expires > 0 && left < EXPIRES_SOON {
        let days = counted(left / DAY, "day");
        let what = format!("the certificate of node {id} expires in {days}");
        found.push(Finding::warning("certificate", what).advise(advice));
    }
}
