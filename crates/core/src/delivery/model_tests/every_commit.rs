//! A crash at every commit of a schedule, before and after it became durable, and another one at the
//! commit behind it.

use core::cell::Cell;

use proptest::test_runner::{Config, TestRunner};

use super::{
    step::{Step, history},
    world::{Moment, World},
};

/// Schedules; each is played some two hundred times.
const HISTORIES: u32 = 16;
/// Messages that end the process.
const DEADLY: usize = 3;

/// Plays `steps` and all that follows of them, with crashes at some commits.
fn play(steps: &[Step], crashes: &[(usize, Moment)]) -> World {
    let is_ever_late = steps.len().is_multiple_of(2);
    let mut world = World::crashing(crashes).ever_late(is_ever_late);
    for step in steps {
        world.step(step);
    }
    world.settle();
    // A crash may come in one of these rounds too, and a message may end the process before it, or
    // those that are sent with it, have a row.
    for _ in 0..=crashes.len() + DEADLY {
        world.resend();
        world.decide();
        world.settle();
    }
    assert!(world.has_told_all(), "a message was never answered (G1)");
    world.check();
    world
}

#[test]
fn nothing_is_lost_or_doubled_by_a_crash_at_any_commit() {
    let (crashes, quarantined) = (Cell::new(0_u32), Cell::new(0_usize));
    let (ended, redriven) = (Cell::new(0_usize), Cell::new(0_usize));
    let (left, read) = (Cell::new(0_usize), Cell::new(0_usize));
    let due_later = Cell::new(0_usize);
    let mut runner = TestRunner::new(Config {
        cases: HISTORIES,
        failure_persistence: None,
        ..Config::default()
    });
    let played = runner.run(&history(), |steps| {
        let calm = play(&steps, &[]);
        quarantined.set(quarantined.get() + calm.disk.set_aside.len());
        ended.set(ended.get() + calm.ended());
        redriven.set(redriven.get() + calm.disk.redriven.len());
        left.set(left.get() + calm.alone);
        due_later.set(due_later.get() + calm.due_later);
        for nth in 0..calm.commits {
            for moment in [Moment::Before, Moment::After] {
                let again = play(&steps, &[(nth, moment)]);
                read.set(read.get() + again.alone);
                due_later.set(due_later.get() + again.due_later);
                for second in [Moment::Before, Moment::After] {
                    play(&steps, &[(nth, moment), (nth + 1, second)]);
                }
                crashes.set(crashes.get() + 1);
            }
        }
        Ok(())
    });
    played.unwrap();
    assert!(crashes.get() > 4 * HISTORIES, "the schedules commit: {} crashes", crashes.get());
    assert!(quarantined.get() > 0, "some messages ran out of attempts");
    assert!(left.get() > 0, "memory was full, and left some to the store");
    assert!(due_later.get() > 0, "some waited for their time in the store");
    assert!(read.get() > left.get(), "some were read before their turn after a crash");
    assert!(ended.get() > 0 && redriven.get() > 0, "operators ended some, and redrove some");
}
