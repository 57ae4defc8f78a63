//! From what is known of a cluster to what is wrong with it.

use quarry_types::{NodeState, Role, api::Protection};

use super::{
    facts::{Facts, NodeFacts, Told},
    finding::{Finding, counted, named},
    node,
};

/// How many names are told of a long list.
const NAMED: usize = 5;

/// All that is found, the worst first.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(quorum(facts));
    found.extend(facts.nodes.iter().filter_map(|of| presence(facts, of)));
    shards(facts, &mut found);
    node::findings(facts, &mut found);
    messages(facts, &mut found);
    if facts.cluster.planes == Protection::Insecure {
        let what = "the planes go beyond this machine without TLS (cluster.insecure)";
        found.push(
            Finding::notice("insecure", what).advise("`quarry cluster certs` makes certificates"),
        );
    }
    found.sort();
    found
}

/// Whether any node that was heard knows of a leader with a quorum.
fn has_quorum(facts: &Facts) -> bool {
    facts.heard().filter_map(|(_, told)| told.cluster.as_ref()).any(|seen| seen.has_quorum)
}

fn quorum(facts: &Facts) -> Option<Finding> {
    if has_quorum(facts) {
        return None;
    }
    let voters = facts.nodes.iter().filter(|node| node.is_voter);
    let (heard, silent): (Vec<&NodeFacts>, Vec<&NodeFacts>) =
        voters.partition(|node| node.told.is_ok());
    let silent: Vec<u64> = silent.iter().map(|facts| facts.node.id).collect();
    let what = format!(
        "the coordinator has no leader with a quorum: {} of {} voters answer. Who has a lease serves \
         until it ends, and nobody gets another",
        heard.len(),
        facts.cluster.voters.len(),
    );
    let advice = if silent.is_empty() {
        "see that the voters reach one another on the control plane (node.cluster)".to_owned()
    } else {
        format!(
            "start {} again, or mend the way to it; a majority comes back by itself",
            named(&silent)
        )
    };
    Some(Finding::error("no_quorum", what).advise(advice).of(silent))
}

/// Whether the node is where the cluster takes it to be.
fn presence(facts: &Facts, of: &NodeFacts) -> Option<Finding> {
    let id = of.node.id;
    let hears_nobody =
        |told: &Told| told.cluster.as_ref().is_some_and(|cluster| !cluster.has_quorum);
    let finding = match (&of.told, of.node.state) {
        (Ok(told), _) if has_quorum(facts) && hears_nobody(told) => cut_off(id),
        (Ok(_), NodeState::Down) => cut_off(id),
        (Err(_), NodeState::Down) => down(of),
        (Err(reason), NodeState::Up | NodeState::Draining) => {
            let what = format!(
                "node {id} has a lease and cannot be asked from here: {reason}. What only it knows is \
                 not told"
            );
            let advice = format!("run this where {} is reached", of.node.http);
            Finding::warning("node_silent", what).advise(advice)
        }
        (Ok(_), NodeState::Draining) => {
            let what = format!("node {id} is drained, and has {} left", shards_of(of.node.shards));
            Finding::notice("node_draining", what)
                .advise(format!("`quarry cluster undrain {id}` lets it take shards again"))
        }
        (Ok(_), NodeState::Up) => return None,
    };
    Some(finding.of([id]))
}

fn cut_off(id: u64) -> Finding {
    let what = format!(
        "node {id} runs, and is cut off from the coordinator or has only begun: it has no lease and \
         refuses calls"
    );
    Finding::error("node_cut_off", what).advise(
        "see that it reaches the voters on the control plane, and they it (node.cluster, \
         node.advertise), and look at its log",
    )
}

fn down(of: &NodeFacts) -> Finding {
    let id = of.node.id;
    let start = "start it again";
    if of.is_voter {
        let what = format!("node {id} is down, and it votes: one loss less is survived");
        return Finding::error("node_down", what).advise(format!(
            "{start}; where its machine is lost, `quarry cluster replace-voter {id} --by NODE`"
        ));
    }
    let what = format!("node {id} is down");
    Finding::warning("node_down", what).advise(start)
}

fn shards_of(count: u32) -> String {
    counted(count, "shard")
}

fn shards(facts: &Facts, found: &mut Vec<Finding>) {
    let count = facts.cluster.shards;
    if count.total == 0 {
        let what = "there are no shards yet: nobody owns any entity";
        found.push(Finding::error("no_shards", what).advise(
            "a new cluster makes them when its voters have a leader and a runner has joined",
        ));
    }
    if count.unowned > 0 {
        let unowned = facts.shards.iter().filter(|shard| shard.owner.is_none());
        let mut ids: Vec<String> = unowned.map(|shard| shard.id.to_string()).collect();
        let rest = if ids.len() > NAMED { ", …" } else { "" };
        ids.truncate(NAMED);
        let which =
            if ids.is_empty() { String::new() } else { format!(" ({}{rest})", ids.join(", ")) };
        let noun = if count.unowned == 1 { "has no owner" } else { "have no owner" };
        let what = format!(
            "{}{which} {noun}: calls to their entities wait, and are refused at their deadline",
            shards_of(count.unowned)
        );
        found.push(Finding::error("shards_unowned", what).advise(who_could_take(facts)));
    }
    if count.moving > 0 {
        let what = format!("{} on the way to another owner", counted(count.moving, "shard"));
        found.push(Finding::notice("shards_moving", what));
    }
}

fn who_could_take(facts: &Facts) -> &'static str {
    let takes = |of: &NodeFacts| {
        of.node.state == NodeState::Up
            && of.node.weight > 0
            && of.node.roles.contains(&Role::Runner)
    };
    if facts.nodes.iter().any(takes) {
        "runners that are up take them within seconds; where it stays so, look at the coordinator and \
         at `quarry cluster plan`"
    } else {
        "no runner is up that takes shards: start one, or `quarry cluster undrain` one"
    }
}

fn messages(facts: &Facts, found: &mut Vec<Finding>) {
    if let Some(first) = facts.quarantined.first.first() {
        let count = facts.quarantined.count("message");
        let what = format!("{count} set aside after the last attempt, {first} the last of them");
        found.push(Finding::warning("quarantined", what).advise(
            "`quarry message ls --state quarantined` lists them, `quarry message show ID` has the \
             errors; `quarry message redrive` lets them run again, `drop` ends them",
        ));
    }
    if let Some(first) = facts.lingering.first.first() {
        let what = format!("{} open for more than five minutes", facts.lingering.count("message"));
        let advice =
            format!("`quarry doctor message {first}` says what the last of them waits for");
        found.push(Finding::notice("lingering", what).advise(advice));
    }
    let counts = facts.heard().map(|(_, told)| told.samples.count("quarry_full_mailboxes"));
    let known = u64::try_from(facts.crowded.len()).unwrap_or(u64::MAX);
    let full = counts.sum::<u64>().max(known);
    if full > 0 {
        let first = facts.crowded.iter().take(NAMED);
        let each: Vec<String> =
            first.map(|(entity, waiting)| format!("{entity} ({waiting} wait)")).collect();
        let which = if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) };
        let noun = if full == 1 {
            "mailbox is full, and refuses"
        } else {
            "mailboxes are full, and refuse"
        };
        let what = format!("{full} {noun} messages{which}");
        found.push(Finding::warning("mailbox_full", what).advise(
            "`quarry doctor entity TYPE/ID` says what they wait for; let senders go slower, or raise \
             `mailbox` of the type",
        ));
    }
}
