//! The commented `config.toml`: every setting with what it means.
//!
//! The values come from the settings themselves and the comments from one table, in the order of
//! the file, so that a setting without a comment is noticed by the test below.

use serde::Serialize;
use toml::{Table, Value};

use super::Config;

/// The file of a node.
pub(super) fn render(config: &Config) -> String {
    let (name, table) = match config {
        Config::Entry(entry) => ("entry", table(entry)),
        Config::Mix(mix) => ("mix", table(mix)),
        Config::Exit(exit) => ("exit", table(exit)),
    };
    written(name, &table, SECTIONS)
}

/// The file of something called `name`, with these settings.
pub(crate) fn written(name: &str, table: &Table, sections: &[Section]) -> String {
    let mut page = format!("# A Mingle {name}. Every setting is here, with what it means.\n");
    page.push_str("# A key that is not known is refused; a line left out means the default.\n");
    for (section, about, settings) in sections {
        let Some(Value::Table(values)) = table.get(*section) else { continue };
        page.push('\n');
        comment(&mut page, about);
        page.push_str(&format!("[{section}]\n"));
        for (setting, about) in *settings {
            let about = match about.split_once(": ") {
                Some((role @ ("Entry" | "Exit"), _)) if !role.eq_ignore_ascii_case(name) => {
                    continue;
                }
                Some(("Entry" | "Exit", about)) => about,
                _ => about,
            };
            let Some(value) = values.get(*setting) else { continue };
            comment(&mut page, about);
            page.push_str(&format!("{setting} = {value}\n"));
        }
    }
    page
}

/// Settings as they stand in a file.
pub(crate) fn table(config: &impl Serialize) -> Table {
    Table::try_from(config).expect("settings are numbers, texts and lists of these")
}

/// Breaks a comment into lines.
fn comment(page: &mut String, about: &str) {
    let mut line = String::from("#");
    for word in about.split_whitespace() {
        if line.len() + 1 + word.len() > LINE {
            page.push_str(&line);
            page.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    page.push_str(&line);
    page.push('\n');
}

const LINE: usize = 96;

/// A section, what it is about, and its settings with theirs. A comment that begins with the name
/// of a role and a colon is for that role's file only.
pub(crate) type Section = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: &[Section] = &[
    (
        "node",
        "The node itself.",
        &[
            ("role", "What it does: entry, mix or exit."),
            ("name", "What the network list calls it. An entry is in no list: any name will do."),
            ("network", "The network list; relative to this folder."),
            (
                "listen",
                "Where links arrive and leave: at most one IPv4 and one IPv6 address. Port 0 means \
                 any free port, which is right for an entry. A machine with several addresses of \
                 one family names the one that the list names.",
            ),
            (
                "figures_every",
                "How often the published figures change. The default is \"1m\": figures that change \
                 with every datagram would show what came in with what went out. \"1s\", which \
                 `mingle network new` writes, is for watching a network on one machine only.",
            ),
        ],
    ),
    (
        "key",
        "The node's identity.",
        &[("file", "Its secret key; relative to this folder. Only its owner may read it.")],
    ),
    (
        "metrics",
        "The page of figures: /metrics for Prometheus, /status as JSON.",
        &[
            ("listen", "Where it is; [] for no page."),
            (
                "allow_public",
                "Allow an address that is not loopback. Only behind a firewall: the figures are for \
                 the operator.",
            ),
        ],
    ),
    (
        "socks",
        "SOCKS5 with UDP ASSOCIATE. Any user and password are accepted; different ones never share \
         a chain where there is a choice.",
        &[
            ("listen", "Where applications reach it; [] for none."),
            ("class", "\"small\" (voice, games, short questions) or \"large\" (everything else)."),
            (
                "channel_per_destination",
                "One channel per destination instead of one per association. Peer-to-peer and ICE \
                 need one for all: the same port outside, whoever they talk to.",
            ),
            (
                "destinations_max",
                "With channel_per_destination: destinations of one association at one time. The quietest \
                 make room for others; forwards.source_idle holds for them too.",
            ),
            ("connections_max", "TCP connections, and so associations, at one time."),
            ("handshake", "How long a client may take to say what it wants."),
        ],
    ),
    (
        "raw",
        "Datagrams that begin with an IPv4 address (4 bytes) and a port (2 bytes, big-endian); \
         replies come bare. One channel per source and destination.",
        &[
            ("listen", "Where applications reach it; [] for none."),
            ("class", "\"small\" or \"large\"."),
        ],
    ),
    (
        "forwards",
        "Addresses here that stand for one destination each. One channel per source.",
        &[
            (
                "list",
                "\"LISTEN=DEST\" or \"LISTEN=DEST,CLASS\", such as \
                 [\"127.0.0.1:5353=9.9.9.9:53,small\"].",
            ),
            ("source_idle", "A source of a forward or of raw is forgotten when quiet for so long."),
            ("sources_max", "Sources of forwards and raw at one time."),
        ],
    ),
    (
        "outside",
        "The sockets towards destinations.",
        &[
            ("addresses", "The addresses they leave from: one per family that is served."),
            ("sockets_max", "Sockets at one time; a channel has at most one per family."),
            (
                "resolvers",
                "Who is asked about names, such as [\"9.9.9.9:53\"]; [] for whom the system asks. \
                 /etc/hosts is honoured.",
            ),
            ("names_at_once", "Questions about names under way at one time."),
            ("names_waiting", "Further questions that wait."),
        ],
    ),
    (
        "policy",
        "Which destinations are served. Refused by themselves: loopback, private, shared, \
         link-local, unique-local, multicast, broadcast, reserved and unspecified addresses, forms \
         of these in IPv6, this machine's own addresses, and every node of the network.",
        &[
            (
                "allow",
                "Prefixes that are served all the same. A network made by `mingle network new` \
                 allows loopback (127.0.0.0/8 and ::1/128), because everything is on one machine; \
                 a real exit must not.",
            ),
            ("deny", "Further prefixes that are refused, such as [\"198.51.100.0/24\"]."),
            ("own", "Addresses of this exit that its interfaces do not show, such as behind NAT."),
            (
                "open_filtering",
                "Let anyone answer, not only addresses that the channel wrote to. Some peer-to-peer \
                 applications want it; it lets strangers send to a channel.",
            ),
        ],
    ),
    (
        "limits",
        "Limits. Reaching one is counted and refused, and ends nothing else.",
        &[
            ("links", "Links that may be open or opening at once."),
            ("channels", "Channels at once."),
            ("channels_per_link", "Channels at once over one link."),
            ("channels_per_source", "Clients' channels at once of one source (/32, /56)."),
            ("pool", "Cells that may wait in one pool."),
            (
                "windows",
                "Replay windows per class and direction that may hold bits at once; a channel needs \
                 one while its cells arrive out of order.",
            ),
            ("parcels_per_link", "Incomplete set-ups and key lists per link."),
            ("parcels", "Incomplete set-ups in this node; nodes of the list may exceed it."),
            (
                "reassembly_bytes",
                "Bytes of incomplete datagrams, and of those that wait for a name.",
            ),
            ("openings_per_second", "Link openings worked on per second."),
            ("openings_per_source", "Of these, for one source (/32, /56), and at once."),
            (
                "openings_before_cookies",
                "Openings per second above which every opener first proves its address.",
            ),
            ("key_requests_per_second", "Key requests answered per second."),
            ("key_requests_per_source", "Of these, for one source (/32, /56)."),
            ("set_ups_per_link", "Set-ups worked on per second over one link."),
            ("set_ups_per_source", "Clients' set-ups worked on per second and source (/32, /56)."),
            (
                "bytes_per_source",
                "Bytes of clients' cells passed on per second and source (/32, /56), per class and \
                 each way: what one user may take of your line.",
            ),
            ("remembered", "Set-ups and openings remembered per key, so that none works twice."),
            ("channel_idle", "A channel without cells for so long ends."),
            ("channel_unused", "A channel without data for so long after its set-up ends."),
            (
                "associations",
                "Entry: Associations at once (SOCKS, and sources of raw and forwards).",
            ),
            (
                "spare_channels",
                "Entry: Channels kept ready per class, so that a start is not a set-up.",
            ),
            ("queue_bytes", "Entry: Bytes that may wait per association for its channel."),
            ("queue_wait", "Entry: How long a datagram may wait for a channel."),
            ("questions", "Exit: Names that may be looked up at once."),
            ("correspondents", "Exit: Destinations that may answer one channel at once."),
            ("reply_window", "Exit: How long a destination may answer after it was written to."),
            ("bytes_per_second", "Exit: Bytes per second and channel, each way."),
            (
                "unanswered_bytes_per_second",
                "Exit: Bytes per second to a destination that never answered.",
            ),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn configs() -> [Config; 3] {
        ["entry", "mix", "exit"].map(|role| {
            let text = format!(
                "[node]\nrole = \"{role}\"\nname = \"x\"\nnetwork = \"n\"\nlisten = [\"127.0.0.1:1\"]"
            );
            Config::parse(&text).unwrap()
        })
    }

    #[test]
    fn a_page_reads_back_as_the_settings_it_was_made_of() {
        for config in configs() {
            let page = config.page();
            assert_eq!(Config::parse(&page).unwrap(), config, "{page}");
            assert!(page.lines().all(|line| line.len() <= 100), "{page}");
        }
    }

    #[test]
    fn every_setting_is_on_a_page() {
        let mut pages = BTreeSet::new();
        let mut settings = BTreeSet::new();
        for config in configs() {
            let whole = match &config {
                Config::Entry(entry) => table(entry),
                Config::Mix(mix) => table(mix),
                Config::Exit(exit) => table(exit),
            };
            for (table, found) in
                [(whole, &mut settings), (config.page().parse::<Table>().unwrap(), &mut pages)]
            {
                for (section, values) in table {
                    let values = values.as_table().unwrap();
                    found.extend(values.keys().map(|key| format!("{section}.{key}")));
                }
            }
        }
        assert_eq!(settings, pages);
    }
}
