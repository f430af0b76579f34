//! Every limit, reached: which refusal is counted, and that a bystander goes on.

use std::collections::BTreeSet;

use super::reasons::Bench;
use super::*;
use crate::limits::Limits;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A limit, a value that can be reached, what reaches it, and what is counted then.
type Row = (&'static str, fn(&mut Limits), fn(&mut Bench), Counted);

/// What reaching a limit shows in.
enum Counted {
    /// A refusal.
    As(Dropped),
    /// Channels that ended.
    Ended,
    /// No more channels than that: it is no refusal.
    Open(u64),
}

use Counted::{As, Ended, Open};

const TABLE: &[Row] = &[
    ("links", |limits| limits.links = 4, openings, As(Dropped::LinksFull)),
    ("channels", |limits| limits.channels = 3, set_ups, As(Dropped::ChannelsFull)),
    (
        "channels_per_link",
        |limits| limits.channels_per_link = 2,
        set_ups,
        As(Dropped::ChannelsFull),
    ),
    (
        "channels_per_source",
        |limits| limits.channels_per_source = 2,
        set_ups,
        As(Dropped::ChannelsFull),
    ),
    ("pool", |limits| limits.pool = 4, cells, As(Dropped::PoolFull)),
    ("windows", |limits| limits.windows = 0, backwards, As(Dropped::LateCell)),
    ("parcels_per_link", |limits| limits.parcels_per_link = 2, pieces, As(Dropped::ParcelsFull)),
    ("parcels", |limits| limits.parcels = 4, pieces, As(Dropped::ParcelsFull)),
    (
        "reassembly_bytes",
        |limits| limits.reassembly_bytes = 1_500,
        fragments,
        As(Dropped::FragmentsFull),
    ),
    (
        "openings_per_second",
        |limits| limits.openings_per_second = 4,
        openings,
        As(Dropped::TooManyOpenings),
    ),
    (
        "openings_per_source",
        |limits| limits.openings_per_source = 4,
        openings,
        As(Dropped::TooManyOpenings),
    ),
    (
        "openings_before_cookies",
        |limits| limits.openings_before_cookies = 4,
        openings,
        As(Dropped::NeedsCookie),
    ),
    (
        "key_requests_per_second",
        |limits| limits.key_requests_per_second = 4,
        key_requests,
        As(Dropped::TooManyKeyRequests),
    ),
    (
        "key_requests_per_source",
        |limits| limits.key_requests_per_source = 4,
        key_requests,
        As(Dropped::TooManyKeyRequests),
    ),
    ("set_ups_per_link", |limits| limits.set_ups_per_link = 3, set_ups, As(Dropped::TooManySetUps)),
    (
        "set_ups_per_source",
        |limits| limits.set_ups_per_source = 3,
        set_ups,
        As(Dropped::TooManySetUps),
    ),
    ("bytes_per_source", |limits| limits.bytes_per_source = 2_000, cells, As(Dropped::TooFast)),
    ("remembered", |limits| limits.remembered = 4, set_ups, As(Dropped::MemoryFull)),
    ("channel_idle", |limits| limits.channel_idle = 5 * SECOND, idles, Ended),
    ("channel_unused", |limits| limits.channel_unused = 3 * SECOND, set_ups, Ended),
    (
        "associations",
        |limits| limits.associations = 1,
        |bench| {
            let now = bench.world.now;
            let opened = bench.world.entry(ENTRY).open(now, Class::Small, 0);
            assert_eq!(opened, Err(Dropped::AssociationsFull));
        },
        As(Dropped::AssociationsFull),
    ),
    (
        "spare_channels",
        |limits| limits.spare_channels = 3,
        |bench| bench.world.run(100 * SECOND),
        Open(4),
    ),
    ("queue_bytes", |limits| limits.queue_bytes = 100, waits, As(Dropped::QueueFull)),
    ("queue_wait", |limits| limits.queue_wait = SECOND, waits, As(Dropped::NoChain)),
    (
        "questions",
        |limits| limits.questions = 1,
        |bench| {
            for name in ["a.example:1", "b.example:1"] {
                bench.world.send(ENTRY, bench.bystander, name, b"x");
            }
        },
        As(Dropped::NamesFull),
    ),
    (
        "correspondents",
        |limits| limits.correspondents = 1,
        answers_late,
        As(Dropped::UnknownSource),
    ),
    (
        "reply_window",
        |limits| limits.reply_window = SECOND,
        |bench| {
            bench.world.echo = false;
            bench.world.send(ENTRY, bench.bystander, "9.9.9.9:53", b"x");
            bench.world.run(4 * SECOND);
            bench.world.echo = true;
            answers_late(bench);
        },
        As(Dropped::UnknownSource),
    ),
    ("bytes_per_second", |limits| limits.bytes_per_second = 1_000, datagrams, As(Dropped::TooFast)),
    (
        "unanswered_bytes_per_second",
        |limits| limits.unanswered_bytes_per_second = 1_000,
        datagrams,
        As(Dropped::TooFast),
    ),
];

/// Eight honest openings at once.
fn openings(bench: &mut Bench) {
    for _ in 0..8 {
        let mut chance = Chance::new([bench.world.seen.len() as u8; 32]);
        let at = address("198.51.102.66:6666");
        let node = first_mix();
        let known = keys_of(bench, node);
        let identity = identity_key(&node).identity();
        let known = known.get(bench.world.now.time, &identity).expect("just learned");
        let network = &bench.world.network;
        let id = Id::from_wire(0x100);
        let (opening, _) = opening::open(network, &identity, known, None, id, None, &mut chance);
        let _ = bench.world.give(at, node, &opening);
    }
    bench.world.run(2 * SECOND);
}

/// The key of a node, asked from an address of its own, so that asking is not what is limited.
fn keys_of(bench: &mut Bench, node: SocketAddr) -> Directory {
    let number = bench.world.seen.len() % 250;
    let asks = address(&format!("203.0.{number}.9:1"));
    keys(&mut bench.world, asks, node)
}

fn key_requests(bench: &mut Bench) {
    let identity = identity_key(&first_mix()).identity();
    let request = opening::key_request(&identity, 0, [1; 16]);
    for _ in 0..8 {
        let _ = bench.give(first_mix(), &request);
    }
    bench.world.run(2 * SECOND);
}

/// Six set-ups of one client; what stands is left unused.
fn set_ups(bench: &mut Bench) {
    let mut client = bench.client();
    for _ in 0..6 {
        let (envelope, _) = client.set_up(&mut bench.world, Class::Small, &whole_chain());
        client.ask(&mut bench.world, Class::Small, &envelope);
    }
    for _ in 0..10 {
        client.listen(&mut bench.world, 500 * MILLISECOND);
        assert!(bench.serves_bystander(SECOND));
    }
}

/// Ten cells of one client at once.
fn cells(bench: &mut Bench) {
    let mut client = bench.client();
    let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
    for sequence in 0..10 {
        let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"x"));
        let _ = client.give(&mut bench.world, &cell);
    }
    bench.world.run(2 * SECOND);
}

/// Four cells that come in the opposite order.
fn backwards(bench: &mut Bench) {
    let mut client = bench.client();
    let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
    for sequence in [3, 2, 1, 0] {
        let cell = client.message(&bench.world, &channel, sequence, &to_nine(b"x"));
        let _ = client.give(&mut bench.world, &cell);
    }
}

/// Set-ups of which only a part ever comes.
fn pieces(bench: &mut Bench) {
    let mut client = bench.client();
    for parcel in 0..6 {
        let piece = Message::Piece { parcel, index: 0, count: 2, bytes: b"half" };
        client.say(&mut bench.world, &piece);
    }
}

/// Datagrams of which only a part ever comes.
fn fragments(bench: &mut Bench) {
    let mut client = bench.client();
    let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
    let head = FragmentHead { index: 0, count: 2, length: 320.into() };
    for number in 0..4 {
        let cell = client.cell(&bench.world, &channel, 2 * number, head, &[1; 320]);
        let _ = client.give(&mut bench.world, &cell);
    }
    bench.world.run(7 * SECOND);
}

/// A channel that is used once.
fn idles(bench: &mut Bench) {
    let mut client = bench.client();
    let channel = client.open(&mut bench.world, Class::Small, &whole_chain());
    let cell = client.message(&bench.world, &channel, 0, &to_nine(b"x"));
    assert_eq!(client.give(&mut bench.world, &cell), Ok(()));
    for _ in 0..10 {
        client.listen(&mut bench.world, SECOND);
        assert!(bench.serves_bystander(SECOND));
    }
}

/// An application that sends while there is no chain for it.
fn waits(bench: &mut Bench) {
    bench.world.tap = Box::new(|_| false);
    let association = bench.world.open(ENTRY, Class::Small);
    for _ in 0..2 {
        bench.world.send(ENTRY, association, "9.9.9.9:53", &[0; 80]);
    }
    bench.world.run(3 * SECOND);
    bench.world.tap = Box::new(|_| true);
}

/// Two datagrams at once to somebody who has not answered.
fn datagrams(bench: &mut Bench) {
    bench.world.echo = false;
    for _ in 0..2 {
        bench.world.send(ENTRY, bench.bystander, "8.8.8.8:53", &[0; 900]);
    }
    bench.world.run(2 * SECOND);
    bench.world.echo = true;
}

/// An answer of one to whom a further datagram or too much time came after.
fn answers_late(bench: &mut Bench) {
    bench.world.send(ENTRY, bench.bystander, "8.8.8.8:53", b"x");
    bench.world.run(100 * MILLISECOND);
    let flow = bench.world.arrivals[0].flow;
    bench.world.with_exit(EXIT, |exit, now, out| {
        let _ = exit.from_outside(now, flow, address("9.9.9.9:53"), b"late", out);
    });
}

#[test]
fn reaching_each_limit_gives_its_refusal_and_others_are_served() {
    for (name, limit, act, counted) in TABLE {
        let mut limits = Limits { spare_channels: 0, ..Limits::default() };
        limit(&mut limits);
        let mut bench = Bench::new(&limits);
        let ended = |bench: &Bench| bench.world.figures(first_mix()).channels_ended;
        let dropped =
            |bench: &Bench, reason| bench.world.all_dropped().get(&reason).copied().unwrap_or(0);
        let before = match counted {
            As(reason) => dropped(&bench, *reason),
            Ended => ended(&bench),
            Open(_) => 0,
        };
        act(&mut bench);
        bench.world.run(50 * MILLISECOND);
        match counted {
            As(reason) => {
                let all = bench.world.all_dropped();
                assert!(dropped(&bench, *reason) > before, "{name}: {all:?}");
            }
            Ended => assert!(ended(&bench) > before, "{name}"),
            Open(count) => assert_eq!(bench.world.figures(first_mix()).channels, *count, "{name}"),
        }
        assert!(bench.serves_bystander(5 * SECOND), "{name}: {:?}", bench.world.all_dropped());
    }
}

#[test]
fn every_limit_is_reached_above_and_described_in_the_book() {
    let reached: BTreeSet<&str> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(reached.len(), TABLE.len(), "one row per limit");
    let page = include_str!("../../../../docs/protocol.md");
    let table = page.split("| name | default | what |").nth(1).expect("the page has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let described: BTreeSet<&str> =
        rows.filter_map(|row| row.split('|').nth(1)).map(|r| r.trim().trim_matches('`')).collect();
    assert_eq!(reached, described);
    // The type itself: its fields as they show themselves.
    let shown = format!("{:?}", Limits::default());
    let fields = shown.split(['{', ',']).filter_map(|part| part.split_once(':'));
    let fields: BTreeSet<&str> = fields.map(|(name, _)| name.trim()).collect();
    assert_eq!(reached, fields);
}
