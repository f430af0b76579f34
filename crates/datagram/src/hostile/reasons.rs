//! Which input leads to which reason: the table of `docs/protocol.md`, walked.

use std::collections::BTreeSet;
use std::time::Duration;

use mixing::Strategy;

use super::*;
use crate::keyring::LISTS_PER_HOUR;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::{Association, Destination};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A world with a channel that must not notice what is done to others.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) bystander: Association,
    sent: u32,
}

/// Reason, limits that make it easier to reach, and what leads to it.
type Row = (Dropped, fn(&mut Limits), fn(&mut Bench));

fn as_usual(_: &mut Limits) {}

const TABLE: &[Row] = &[
    (Dropped::TooShort, as_usual, |bench| {
        for node in bench.nodes() {
            for length in 0..8 {
                bench.refused(node, &vec![0; length], Dropped::TooShort);
            }
        }
        let cut = bench.client().raw(wire::CELL_OVERHEAD - 1 + 1, Id::ZERO, 0);
        bench.refused(first_mix(), &cut[..wire::CELL_OVERHEAD - 1], Dropped::TooShort);
    }),
    (Dropped::WrongSize, as_usual, |bench| {
        let mut client = bench.client();
        for size in [36, 439, 441, 440 - 16, 1403, 1405, 1404 - 16, 60_000] {
            let cell = client.raw(size, Id::ZERO, 7);
            bench.refused(first_mix(), &cell, Dropped::WrongSize);
        }
        for kind in 1..=6 {
            let mut bytes = vec![0; 4000];
            (bytes[4], bytes[5]) = (kind, wire::VERSION);
            for node in bench.nodes() {
                bench.refused(node, &bytes, Dropped::WrongSize);
                bench.refused(node, &bytes[..8], Dropped::WrongSize);
            }
        }
        let identity = identity_key(&first_mix()).identity();
        let request = opening::key_request(&identity, 2, [1; 16]);
        bench.refused(first_mix(), &request, Dropped::WrongSize);
    }),
    (Dropped::UnknownLink, as_usual, |bench| {
        for node in bench.nodes() {
            for id in [1, 0xFF, 0xFFFF_FF00, u32::MAX, 0x0000_7700] {
                let mut cell = vec![0; wire::LARGE];
                cell[..4].copy_from_slice(&u32::to_be_bytes(id));
                bench.refused(node, &cell, Dropped::UnknownLink);
            }
        }
    }),
    (Dropped::ForgedHeader, as_usual, |bench| {
        let mut client = bench.client();
        let cell = client.raw(wire::SMALL, Id::ZERO, 7);
        for bit in 32..28 * 8 {
            let mut cell = cell.clone();
            cell[bit / 8] ^= 1 << (bit % 8);
            bench.refused(first_mix(), &cell, Dropped::ForgedHeader);
        }
    }),
    (Dropped::UnknownChannel, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        for id in [1, 0x101, 0x9900, u32::MAX] {
            let cell = client.raw(wire::SMALL, Id::from_wire(id), 0);
            bench.refused(first_mix(), &cell, Dropped::UnknownChannel);
        }
        client.say(&mut bench.world, &Message::Close { channel: channel.forward });
        let cell = client.message(&bench.world, &channel, 0, &to_nine(b"too late"));
        bench.refused(first_mix(), &cell, Dropped::UnknownChannel);
    }),
    (Dropped::WrongClass, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Large, &whole_chain());
        let cell = client.raw(wire::SMALL, channel.forward, 0);
        bench.refused(first_mix(), &cell, Dropped::WrongClass);
    }),
    (Dropped::RepeatedCell, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Large, &whole_chain());
        for sequence in [0, 1, 5, 3] {
            let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"once"));
            assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
            bench.refused(first_mix(), &cell, Dropped::RepeatedCell);
        }
        bench.world.run(100 * MILLISECOND);
        assert_eq!(bench.world.arrivals.iter().filter(|a| a.payload == b"once").count(), 4);
    }),
    (Dropped::LateCell, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        for (sequence, taken) in
            [(0, Ok(())), (4, Ok(())), (2_051, Ok(())), (3, Err(Dropped::LateCell)), (5, Ok(()))]
        {
            let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"x"));
            assert_eq!(client.give(&mut bench.world, &cell), taken, "{sequence}");
        }
    }),
    (Dropped::ForgedLayer, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        let cell = client.message(&bench.world, &channel, 0, &to_nine(b"intact"));
        for bit in 28 * 8..cell.len() * 8 {
            let mut cell = cell.clone();
            cell[bit / 8] ^= 1 << (bit % 8);
            bench.refused(first_mix(), &cell, Dropped::ForgedLayer);
        }
        // The number is not used up by forgeries.
        assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
    }),
    (Dropped::Unconfirmed, as_usual, |bench| {
        let mut client = bench.client();
        let (envelope, hops) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
        let backward = client.ask(&mut bench.world, Class::Small, &envelope);
        let forward = Id::from_wire(0x100);
        let channel = Opened { class: Class::Small, hops, forward, backward };
        let cell = client.message(&bench.world, &channel, 0, &to_nine(b"hasty"));
        bench.refused(first_mix(), &cell, Dropped::Unconfirmed);
        bench.world.run(200 * MILLISECOND);
        assert_eq!(client.give(&mut bench.world, &cell), Ok(()), "it used no number up");
    }),
    (Dropped::ForgedControl, as_usual, |bench| {
        let mut client = bench.client();
        let cell = client.raw(wire::LARGE, Id::ZERO, 500);
        bench.refused(first_mix(), &cell, Dropped::ForgedControl);
    }),
    (Dropped::BadControl, as_usual, |bench| {
        let mut client = bench.client();
        let bad = Err(Dropped::BadControl);
        let piece = |index, count| Message::Piece { parcel: 9, index, count, bytes: b"x" };
        for (index, count) in [(0, 0), (0, 9), (2, 2), (255, 255)] {
            assert_eq!(client.say(&mut bench.world, &piece(index, count)), [bad]);
        }
        // A whole parcel that is neither a set-up nor a key list, one cut short, one of another
        // tier, and a key list from a client.
        let tier_2 = [vec![1, 0, 0, 1, 0], vec![0; wire::set_up_size(1)]].concat();
        let list = [vec![2], vec![0; wire::KEY_LIST]].concat();
        for (parcel, bytes) in (10u32..).zip([&[7u8; 40][..], &[], &[1, 0, 0, 1], &tier_2, &list]) {
            let parts: Vec<&[u8]> = match bytes.len() {
                0 => vec![&[]],
                _ => bytes.chunks(1300).collect(),
            };
            let count = parts.len() as u8;
            let mut taken = Vec::new();
            for (index, bytes) in (0..).zip(parts) {
                let piece = Message::Piece { parcel, index, count, bytes };
                taken = client.say(&mut bench.world, &piece);
            }
            assert_eq!(taken, [bad], "{} bytes", bytes.len());
        }
    }),
    (Dropped::UnknownKind, as_usual, |bench| {
        for node in bench.nodes() {
            for kind in [0, 7, 255] {
                let bytes = [0, 0, 0, 0, kind, wire::VERSION, 0, 0];
                bench.refused(node, &bytes, Dropped::UnknownKind);
            }
        }
        let identity = identity_key(&first_mix()).identity();
        let request = opening::key_request(&identity, 0, [1; 16]);
        bench.refused(address(ENTRY), &request, Dropped::UnknownKind);
    }),
    (Dropped::UnknownVersion, as_usual, |bench| {
        for node in bench.nodes() {
            for version in [0, 2, 255] {
                let bytes = [0, 0, 0, 0, 1, version, 0, 0];
                bench.refused(node, &bytes, Dropped::UnknownVersion);
            }
        }
    }),
    (Dropped::BadCheck, as_usual, |bench| {
        let (opening, _) = bench.opening(first_mix());
        let identity = identity_key(&first_mix()).identity();
        let request = opening::key_request(&identity, 0, [1; 16]);
        for bytes in [&opening, &request] {
            // The first bits say what it is.
            for bit in 64..bytes.len() * 8 {
                let mut spoiled = bytes.clone();
                spoiled[bit / 8] ^= 1 << (bit % 8);
                bench.refused(first_mix(), &spoiled, Dropped::BadCheck);
            }
            // It is to one node only.
            bench.refused(second_mix(), bytes, Dropped::BadCheck);
        }
        // A cookie that nobody gave.
        let mut with_cookie = opening;
        with_cookie[4] = wire::KIND_OPENING_WITH_COOKIE;
        check_again(&mut with_cookie, first_mix());
        bench.refused(first_mix(), &with_cookie, Dropped::BadCheck);
    }),
    (
        Dropped::NeedsCookie,
        |limits| limits.openings_before_cookies = 0,
        |bench| {
            let (opening, _) = bench.opening(first_mix());
            bench.refused(first_mix(), &opening, Dropped::NeedsCookie);
        },
    ),
    (
        Dropped::TooManyOpenings,
        |limits| limits.openings_per_source = 2,
        |bench| {
            for _ in 0..2 {
                let (opening, _) = bench.opening(first_mix());
                assert_eq!(bench.give(first_mix(), &opening), Ok(()));
            }
            let (opening, _) = bench.opening(first_mix());
            bench.refused(first_mix(), &opening, Dropped::TooManyOpenings);
        },
    ),
    (
        Dropped::TooManyKeyRequests,
        |limits| limits.key_requests_per_second = 4,
        |bench| {
            let identity = identity_key(&first_mix()).identity();
            let request = opening::key_request(&identity, 0, [1; 16]);
            let taken: Vec<_> = (0..6).map(|_| bench.give(first_mix(), &request)).collect();
            assert_eq!(taken[..4], [Ok(()); 4]);
            assert_eq!(taken[4..], [Err(Dropped::TooManyKeyRequests); 2]);
            bench.world.run(SECOND);
        },
    ),
    (Dropped::UnknownKey, as_usual, |bench| {
        let (mut opening, _) = bench.opening(first_mix());
        opening[6] ^= 1;
        check_again(&mut opening, first_mix());
        bench.refused(first_mix(), &opening, Dropped::UnknownKey);
    }),
    (Dropped::RepeatedOpening, as_usual, |bench| {
        let (opening, _) = bench.opening(first_mix());
        assert_eq!(bench.give(first_mix(), &opening), Ok(()));
        bench.refused(first_mix(), &opening, Dropped::RepeatedOpening);
        // Also with something else behind the same ciphertext.
        let mut similar = opening;
        similar[1200] ^= 1;
        check_again(&mut similar, first_mix());
        bench.refused(first_mix(), &similar, Dropped::RepeatedOpening);
    }),
    (Dropped::ForgedOpening, as_usual, |bench| {
        let (opening, _) = bench.opening(first_mix());
        for at in [8, 1000, 1127, 1128, 1150, 1215] {
            let mut spoiled = opening.clone();
            spoiled[at] ^= 1;
            check_again(&mut spoiled, first_mix());
            bench.refused(first_mix(), &spoiled, Dropped::ForgedOpening);
        }
        assert_eq!(bench.give(first_mix(), &opening), Ok(()), "forgeries do not use it up");
    }),
    (Dropped::UnprovedOpening, as_usual, |bench| {
        for node in [second_mix(), address(EXIT)] {
            let (opening, _) = bench.opening(node);
            bench.refused(node, &opening, Dropped::UnprovedOpening);
        }
        // Listed, but no step of a chain: the exit to the second mix.
        let ring = ring(&mut bench.world, address(EXIT));
        let mut chance = Chance::new([3; 32]);
        let at = address(STRANGER);
        let (opening, _) = opening_of(&mut bench.world, at, second_mix(), Some(&ring), &mut chance);
        bench.refused(second_mix(), &opening, Dropped::UnprovedOpening);
    }),
    (
        Dropped::LinksFull,
        |limits| limits.links = 2,
        |bench| {
            let (opening, _) = bench.opening(first_mix());
            bench.refused(first_mix(), &opening, Dropped::LinksFull);
        },
    ),
    (Dropped::Unexpected, as_usual, |bench| {
        for node in bench.nodes() {
            for (kind, size) in [
                (wire::KIND_KEY_PIECE, size_of::<KeyPiece>()),
                (wire::KIND_COOKIE, size_of::<wire::Cookie>()),
                (wire::KIND_UNKNOWN_KEY, size_of::<wire::UnknownKey>()),
            ] {
                let mut bytes = vec![3; size];
                bytes[..8].copy_from_slice(&[0, 0, 0, 0, kind, wire::VERSION, 0, 0]);
                bench.refused(node, &bytes, Dropped::Unexpected);
            }
        }
    }),
    (Dropped::ForgedAnswer, as_usual, |bench| {
        bench.world.tap = Box::new(|packet| {
            if packet.to == address(SECOND_ENTRY) && packet.bytes.len() == 56 {
                packet.bytes[40] ^= 1;
            }
            true
        });
        bench.world.add_entry(address(SECOND_ENTRY), &Limits::default());
        bench.world.run(500 * MILLISECOND);
    }),
    (Dropped::BadKeyList, as_usual, |bench| {
        bench.world.tap = Box::new(|packet| {
            if packet.to == address(SECOND_ENTRY) && packet.bytes[..5] == [0, 0, 0, 0, 4] {
                packet.bytes[100] ^= 1;
            }
            true
        });
        bench.world.add_entry(address(SECOND_ENTRY), &Limits::default());
        bench.world.run(500 * MILLISECOND);
    }),
    (Dropped::TooManyKeyLists, as_usual, |bench| {
        let ring_of_mix = ring(&mut bench.world, first_mix());
        let by = Some(&ring_of_mix);
        let mut node = Puppet::connect(&mut bench.world, "198.51.102.7:1", second_mix(), by);
        let now = bench.world.now;
        for list in 1..=LISTS_PER_HOUR as u64 + 1 {
            // Each begins a little later than the one before, as its node may well say.
            bench.world.now.date = now.date + list as u32 * MILLISECOND;
            let ring = ring(&mut bench.world, first_mix());
            node.link.sender.send(Parcel::KeyList(ring.list()[..].into()));
            node.listen(&mut bench.world, 2 * MILLISECOND);
        }
        bench.world.now.date = now.date;
        bench.world.run(10 * SECOND);
    }),
    (
        Dropped::ParcelsFull,
        |limits| limits.parcels_per_link = 3,
        |bench| {
            let mut client = bench.client();
            let taken: Vec<_> = (0..5)
                .flat_map(|parcel| {
                    let piece = Message::Piece { parcel, index: 0, count: 2, bytes: b"half" };
                    client.say(&mut bench.world, &piece)
                })
                .collect();
            assert_eq!(taken[3..], [Err(Dropped::ParcelsFull); 2]);
        },
    ),
    (Dropped::ParcelExpired, as_usual, |bench| {
        let mut client = bench.client();
        let piece = Message::Piece { parcel: 0, index: 0, count: 2, bytes: b"half" };
        assert_eq!(client.say(&mut bench.world, &piece), [Ok(())]);
        client.listen(&mut bench.world, 11 * SECOND);
    }),
    (Dropped::RepeatedSetUp, as_usual, |bench| {
        let mut client = bench.client();
        let (envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
        for _ in 0..3 {
            client.ask(&mut bench.world, Class::Small, &envelope);
        }
        client.listen(&mut bench.world, SECOND);
        // Said more than once, as the channel is not used, but of one channel only.
        let confirmed = |message: &Message<'_>| match message {
            Message::Confirm { backward, .. } => Some(*backward),
            _ => None,
        };
        let channels: BTreeSet<Id> = client.said.iter().filter_map(confirmed).collect();
        assert_eq!(channels.len(), 1);
        assert_eq!(bench.world.dropped(first_mix(), Dropped::RepeatedSetUp), 2);
    }),
    (Dropped::ForgedSetUp, as_usual, |bench| {
        let mut client = bench.client();
        let (mut envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
        envelope[5000] ^= 1;
        let backward = client.ask(&mut bench.world, Class::Small, &envelope);
        client.listen(&mut bench.world, 100 * MILLISECOND);
        let reason = crate::Refusal::UnknownKey;
        assert!(client.said.contains(&Message::Refused { backward, reason }));
    }),
    (Dropped::BadSetUp, as_usual, |bench| {
        let mut client = bench.client();
        let circle = [first_mix(), first_mix(), address(EXIT)];
        let (envelope, hops) = client.set_up(&mut bench.world, Class::Small, &circle);
        client.ask(&mut bench.world, Class::Small, &envelope);
        client.listen(&mut bench.world, 200 * MILLISECOND);
        let (_, sequence, mut cell) = client.cells.remove(0);
        let word = channel::unwrap(&hops, sequence, &mut cell).expect("a word");
        let reason = crate::Refusal::BadSetUp;
        assert!(matches!(word, channel::Unwrapped::Word { hop: 0, reason: r } if r == reason));
    }),
    (
        Dropped::TooManySetUps,
        |limits| limits.set_ups_per_link = 2,
        |bench| {
            let mut client = bench.client();
            for _ in 0..3 {
                let (envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
                client.ask(&mut bench.world, Class::Small, &envelope);
            }
            client.listen(&mut bench.world, 200 * MILLISECOND);
        },
    ),
    (
        Dropped::ChannelsFull,
        |limits| limits.channels_per_link = 2,
        |bench| {
            let mut client = bench.client();
            for _ in 0..3 {
                let (envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
                client.ask(&mut bench.world, Class::Small, &envelope);
            }
            client.listen(&mut bench.world, 300 * MILLISECOND);
        },
    ),
    (
        Dropped::MemoryFull,
        |limits| limits.remembered = 3,
        |bench| {
            let mut client = bench.client();
            let (envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
            let backward = client.ask(&mut bench.world, Class::Small, &envelope);
            client.listen(&mut bench.world, 100 * MILLISECOND);
            let reason = crate::Refusal::Overloaded;
            assert!(client.said.contains(&Message::Refused { backward, reason }));
        },
    ),
    (
        Dropped::PoolFull,
        |limits| limits.pool = 4,
        |bench| {
            let mut client = bench.client();
            let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
            for sequence in 0..6 {
                let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"x"));
                // One source gets no more than is left.
                let taken = if sequence < 2 { Ok(()) } else { Err(Dropped::PoolFull) };
                assert_eq!(client.give(&mut bench.world, &cell), taken);
            }
        },
    ),
    (Dropped::Orphaned, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        let cell = client.message(&bench.world, &channel, 0, &to_nine(b"x"));
        assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
        // The reply reaches the first mix, which is not asked to let it go before the goodbye.
        bench.world.tap = Box::new(|packet| packet.to != first_mix());
        bench.world.run(10 * MILLISECOND);
        bench.world.tap = Box::new(|_| true);
        let seen = bench.world.seen.iter().rev();
        let reply = seen.clone().find(|p| p.from == second_mix() && p.to == first_mix()).cloned();
        let reply = reply.expect("the echo came so far");
        assert_eq!(bench.world.give(reply.from, reply.to, &reply.bytes), Ok(()));
        client.say(&mut bench.world, &Message::Goodbye);
        bench.world.run(10 * MILLISECOND);
    }),
    (Dropped::BadFragment, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        for (sequence, (index, count, length)) in
            (0..).zip([(1, 1, 9), (255, 255, 9), (0, 1, 321), (0, 2, 319), (9, 10, 3), (7, 3, 0)])
        {
            let head = FragmentHead { index, count, length: u16::into(length) };
            let cell = client.cell(&bench.world, &channel, sequence, head, b"x");
            assert_eq!(client.give(&mut bench.world, &cell), Ok(()), "the mix cannot know");
        }
        bench.world.run(10 * MILLISECOND);
        assert_eq!(bench.world.dropped(address(EXIT), Dropped::BadFragment), 6);
    }),
    (
        Dropped::FragmentsFull,
        |limits| limits.reassembly_bytes = 600,
        |bench| {
            let mut client = bench.client();
            let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
            let head = FragmentHead { index: 0, count: 2, length: 320.into() };
            let cell = client.cell(&bench.world, &channel, 0, head, &[1; 320]);
            assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
            bench.world.run(10 * MILLISECOND);
        },
    ),
    (Dropped::FragmentExpired, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        let head = FragmentHead { index: 0, count: 2, length: 320.into() };
        let cell = client.cell(&bench.world, &channel, 0, head, &[1; 320]);
        assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
        client.listen(&mut bench.world, 7 * SECOND);
    }),
    (Dropped::BadDatagram, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        let bad: [&[u8]; 7] = [
            &[],
            &[1],
            &[1, 9, 9, 9, 9, 0],
            &[2, 9, 9, 9, 9, 0, 53],
            &[3, 0, 0, 53],
            &[3, 2, 0xFF, 0xFE, 0, 53],
            &[4; 17],
        ];
        for (sequence, message) in (0..).zip(bad) {
            let cell = client.message(&bench.world, &channel, sequence, message);
            assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
        }
        bench.world.run(10 * MILLISECOND);
        assert_eq!(bench.world.dropped(address(EXIT), Dropped::BadDatagram), 7);
    }),
    (Dropped::TooLong, as_usual, |bench| {
        let bystander = bench.bystander;
        bench.world.send(ENTRY, bystander, "9.9.9.9:53", &vec![0; 255 * 1284]);
        let name = format!("{}:53", "a".repeat(255));
        bench.world.send(ENTRY, bystander, &name, b"x");
        assert_eq!(bench.world.dropped(address(ENTRY), Dropped::TooLong), 1);
        assert!(bench.world.run_until(SECOND, |world| !world.questions.is_empty()));
    }),
    (Dropped::ForbiddenDestination, as_usual, |bench| {
        let bystander = bench.bystander;
        for to in ["127.0.0.1:1", "[::1]:1", "[::ffff:10.0.0.1]:9", "10.0.0.1:1", "9.9.9.9:0"] {
            bench.world.send(ENTRY, bystander, to, b"x");
        }
        bench.world.run(10 * MILLISECOND);
        assert_eq!(bench.world.dropped(address(EXIT), Dropped::ForbiddenDestination), 5);
        // The exit's machine gets an address that was somebody else's before.
        let own = vec!["9.9.9.9".parse().expect("valid")];
        let policy = Policy { own, ..Policy::default() };
        bench.world.with_exit(EXIT, |exit, _, _| exit.set_policy(policy));
        bench.world.send(ENTRY, bystander, "9.9.9.9:53", b"x");
        bench.world.run(10 * MILLISECOND);
        assert_eq!(bench.world.dropped(address(EXIT), Dropped::ForbiddenDestination), 6);
        bench.world.with_exit(EXIT, |exit, _, _| exit.set_policy(Policy::default()));
    }),
    (Dropped::UnknownName, as_usual, |bench| {
        let bystander = bench.bystander;
        bench.world.send(ENTRY, bystander, "nowhere.example:1", b"x");
        bench.world.run(10 * MILLISECOND);
        let question = bench.world.questions.remove(0).1;
        bench.world.with_exit(EXIT, |exit, now, out| exit.resolved(now, question, &[], out));
        bench.world.send(ENTRY, bystander, "nowhere.example:1", b"x");
        bench.world.run(10 * MILLISECOND);
        assert_eq!(bench.world.dropped(address(EXIT), Dropped::UnknownName), 2);
    }),
    (
        Dropped::NamesFull,
        |limits| limits.questions = 1,
        |bench| {
            let bystander = bench.bystander;
            for name in ["a.example:1", "b.example:1"] {
                bench.world.send(ENTRY, bystander, name, b"x");
            }
            bench.world.run(10 * MILLISECOND);
            assert_eq!(bench.world.questions.len(), 1);
            for _ in 0..crate::exit::WAITING_PER_NAME {
                bench.world.send(ENTRY, bystander, "a.example:1", b"x");
            }
            bench.world.run(10 * MILLISECOND);
            assert_eq!(bench.world.dropped(address(EXIT), Dropped::NamesFull), 2);
        },
    ),
    (Dropped::SocketsFull, as_usual, |bench| {
        let flow = bench.world.arrivals[0].flow;
        bench.world.with_exit(EXIT, |exit, now, out| exit.no_socket(now, flow, out));
        bench.world.run(SECOND);
    }),
    (Dropped::UnknownSource, as_usual, |bench| {
        let flow = bench.world.arrivals[0].flow;
        bench.world.with_exit(EXIT, |exit, now, out| {
            let taken = exit.from_outside(now, flow, address("8.8.8.8:53"), b"unasked", out);
            assert_eq!(taken, Err(Dropped::UnknownSource));
        });
    }),
    (
        Dropped::TooFast,
        |limits| (limits.bytes_per_second, limits.bytes_per_source) = (1000, 30 * 440),
        |bench| {
            let mut client = bench.client();
            let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
            let taken: Vec<_> = (0..40)
                .map(|sequence| {
                    let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"x"));
                    client.give(&mut bench.world, &cell)
                })
                .collect();
            assert_eq!(taken[..30], [Ok(()); 30]);
            assert_eq!(taken[30..], [Err(Dropped::TooFast); 10]);
            bench.world.run(SECOND);
            let before = bench.world.dropped(address(EXIT), Dropped::TooFast);
            let bystander = bench.bystander;
            for _ in 0..2 {
                bench.world.send(ENTRY, bystander, "9.9.9.9:53", &[0; 900]);
            }
            bench.world.run(2 * SECOND);
            assert_eq!(bench.world.dropped(address(EXIT), Dropped::TooFast), before + 1);
        },
    ),
    (Dropped::UnknownFlow, as_usual, |bench| {
        let mut client = bench.client();
        let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
        let cell = client.message(&bench.world, &channel, 0, &to_nine(b"last"));
        assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
        bench.world.run(10 * MILLISECOND);
        let flow = bench.world.arrivals.last().expect("it arrived").flow;
        client.say(&mut bench.world, &Message::Close { channel: channel.forward });
        bench.world.run(100 * MILLISECOND);
        assert_eq!(bench.world.gone, [flow]);
        bench.world.with_exit(EXIT, |exit, now, out| {
            let taken = exit.from_outside(now, flow, address("9.9.9.9:53"), b"too late", out);
            assert_eq!(taken, Err(Dropped::UnknownFlow));
        });
    }),
    (
        Dropped::QueueFull,
        |limits| limits.queue_bytes = 100,
        |bench| {
            let association = bench.world.open(ENTRY, Class::Small);
            for _ in 0..2 {
                bench.world.send(ENTRY, association, "9.9.9.9:53", &[0; 90]);
            }
        },
    ),
    (
        Dropped::AssociationsFull,
        |limits| limits.associations = 1,
        |bench| {
            let now = bench.world.now;
            let opened = bench.world.entry(ENTRY).open(now, Class::Small, 0);
            assert_eq!(opened, Err(Dropped::AssociationsFull));
        },
    ),
    (Dropped::UnknownAssociation, as_usual, |bench| {
        let association = bench.world.open(ENTRY, Class::Small);
        bench.world.with_entry(ENTRY, |entry, now, out| {
            entry.close(now, association, out);
            let to: Destination = "9.9.9.9:53".parse().expect("valid");
            let sent = entry.send(now, association, &to, b"x", out);
            assert_eq!(sent, Err(Dropped::UnknownAssociation));
        });
    }),
    (Dropped::NoChain, as_usual, |bench| {
        bench.world.tap = Box::new(|_| false);
        let association = bench.world.open(ENTRY, Class::Small);
        bench.world.send(ENTRY, association, "9.9.9.9:53", b"x");
        bench.world.run(12 * SECOND);
    }),
];

const STRANGER: &str = "198.51.102.66:6666";
const SECOND_ENTRY: &str = "10.0.9.2:700";

fn ring(world: &mut World, node: SocketAddr) -> Keyring {
    let mut chance = Chance::new([4; 32]);
    Keyring::new(world.now, identity_key(&node), &world.network.name, 100, &mut chance)
}

impl Bench {
    pub(super) fn new(limits: &Limits) -> Bench {
        let network = network(&[1, 1], 1, Some(Strategy::None));
        let mut world = World::with_limits(network, 42, limits);
        let bystander = world.open(ENTRY, Class::Large);
        let mut bench = Bench { world, bystander, sent: 0 };
        assert!(bench.serves_bystander(2 * SECOND), "{:?}", bench.world.all_dropped());
        // What the limits cost at the start is not what the row is about.
        bench.world.run(2 * SECOND);
        bench
    }

    fn nodes(&self) -> [SocketAddr; 4] {
        [first_mix(), second_mix(), address(EXIT), address(ENTRY)]
    }

    pub(super) fn client(&mut self) -> Puppet {
        Puppet::connect(&mut self.world, "198.51.102.1:1", first_mix(), None)
    }

    pub(super) fn opening(&mut self, node: SocketAddr) -> (Vec<u8>, Pending) {
        let mut chance = Chance::new([self.world.seen.len() as u8; 32]);
        opening_of(&mut self.world, address(STRANGER), node, None, &mut chance)
    }

    pub(super) fn give(&mut self, node: SocketAddr, bytes: &[u8]) -> Result<(), Dropped> {
        self.world.give(address(STRANGER), node, bytes)
    }

    /// Gives a node something and sees it counted under this reason and no other.
    fn refused(&mut self, node: SocketAddr, bytes: &[u8], reason: Dropped) {
        let before = self.world.all_dropped();
        assert_eq!(self.give(node, bytes), Err(reason), "{node}, {} bytes", bytes.len());
        let mut expected = before;
        *expected.entry(reason).or_default() += 1;
        assert_eq!(self.world.all_dropped(), expected);
    }

    /// Whether a datagram that is sent until it is answered is answered in time.
    pub(super) fn serves_bystander(&mut self, within: Duration) -> bool {
        let end = self.world.now.time + within;
        let answered = self.world.replies.len();
        while self.world.now.time < end {
            self.sent += 1;
            self.world.send(ENTRY, self.bystander, "9.9.9.9:53", &self.sent.to_be_bytes());
            self.world.run(50 * MILLISECOND);
            if self.world.replies.len() > answered {
                return true;
            }
        }
        false
    }
}

#[test]
fn every_input_of_the_table_is_counted_under_its_reason_and_others_do_not_notice() {
    for (reason, limit, act) in TABLE {
        let mut limits = Limits { spare_channels: 0, ..Limits::default() };
        limit(&mut limits);
        let mut bench = Bench::new(&limits);
        let before = bench.world.all_dropped().get(reason).copied().unwrap_or(0);
        act(&mut bench);
        let after = bench.world.all_dropped().get(reason).copied().unwrap_or(0);
        assert!(after > before, "{reason}: {:?}", bench.world.all_dropped());
        bench.world.tap = Box::new(|_| true);
        // Only a wire that was cut, and an exit without sockets, may cost time.
        let patience = match reason {
            Dropped::NoChain | Dropped::SocketsFull => 5 * SECOND,
            Dropped::TooFast => SECOND,
            _ => 50 * MILLISECOND,
        };
        assert!(bench.serves_bystander(patience), "{reason}: {:?}", bench.world.all_dropped());
    }
}

#[test]
fn the_table_the_documentation_and_the_code_name_the_same_reasons() {
    let walked: BTreeSet<&str> = TABLE.iter().map(|row| row.0.label()).collect();
    assert_eq!(walked.len(), TABLE.len(), "one row per reason");
    let all: BTreeSet<&str> = Dropped::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(walked, all);
    let page = include_str!("../../../../docs/protocol.md");
    let table = page.split("| input | reason |").nth(1).expect("the page has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<&str> =
        rows.filter_map(|row| row.rsplit('|').nth(1)).map(|r| r.trim().trim_matches('`')).collect();
    assert_eq!(documented, all);
}
