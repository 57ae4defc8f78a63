//! Crashes and failures at random.

use proptest::prelude::*;

use super::{step::anything, world::World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_or_doubled_whatever_fails(steps in anything(), is_ever_late: bool) {
        let mut world = World::default().ever_late(is_ever_late);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}
