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

/// Plays `steps` and all that follows of them, with crashes at some commits.
fn play(steps: &[Step], crashes: &[(usize, Moment)]) -> World {
    let mut world = World::crashing(crashes);
    for step in steps {
        world.step(step);
    }
    world.settle();
    // A crash may come in one of these rounds too.
    for _ in 0..=crashes.len() {
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
        for nth in 0..calm.commits {
            for moment in [Moment::Before, Moment::After] {
                play(&steps, &[(nth, moment)]);
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
    assert!(ended.get() > 0 && redriven.get() > 0, "operators ended some, and redrove some");
}
