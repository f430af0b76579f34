//! Every check is seen to fail: one mistake after the other is planted in a sound world, and the
//! check that must see it has to.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use datagram::Dropped;
use mixing::Time;
use simulator::chain::checks::Broken;
use simulator::chain::planted::Mistake;
use simulator::chain::{Plan, Profile, Report, World};
use simulator::shrink::shrink;
use simulator::{Breach, Planned};

/// Two mixes, an exit and two users of one entry: no choice of chains, so that node 0 is the first
/// mix, 1 the second, 2 the exit and 3 the entry.
fn plan() -> Plan {
    let mut plan = Plan::draw(1, Profile::Voice);
    let ends = Duration::from_secs(20);
    plan.profile = Profile::Calm;
    plan.tiers = vec![1, 1];
    plan.entries = 1;
    plan.users.truncate(2);
    for user in &mut plan.users {
        (user.entry, user.every) = (0, Duration::from_millis(50));
    }
    plan.ends = ends;
    plan
}

const FIRST: usize = 0;
const SECOND: usize = 1;
const EXIT: usize = 2;
const LATER: Time = Time::from_nanos(5_000_000_000);

fn with(mistake: impl Mistake + 'static) -> Report {
    World::new(plan(), Some(Box::new(mistake)), false).run()
}

/// The broken check of a world with this mistake.
fn broken(mistake: impl Mistake + 'static) -> Broken {
    with(mistake).broken.expect("the mistake is found")
}

/// What an exit sends, changed.
struct AtExit<F>(F);

impl<F: FnMut(SocketAddr, &[u8]) -> Vec<(SocketAddr, Vec<u8>)>> Mistake for AtExit<F> {
    fn leaves(&mut self, _: Time, to: SocketAddr, payload: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        (self.0)(to, payload)
    }
}

/// What an entry hands to applications, changed.
struct AtEntry<F>(F);

impl<F> Mistake for AtEntry<F>
where
    F: FnMut(usize, SocketAddr, &[u8]) -> Vec<(usize, SocketAddr, Vec<u8>)>,
{
    fn delivers(
        &mut self,
        _: Time,
        user: usize,
        from: SocketAddr,
        payload: &[u8],
    ) -> Vec<(usize, SocketAddr, Vec<u8>)> {
        (self.0)(user, from, payload)
    }
}

/// What a node sends after a while, changed.
struct OnWire<F>(usize, F);

impl<F: FnMut(&[u8]) -> Vec<Vec<u8>>> Mistake for OnWire<F> {
    fn sends(&mut self, at: Time, from: usize, _: Option<usize>, bytes: &[u8]) -> Vec<Vec<u8>> {
        if from == self.0 && at > LATER && is_cell(bytes) {
            (self.1)(bytes)
        } else {
            vec![bytes.to_vec()]
        }
    }
}

fn is_cell(bytes: &[u8]) -> bool {
    bytes.len() > 56 && bytes[..4] != [0; 4]
}

#[test]
fn without_a_mistake_the_world_is_clean() {
    struct Nothing;
    impl Mistake for Nothing {}
    let report = with(Nothing);
    assert!(report.is_clean(), "{report}");
    assert!(
        report.count("sent") > 500 && report.count("answered") == report.count("sent"),
        "{report}"
    );
}

#[test]
fn an_exit_that_delivers_twice_is_found() {
    let twice = AtExit(|to, payload: &[u8]| vec![(to, payload.to_vec()); 2]);
    assert!(matches!(broken(twice), Broken::Twice { what: "datagram", .. }));
}

#[test]
fn a_joiner_that_forgets_the_length_is_found() {
    let longer = AtExit(|to, payload: &[u8]| vec![(to, [payload, &[0; 4]].concat())]);
    assert!(matches!(broken(longer), Broken::Altered { what: "datagram", .. }));
}

#[test]
fn a_datagram_in_the_wrong_place_is_found() {
    let elsewhere = AtExit(|to: SocketAddr, payload: &[u8]| {
        vec![(SocketAddr::new(to.ip(), to.port() + 1), payload.to_vec())]
    });
    assert!(matches!(broken(elsewhere), Broken::WrongPlace { what: "datagram", .. }));
}

#[test]
fn a_dummy_that_leaves_the_exit_is_found() {
    let dummy = AtExit(|to, _: &[u8]| vec![(to, vec![0; 100])]);
    assert!(matches!(broken(dummy), Broken::NeverSent { what: "datagram" }));
}

#[test]
fn a_slot_used_again_too_early_gives_a_reply_to_another_application_and_is_found() {
    let other = AtEntry(|user, from, payload: &[u8]| vec![(1 - user, from, payload.to_vec())]);
    assert!(matches!(broken(other), Broken::WrongPlace { what: "reply", .. }));
}

#[test]
fn a_window_that_lets_a_reply_pass_twice_is_found() {
    let twice = AtEntry(|user, from, payload: &[u8]| vec![(user, from, payload.to_vec()); 2]);
    assert!(matches!(broken(twice), Broken::Twice { what: "reply", .. }));
}

#[test]
fn a_reply_under_another_source_is_found() {
    let source = SocketAddr::from(([9, 9, 9, 9], 9));
    let other = AtEntry(move |user, _, payload: &[u8]| vec![(user, source, payload.to_vec())]);
    assert!(matches!(broken(other), Broken::WrongPlace { what: "reply", .. }));
}

#[test]
fn a_timeout_that_is_never_armed_is_found() {
    /// Cells of the second mix leave only when another arrives.
    struct Asleep;
    impl Mistake for Asleep {
        fn wakes(&mut self, _: Time, node: usize) -> bool {
            node != SECOND
        }
        fn takes(&mut self, at: Time, node: usize, _: &[u8]) -> bool {
            node != SECOND || at < LATER
        }
    }
    assert_eq!(broken(Asleep).check(), 2);
}

#[test]
fn a_mix_that_stops_to_listen_is_found() {
    struct Deaf;
    impl Mistake for Deaf {
        fn takes(&mut self, at: Time, node: usize, bytes: &[u8]) -> bool {
            node != FIRST || at < LATER || bytes.len() > 500
        }
    }
    assert_eq!(broken(Deaf).check(), 2);
}

#[test]
fn reordering_beyond_the_window_is_found_as_loss() {
    /// Now and then a cell to the exit comes a minute late.
    struct Late(u32);
    impl Mistake for Late {
        fn delays(&mut self, _: Time, _: usize, to: usize) -> Duration {
            self.0 += u32::from(to == EXIT);
            Duration::from_secs(if self.0.is_multiple_of(100) { 60 } else { 0 })
        }
    }
    assert!(matches!(broken(Late(0)), Broken::LostInPeace { .. }));
}

#[test]
fn a_socket_that_is_never_closed_is_found() {
    struct Leak;
    impl Mistake for Leak {
        fn closes(&mut self, _: Time, _: usize) -> bool {
            false
        }
    }
    assert!(matches!(broken(Leak), Broken::Restless { what: "sockets", .. }));
}

#[test]
fn a_node_that_leaks_channels_is_found() {
    /// The exit hears nothing of any end and never sweeps.
    struct Leak;
    impl Mistake for Leak {
        fn takes(&mut self, at: Time, node: usize, bytes: &[u8]) -> bool {
            node != EXIT || at < Time::ZERO + Duration::from_secs(24) || bytes.len() < 500
        }
        fn wakes(&mut self, at: Time, node: usize) -> bool {
            node != EXIT || at < Time::ZERO + Duration::from_secs(24)
        }
    }
    let found = broken(Leak);
    assert_eq!(found.check(), 3, "{found:?}");
}

#[test]
fn a_hop_that_sends_cells_of_another_size_is_found() {
    let longer = OnWire(FIRST, |bytes: &[u8]| vec![[bytes, &[7; 16]].concat()]);
    assert!(matches!(broken(longer), Broken::Size { from: FIRST, .. }));
}

#[test]
fn a_hop_that_repeats_a_cell_is_found() {
    let twice = OnWire(SECOND, |bytes: &[u8]| vec![bytes.to_vec(); 2]);
    assert!(matches!(broken(twice), Broken::Repeated { .. }));
}

#[test]
fn a_hop_that_passes_a_cell_on_unpeeled_is_found() {
    /// The second mix sends on what the first sent, cut to the size of its link.
    struct Unpeeled(Rc<RefCell<Option<Vec<u8>>>>);
    impl Mistake for Unpeeled {
        fn sends(&mut self, _: Time, from: usize, to: Option<usize>, cell: &[u8]) -> Vec<Vec<u8>> {
            let mut last = self.0.borrow_mut();
            if (from, to) == (FIRST, Some(SECOND)) && cell.len() == 440 - 16 {
                *last = Some(cell.to_vec());
            }
            match last.take_if(|_| (from, to) == (SECOND, Some(EXIT)) && cell.len() == 440 - 32) {
                Some(inside) => vec![[&cell[..36], &inside[52..]].concat()],
                None => vec![cell.to_vec()],
            }
        }
    }
    assert!(matches!(broken(Unpeeled(Rc::default())), Broken::Repeated { .. }));
}

#[test]
fn a_counter_in_the_clear_is_found() {
    struct Clear(u32);
    impl Mistake for Clear {
        fn shows(&mut self, from: usize, _: Option<usize>, bytes: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            if from == FIRST && is_cell(&bytes) {
                self.0 += 1;
                bytes[8..12].copy_from_slice(&self.0.to_be_bytes());
            }
            bytes
        }
    }
    assert!(matches!(broken(Clear(0)), Broken::Uneven { from: FIRST, .. }));
}

#[test]
fn a_mask_that_repeats_is_found() {
    /// Every header of a link differs from the one before in the same way.
    struct Mask(u8);
    impl Mistake for Mask {
        fn shows(&mut self, from: usize, to: Option<usize>, bytes: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            if (from, to) == (FIRST, Some(SECOND)) && is_cell(&bytes) {
                self.0 = self.0.wrapping_add(0x51);
                bytes[9] = self.0;
            }
            bytes
        }
    }
    assert!(matches!(broken(Mask(0)), Broken::Uneven { from: FIRST, to: Some(SECOND), .. }));
}

#[test]
fn a_mark_that_joins_two_links_is_found() {
    /// The first cell after another came in has half a byte of that one's tag.
    struct Mark(Option<u8>);
    impl Mistake for Mark {
        fn shows(&mut self, from: usize, to: Option<usize>, bytes: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            let mark = self.0.take_if(|_| from == FIRST && is_cell(&bytes));
            if let Some(mark) = mark {
                bytes[30] = bytes[30] & 15 | mark & 240;
            }
            if to == Some(FIRST) && is_cell(&bytes) {
                self.0 = Some(bytes[30]);
            }
            bytes
        }
    }
    let found = broken(Mark(None));
    assert!(matches!(found, Broken::Uneven { from: FIRST, to: None, .. }), "{found:?}");
}

#[test]
fn a_reflector_is_found() {
    /// Whatever a stranger sends, the first mix answers ten times.
    struct Loud;
    impl Mistake for Loud {
        fn sends(&mut self, _: Time, from: usize, to: Option<usize>, b: &[u8]) -> Vec<Vec<u8>> {
            vec![b.to_vec(); if from == FIRST && to.is_none() { 10 } else { 1 }]
        }
    }
    let mut plan = plan();
    plan.faults.push(simulator::chain::fault::Fault {
        from: Duration::ZERO,
        until: Duration::from_secs(4),
        what: simulator::chain::fault::What::Strays(simulator::chain::fault::Wire::All, 1_000),
    });
    plan.ends = Duration::from_secs(25);
    let report = World::new(plan.clone(), None, false).run();
    assert!(report.is_clean(), "{report}");
    let report = World::new(plan, Some(Box::new(Loud)), false).run();
    let found = report.broken.expect("the mistake is found");
    assert!(matches!(found, Broken::Amplifies { node: FIRST, .. }), "{found:?}");
}

#[test]
fn a_window_that_moves_before_the_layer_opened_is_found() {
    /// A core that lets spoiled copies use numbers up: it says of what came before the honest cell.
    struct Burns;
    impl Mistake for Burns {
        fn says(&mut self, _: Time, node: usize, said: Result<(), Dropped>) -> Result<(), Dropped> {
            if node == SECOND { said.and(Err(Dropped::RepeatedCell)) } else { said }
        }
    }
    let found = broken_when_repeated(Burns);
    assert!(matches!(found, Broken::Burned { node: SECOND }), "{found:?}");
}

#[test]
fn a_node_that_takes_a_repeated_cell_is_found() {
    struct Taken;
    impl Mistake for Taken {
        fn says(&mut self, _: Time, node: usize, said: Result<(), Dropped>) -> Result<(), Dropped> {
            if node == EXIT && said == Err(Dropped::RepeatedCell) { Ok(()) } else { said }
        }
    }
    let found = broken_when_repeated(Taken);
    assert!(matches!(found, Broken::TakenTwice { node: EXIT }), "{found:?}");
}

/// The broken check of a world with this mistake, where the network repeats some cells.
fn broken_when_repeated(mistake: impl Mistake + 'static) -> Broken {
    let mut plan = plan();
    plan.faults.push(simulator::chain::fault::Fault {
        from: Duration::from_secs(3),
        until: Duration::from_secs(4),
        what: simulator::chain::fault::What::Copies(
            simulator::chain::fault::Wire::All,
            300,
            Duration::from_millis(20),
        ),
    });
    plan.ends = Duration::from_secs(25);
    let report = World::new(plan.clone(), None, false).run();
    assert!(report.is_clean(), "{report}");
    let report = World::new(plan, Some(Box::new(mistake)), false).run();
    report.broken.expect("the mistake is found")
}

#[test]
fn a_broken_world_shrinks_to_what_breaks_it() {
    /// Two strange things must come together: the second user, and a restart of the second mix.
    struct Deaf(bool);
    impl Mistake for Deaf {
        fn leaves(&mut self, at: Time, to: SocketAddr, b: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
            let second = b.get(3) == Some(&1);
            vec![(to, b.to_vec()); if self.0 && second && at > LATER { 2 } else { 1 }]
        }
    }
    let mut drawn = plan();
    for number in 0..8 {
        let from = Duration::from_secs(3) + Duration::from_millis(10 * number);
        let what = match number {
            5 => simulator::chain::fault::What::Crash(SECOND),
            _ => simulator::chain::fault::What::Stall(FIRST),
        };
        drawn.faults.push(simulator::chain::fault::Fault { from, until: from * 2, what });
    }
    drawn.ends = Duration::from_secs(60);
    let run = |plan: Plan| {
        let crashes = |fault: &simulator::chain::fault::Fault| {
            matches!(fault.what, simulator::chain::fault::What::Crash(_))
        };
        let mistake = Deaf(plan.faults.iter().any(crashes));
        World::new(plan, Some(Box::new(mistake)), false).run()
    };
    let report = run(drawn.clone());
    assert!(!report.is_clean());
    let (less, smallest) = shrink(report, &drawn, 100, run);
    assert_eq!(smallest.plan.faults.len(), 1, "{less}");
    assert_eq!(less.users, [0], "{less}");
    assert!(smallest.plan.ends < Duration::from_secs(60));
}
