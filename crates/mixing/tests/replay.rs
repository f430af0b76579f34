//! The window against a model that remembers every number by itself.

use std::collections::BTreeSet;

use mixing::Chance;
use mixing::replay::{Seen, Store, Window};
use proptest::prelude::*;

/// Which numbers below the top may still come, as a plain set.
#[derive(Default)]
struct Model {
    top: Option<u32>,
    open: BTreeSet<u32>,
    has_bits: bool,
}

impl Model {
    fn passes(&self, number: u32) -> bool {
        self.top.is_none_or(|top| number > top) || self.open.contains(&number)
    }

    fn mark(&mut self, number: u32, width: u32, may_have_bits: bool) {
        self.open.remove(&number);
        if self.top.is_some_and(|top| number <= top) {
            return;
        }
        let next = self.top.map_or(0, |top| top + 1);
        self.has_bits |= number > next && may_have_bits;
        if self.has_bits {
            // Only the last of the skipped can be inside the window.
            self.open.extend(next.max(number.saturating_sub(width))..number);
            self.open.retain(|open| number - open < width);
        }
        self.top = Some(number);
    }

    fn rest(&mut self) {
        self.open.clear();
        self.has_bits = false;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Near(i64),
    Far(u32),
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (-3i64..4).prop_map(Step::Near),
        20 => (-200i64..200).prop_map(Step::Near),
        1 => prop_oneof![Just(0), Just(u32::MAX), Just(u32::MAX - 70), any::<u32>(), 0u32..500]
            .prop_map(Step::Far),
        1 => Just(Step::Rest),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Two windows share a store that has bits for one of them.
    #[test]
    fn windows_do_what_a_naive_model_does(
        width in prop_oneof![Just(64u32), Just(128)],
        steps in prop::collection::vec((0usize..2, step()), 1..300),
    ) {
        let mut store = Store::new(1, width);
        let mut windows = [Window::default(), Window::default()];
        let mut models = [Model::default(), Model::default()];
        for (which, step) in steps {
            let (window, other_has_bits) = (&mut windows[which], models[1 - which].has_bits);
            let model = &mut models[which];
            let number = match step {
                Step::Near(offset) => {
                    (i64::from(model.top.unwrap_or(0)) + offset).clamp(0, u32::MAX.into()) as u32
                }
                Step::Far(number) => number,
                Step::Rest => {
                    window.rest(&mut store);
                    model.rest();
                    continue;
                }
            };
            let checked = window.check(number, &store);
            prop_assert_eq!(checked.is_ok(), model.passes(number), "number {}", number);
            if checked.is_ok() {
                window.mark(number, &mut store);
                model.mark(number, width, !other_has_bits);
                prop_assert_eq!(window.check(number, &store), Err(Seen::Repeated));
            }
            prop_assert_eq!(window.top(), model.top);
            prop_assert_eq!(window.has_bits(), model.has_bits);
            prop_assert_eq!(store.used(), usize::from(model.has_bits || other_has_bits));
        }
    }
}

#[test]
fn ten_thousand_numbers_in_any_order_within_the_width_are_each_accepted_once() {
    let mut chance = Chance::new([1; 32]);
    let mut numbers: Vec<u32> = (0..10_000).collect();
    let mut store = Store::new(1, 16_384);
    for _ in 0..3 {
        chance.shuffle(&mut numbers);
        let mut window = Window::default();
        for number in &numbers {
            assert_eq!(window.check(*number, &store), Ok(()), "{number}");
            window.mark(*number, &mut store);
        }
        assert!(numbers.iter().all(|number| window.check(*number, &store).is_err()));
        window.rest(&mut store);
    }
}

#[test]
fn numbers_in_order_take_no_bits() {
    let mut store = Store::new(1, 64);
    let mut window = Window::default();
    for number in 0..10_000 {
        assert_eq!(window.check(number, &store), Ok(()));
        window.mark(number, &mut store);
    }
    assert_eq!((window.has_bits(), store.used()), (false, 0));
    assert_eq!(window.check(9_999, &store), Err(Seen::Repeated));
    assert_eq!(window.check(9_998, &store), Err(Seen::Late));
    window.mark(10_001, &mut store);
    assert_eq!((window.has_bits(), store.used()), (true, 1));
    assert_eq!(window.check(10_000, &store), Ok(()));
    assert_eq!(window.check(9_999, &store), Err(Seen::Repeated));
}

#[test]
fn the_window_is_exactly_as_wide_as_it_says() {
    let mut store = Store::new(1, 128);
    for top in [128, 191, 192, 1_000_000, u32::MAX] {
        let mut window = Window::default();
        window.mark(0, &mut store);
        window.mark(top, &mut store);
        assert_eq!(window.check(top - 127, &store), Ok(()), "below {top}");
        assert_eq!(window.check(top - 128, &store), Err(Seen::Late), "below {top}");
        window.rest(&mut store);
    }
}

#[test]
fn a_window_that_rested_takes_only_what_is_above_its_top() {
    let mut store = Store::new(1, 64);
    let mut window = Window::default();
    window.mark(5, &mut store);
    assert_eq!(window.check(4, &store), Ok(()));
    window.rest(&mut store);
    assert_eq!((window.check(4, &store), store.used()), (Err(Seen::Late), 0));
    window.rest(&mut store);
    assert_eq!(store.used(), 0, "resting twice gives back once");
    assert_eq!(window.check(6, &store), Ok(()));
    // With bits again it still knows no more of them, and says so: nobody repeated anything.
    window.mark(9, &mut store);
    assert_eq!(window.check(4, &store), Err(Seen::Late));
    assert_eq!(window.check(5, &store), Err(Seen::Repeated));
    assert_eq!(window.check(7, &store), Ok(()));
}

#[test]
fn without_bits_in_the_store_skipped_numbers_count_as_seen() {
    let mut store = Store::new(1, 64);
    let (mut first, mut second) = (Window::default(), Window::default());
    first.mark(3, &mut store);
    second.mark(3, &mut store);
    assert_eq!(first.check(2, &store), Ok(()));
    assert_eq!(second.check(2, &store), Err(Seen::Late));
    first.rest(&mut store);
    second.mark(6, &mut store);
    assert_eq!(second.check(5, &store), Ok(()), "bits are to be had again");
    assert_eq!(second.check(2, &store), Err(Seen::Late), "what was given up stays given up");
}
