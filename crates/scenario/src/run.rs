//! A run: first anything goes wrong, then all has to end well.

use std::{sync::Arc, time::Duration};

use quarry_ports::{MessageFilter, MessageStateKind, Store};
use quarry_sim::MemoryStore;
use quarry_types::EntityType;

use crate::{
    chronicle::{Point, Report},
    clients::{Ask, Client, Told},
    history::History,
    plan::Plan,
    registers::{REGISTERS, SUBSCRIBED, values},
    world::World,
};

const CLIENTS: u64 = 4;
/// Things that go wrong at the same time.
const TROUBLES: usize = 2;
/// Within this time all that was asked has to end once a quorum is healed.
const LIVELINESS: Duration = Duration::from_mins(1);
/// No run lasts so much longer than its plan.
const LONGEST: Duration = Duration::from_mins(5);

/// Runs the plan on this thread, which must be in no tokio runtime.
///
/// # Errors
/// Where the system gives no runtime.
pub fn simulate(plan: Plan) -> std::io::Result<Report> {
    #[cfg(feature = "planted-bugs")]
    quarry_types::planted::plant(plan.bug);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(async {
        let world = World::new(plan);
        let limit = plan.safety + LONGEST;
        if tokio::time::timeout(limit, live(&world)).await.is_err() {
            world.chronicle.violation("liveness: the run did not end");
        }
        for id in 1..=plan.nodes {
            world.kill(id);
        }
        world.chronicle.close(plan.seed)
    }))
}

async fn live(world: &Arc<World>) {
    let history = Arc::new(History::new(Arc::clone(&world.chronicle)));
    for id in 1..=world.plan.nodes {
        world.start(id);
    }
    let end = world.host.now().after(world.plan.safety);
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|id| {
            let client = Client { world: Arc::clone(world), history: Arc::clone(&history), id };
            world.host.spawn("client", client.run(end))
        })
        .collect();
    let bombs = Arc::clone(world).light_bombs(Arc::clone(&history), end);
    let bombs = world.host.spawn("bombs", bombs);
    let troubles: Vec<_> = (0..TROUBLES)
        .map(|_| world.host.spawn("trouble", Arc::clone(world).break_things(end)))
        .collect();
    let splits = world.host.spawn("splits", Arc::clone(world).split_shards(end));
    for trouble in troubles {
        let ended = trouble.ended().await;
        world.chronicle.expect(ended, || "what breaks things is broken".to_owned());
    }
    let ended = splits.ended().await;
    world.chronicle.expect(ended, || "what splits shards is broken".to_owned());
    world.heal_a_quorum().await;
    let by = world.host.now().after(LIVELINESS);
    for client in clients.into_iter().chain([bombs]) {
        let left = by.since(world.host.now());
        let ended = tokio::time::timeout(left, client.ended()).await;
        world.chronicle.expect(ended == Ok(true), || {
            "liveness: a client is not answered though a quorum is healed".to_owned()
        });
    }
    if !world.chronicle.is_broken() {
        let asker = Client { world: Arc::clone(world), history, id: 0 };
        if tokio::time::timeout(LIVELINESS, check(&asker)).await.is_err() {
            world.chronicle.violation("liveness: not all that was accepted is handled");
        }
    }
}

/// What clients find in the end.
async fn check(asker: &Client) {
    for register in 0..REGISTERS {
        read_all_accepted(asker, register).await;
    }
    asker.history.check_registers();
    check_counters(asker).await;
    check_published(asker).await;
    asker.check_journals().await;
    check_ended(asker).await;
    check_retired(asker).await;
}

async fn read_all_accepted(asker: &Client, register: u64) {
    for number in 0..u32::MAX {
        let floor = asker.history.length(register);
        let key = format!("last-{number}");
        let ask = Ask::new(format!("Register/r{register}"), "read", String::new(), &key);
        let Some(Told::Reply { reply, .. }) = asker.ask(&ask).await else { return };
        asker.history.read(register, floor, values(&reply).unwrap_or_default());
        if asker.history.has_all_accepted(register) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn check_counters(asker: &Client) {
    for (counter, sum) in asker.history.sums() {
        let ask = Ask::new(format!("Counter/c{counter}"), "add", "0".to_owned(), "last");
        let Some(Told::Reply { reply, .. }) = asker.ask(&ask).await else { return };
        asker.world.chronicle.expect(reply == sum.to_string(), || {
            format!("G2: c{counter} is {reply}, and {sum} was added")
        });
    }
}

/// What was published has arrived everywhere, once and in its publisher's order.
async fn check_published(asker: &Client) {
    let publications = asker.history.publications();
    let mut published = Vec::new();
    for (publisher, values) in &publications {
        let ask = Ask::new(format!("Publisher/p{publisher}"), "read", String::new(), "last");
        let Some(Told::Reply { reply, .. }) = asker.ask(&ask).await else { return };
        let known: Vec<String> = serde_json::from_str(&reply).unwrap_or_default();
        asker.world.chronicle.expect(known.len() == values.len(), || {
            format!("G2: p{publisher} knows {} publications of {}", known.len(), values.len())
        });
        published.push(known);
    }
    let count: usize = published.iter().map(Vec::len).sum();
    for register in SUBSCRIBED {
        let mut found = Vec::new();
        for number in 0..u32::MAX {
            let key = format!("last-{number}");
            let ask = Ask::new(format!("Register/{register}"), "read", String::new(), &key);
            let Some(Told::Reply { reply, .. }) = asker.ask(&ask).await else { return };
            found = values(&reply).unwrap_or_default();
            if found.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        asker.world.chronicle.expect(found.len() == count, || {
            format!("G2: {register} has {} of {count} publications", found.len())
        });
        asker.history.check_owners(register, &found);
        for known in &published {
            let arrived = found.iter().map(|value| &value.text).filter(|text| known.contains(text));
            asker.world.chronicle.expect(arrived.eq(known), || {
                format!("G4: {register} has {found:?}, and {known:?} was published")
            });
        }
    }
}

/// Whatever was accepted has an outcome, or is set aside (G1).
async fn check_ended(asker: &Client) {
    let world = &asker.world;
    let store = MemoryStore::open(&world.database, Arc::clone(&world.host.clock));
    let filter = MessageFilter { state: Some(MessageStateKind::Open), ..MessageFilter::default() };
    loop {
        match store.messages(filter.clone(), None, 1).await {
            Ok(page) if page.items.is_empty() => return,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// What is past its retention is gone, some time after.
async fn check_retired(asker: &Client) {
    if asker.history.briefly() == 0 {
        return;
    }
    let world = &asker.world;
    let store = MemoryStore::open(&world.database, Arc::clone(&world.host.clock));
    let Ok(brief) = EntityType::new("Brief") else { return };
    let filter = MessageFilter {
        entity_type: Some(brief),
        state: Some(MessageStateKind::Finished),
        ..MessageFilter::default()
    };
    loop {
        match store.messages(filter.clone(), None, 1).await {
            Ok(page) if page.items.is_empty() => break,
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
    world.chronicle.reach(Point::Retired);
}
