//! What is kept, for how long, and for whom.

use alloc::{format, vec::Vec};

use bytes::Bytes;
use proptest::prelude::*;
use quarry_types::{Address, Epoch, Tenant};

use super::{Committed, Dormant};

fn address(id: usize) -> Address {
    Address::parse(Tenant::default_tenant(), &format!("Counter/c{id}")).unwrap()
}

fn state(length: usize) -> Committed {
    Committed(Some(Bytes::from(alloc::vec![b'1'; length])))
}

#[test]
fn a_state_is_good_for_its_epoch_and_is_taken_once() {
    let mut dormant = Dormant::new(10_000);
    dormant.keep(&address(1), Epoch(7), state(10));
    dormant.keep(&address(2), Epoch(7), Committed::default());
    dormant.keep(&address(3), Epoch(7), state(10));
    assert_eq!(dormant.take(&address(1), Epoch(7)), Some(state(10)));
    assert_eq!(dormant.take(&address(1), Epoch(7)), None);
    let nothing = Some(Committed::default());
    assert_eq!(dormant.take(&address(2), Epoch(7)), nothing, "as it was kept");
    assert_eq!(dormant.take(&address(3), Epoch(8)), None, "another owner may have written");
    assert_eq!((dormant.len(), dormant.size()), (0, 0));
}

#[test]
fn the_least_recently_used_goes_first_and_what_is_too_large_is_not_kept() {
    let mut dormant = Dormant::new(1_000);
    for id in 1..=3 {
        dormant.keep(&address(id), Epoch(7), state(50));
    }
    dormant.keep(&address(1), Epoch(7), state(50));
    dormant.keep(&address(4), Epoch(7), state(50));
    let held: Vec<bool> =
        (1..=4).map(|id| dormant.take(&address(id), Epoch(7)).is_some()).collect();
    assert_eq!(held, [true, false, true, true]);
    dormant.keep(&address(5), Epoch(7), state(1_000));
    assert!(dormant.is_empty());
}

proptest! {
    #[test]
    fn it_never_takes_more_than_its_room(
        kept in proptest::collection::vec((0..20_usize, 0..600_usize, any::<bool>()), 0..200),
    ) {
        let mut dormant = Dormant::new(3_000);
        for (id, length, is_taken) in kept {
            if is_taken {
                dormant.take(&address(id), Epoch(1));
            } else {
                dormant.keep(&address(id), Epoch(1), state(length));
                prop_assert_eq!(dormant.take(&address(id), Epoch(1)), Some(state(length)));
                dormant.keep(&address(id), Epoch(1), state(length));
            }
            prop_assert!(dormant.size() <= 3_000);
            prop_assert_eq!(dormant.is_empty(), dormant.size() == 0);
        }
    }
}
