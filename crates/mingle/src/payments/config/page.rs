//! The commented `config.toml` of a mixer, a ledger and a wallet.

use super::Config;
use crate::config::page::{Section, table, written};

/// The file of a folder.
pub(super) fn render(config: &Config) -> String {
    match config {
        Config::Mixer(mixer) => written("mixer", &table(mixer), SECTIONS),
        Config::Ledger(ledger) => written("ledger", &table(ledger), LEDGER_SECTIONS),
        Config::Wallet(wallet) => written("wallet", &table(wallet), SECTIONS),
    }
}

const NODE: Section = (
    "node",
    "What this folder is.",
    &[("role", "What it does: mixer, ledger or wallet."), ("name", "What its owner calls it.")],
);

const LEDGER_SECTIONS: &[Section] = &[
    NODE,
    (
        "server",
        "Where the ledger answers. Whoever reaches it can make test money.",
        &[
            ("bind_host", "The address it listens at."),
            ("bind_port", "The port it listens at."),
            ("block_time", "The time between blocks, at least \"20ms\"."),
        ],
    ),
    (
        "genesis",
        "What the ledger begins with. To change anything here is to make another currency.",
        &[
            ("currency", "The currency's name."),
            ("time", "The time of block 0, seconds since 1970."),
            ("existential_deposit", "No account holds less and lives."),
            ("fee", "What a transaction costs its sender."),
            ("finality_lag", "How many blocks lie above the newest final one."),
            ("members", "Accounts that are members of the web of trust."),
        ],
    ),
];

const SECTIONS: &[Section] = &[
    NODE,
    (
        "ledger",
        "The ledger.",
        &[
            ("url", "Where its node answers, such as \"http://127.0.0.1:9950\"."),
            ("genesis", "The hash of its first block in hex: this and no other currency."),
        ],
    ),
    (
        "key",
        "The key of the account. A service may also be given it as the credential `account.key`.",
        &[
            ("file", "The key file; relative to this folder. Only its owner may read it."),
            ("ask", "Ask for salt and password at the terminal instead of reading a file."),
        ],
    ),
    (
        "server",
        "Where the mixer answers.",
        &[
            ("bind_host", "The address it listens at. 127.0.0.1 behind a reverse proxy or Tor."),
            ("bind_port", "The port it listens at."),
            ("public_host", "The name, address or onion service that others reach it at."),
            ("public_port", "The port that others reach it at."),
            (
                "access_log",
                "Log each request. The bare commands name accounts and amounts, so this is off.",
            ),
            ("connections_max", "Connections at one time."),
            (
                "source_connections_max",
                "Connections of one source (/32, /56) at one time. Loopback counts as many \
                 sources: a reverse proxy or Tor comes from there.",
            ),
            ("request_time", "How long a client may take over one request."),
        ],
    ),
    (
        "client",
        "How mixers are reached.",
        &[
            (
                "proxy",
                "A SOCKS5 proxy such as \"127.0.0.1:9050\" for Tor; \"\" for none. It resolves all \
                 names; none is resolved here.",
            ),
            ("proxy_onion_only", "Use the proxy for onion services only."),
            ("time_out", "The longest that an answer may take."),
        ],
    ),
    (
        "peers",
        "Mixers that are known at first.",
        &[
            ("files", "Peer info files, as `mingle peers export` writes; relative to this folder."),
            (
                "hosts",
                "Mixers, as \"HOST:PORT\", that are asked who they are and whom they know as long as \
                 nobody is known.",
            ),
            ("inside", "Believe addresses inside a network: for tests and private networks only."),
            (
                "identity",
                "A mixer's identity signature, as `mingle identity sign` writes; \"\" for none.",
            ),
        ],
    ),
    (
        "terms",
        "What this mixer asks and promises, the same for everyone. Amounts are in the ledger's \
         smallest unit.",
        &[
            ("least", "The smallest denomination it moves: 1, 2 or 5 times a power of ten."),
            ("fee", "What it takes from payers whose first mixer it is."),
            ("return_cost", "What it keeps of a payment that it sends back: the ledger's fee."),
            ("company", "The company it aims at."),
            ("wait_max", "The longest that a payment waits for company."),
            ("keep", "How long after its date a deposit is still passed on, at least \"1day\"."),
        ],
    ),
    (
        "mixing",
        "How payments mix.",
        &[
            (
                "strategy",
                "When payouts leave, and which: \"pool:5m,3,0.5,50m\" (period, residue, fraction, \
                 longest), \"timed:5m\", \"threshold:4,30m\", \"poisson:10m,50m\" or \"none\". Not \
                 longer than terms.wait_max.",
            ),
            ("delay", "Mean delay of requests and promises that are passed on."),
        ],
    ),
    (
        "payouts",
        "How payouts are made.",
        &[
            ("float", "What the account keeps for the ledger's fees; without it no promises."),
            ("margin", "Time for finality and retries, beside terms.wait_max."),
            ("horizon", "How far ahead dates may lie."),
            ("period", "Life of a payout's transaction in blocks."),
        ],
    ),
    (
        "limits",
        "How much of anything there may be.",
        &[
            ("orders_max", "Orders."),
            ("client_orders_max", "Unfunded orders of one payer."),
            ("peer_orders_max", "Unfunded orders of one mixer that nobody vouches for."),
            ("vouched_orders_max", "Unfunded orders of one mixer that a member vouches for."),
            ("returns_max", "Payments that wait to be returned, and as many unclaimed ones."),
        ],
    ),
    (
        "metrics",
        "The page of figures: /status as JSON.",
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
        "pay",
        "How this wallet pays.",
        &[
            ("hops", "Mixers on each route, 2 to 5."),
            ("within", "Over how long the parts of a payment are spread."),
            ("unvouched", "Ask mixers too for whom no member answers."),
            ("deposit", "From the request to the deposit's latest time, at least."),
            ("margin", "For finality and retries at each hop."),
            ("step", "Dates are multiples of this."),
            ("poll", "Between two questions for the promises."),
            ("patience", "How long promises are awaited before another route is tried."),
            ("period", "Life of a deposit's transaction in blocks."),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::Table;

    use super::*;

    fn configs() -> [Config; 3] {
        let ledger = "[ledger]\nurl = \"http://127.0.0.1:1\"\ngenesis = \"00\"\n";
        let mixer = "[server]\nbind_host = \"::1\"\nbind_port = 1\npublic_host = \"x.onion\"\npublic_port = 2\n\
                     [terms]\nleast = 1\nfee = 1\nreturn_cost = 1\ncompany = 1\nwait_max = \"1h\"\nkeep = \"1day\"\n\
                     [payouts]\nfloat = 1\nmargin = \"1m\"\nhorizon = \"2days\"\nperiod = 64\n";
        let genesis = "[server]\nbind_host = \"::1\"\nbind_port = 1\nblock_time = \"6s\"\n\
                       [genesis]\ncurrency = \"x\"\ntime = 1\nexistential_deposit = 1\nfee = 1\nfinality_lag = 3\n";
        [("mixer", [ledger, mixer]), ("ledger", [genesis, ""]), ("wallet", [ledger, ""])].map(
            |(role, texts)| {
                let node = format!("[node]\nrole = \"{role}\"\nname = \"x\"\n");
                Config::parse(&[&node, texts[0], texts[1]].concat()).unwrap()
            },
        )
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
    fn settings_that_no_ledger_takes_are_refused() {
        let [mixer, ..] = configs();
        let page = mixer.page();
        for (sound, odd) in [
            ("period = 64", "period = 0"),
            ("period = 64", "period = 4097"),
            ("margin = \"1m\"", "margin = \"101years\""),
        ] {
            let text = page.replace(sound, odd);
            assert_ne!(text, page);
            assert!(Config::parse(&text).is_err(), "{odd}");
        }
    }

    #[test]
    fn every_setting_is_on_a_page() {
        for config in configs() {
            let whole = match &config {
                Config::Mixer(mixer) => table(mixer),
                Config::Ledger(ledger) => table(ledger),
                Config::Wallet(wallet) => table(wallet),
            };
            let names = |table: Table| -> BTreeSet<String> {
                let named = |(section, values): (String, toml::Value)| {
                    let values = values.as_table().unwrap().clone();
                    values.keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
                };
                table.into_iter().flat_map(named).collect()
            };
            assert_eq!(names(whole), names(config.page().parse().unwrap()));
        }
    }
}
