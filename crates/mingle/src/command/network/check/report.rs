//! What a check found, for people and for programs.

use std::time::{Duration, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use datagram::keyring::{CLOCKS_APART, EPOCH};
use datagram::network::{Network, Node};
use mixing::time::Date;
use serde_json::{Value, json};

use super::super::show;
use crate::survey::Finding;
use crate::table::Table;

/// What was learned of a whole list.
pub(super) struct Report<'a> {
    pub(super) network: &'a Network,
    /// In the order of the list.
    pub(super) findings: Vec<Finding>,
    /// By this machine's clock.
    pub(super) date: Date,
}

/// How far a node's clock is from this one's, as far as its key's epoch tells.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Difference {
    /// Its epoch has begun and not ended by this clock.
    Within,
    /// At least so far ahead of this clock.
    Ahead(Duration),
    /// At least so far behind it.
    Behind(Duration),
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&[
            "node",
            "place",
            "address",
            "answers",
            "key",
            "epoch",
            "clock",
            "large cells",
        ]);
        let mut wrong = String::new();
        for (node, finding) in self.nodes() {
            table.row([
                node.name.clone(),
                show::place(node),
                node.address.to_string(),
                finding.round_trip.map_or("no".into(), milliseconds),
                finding.announced.as_ref().map_or("-".into(), |a| HEXLOWER.encode(&a.fingerprint)),
                finding.announced.as_ref().map_or("-".into(), |a| epoch(a.begins, a.ends)),
                self.difference(finding).map_or("-".into(), Difference::text),
                self.cells(finding),
            ]);
            for why in self.wrong(finding) {
                wrong += &format!("  {}: {why}\n", node.name);
            }
        }
        let verdict = if wrong.is_empty() {
            "every node answers, and its largest cells pass both ways\n".to_owned()
        } else {
            format!("what is wrong:\n{wrong}")
        };
        let large = self.network.large.cell_size;
        let name = &self.network.name;
        format!("network {name:?}, largest cell {large} bytes\n\n{}\n{verdict}", table.text())
    }

    pub(super) fn json(&self) -> Value {
        let nodes = self.nodes().map(|(node, finding)| {
            let key = finding.announced.as_ref().map(|announced| {
                json!({
                    "fingerprint": HEXLOWER.encode(&announced.fingerprint),
                    "begins_ms": announced.begins.as_millis(),
                    "ends_ms": announced.ends.as_millis(),
                })
            });
            json!({
                "name": node.name,
                "place": show::place(node),
                "address": node.address,
                "identity": node.identity.to_string(),
                "answers": finding.round_trip.is_some(),
                "round_trip_ms": finding.round_trip.map(|time| time.as_secs_f64() * 1000.0),
                "key": key,
                "clock_difference_at_least_ms": self.difference(finding).map(Difference::millis),
                "carried": finding.carried,
                "wrong": self.wrong(finding),
            })
        });
        json!({
            "network": self.network.name,
            "largest_cell": self.network.large.cell_size,
            "ok": self.wrong_nodes() == 0,
            "nodes": nodes.collect::<Vec<_>>(),
        })
    }

    /// In the order in which chains pass them.
    fn nodes(&self) -> impl Iterator<Item = (&Node, &Finding)> {
        show::in_order(self.network).filter_map(|node| {
            let mut both = self.network.nodes.iter().zip(&self.findings);
            both.find(|(listed, _)| listed.identity == node.identity)
        })
    }

    pub(super) fn wrong_nodes(&self) -> usize {
        self.findings.iter().filter(|finding| !self.wrong(finding).is_empty()).count()
    }

    /// What somebody should repair, each a sentence with what to do.
    fn wrong(&self, finding: &Finding) -> Vec<String> {
        let mut wrong = Vec::new();
        let needed = self.network.large.cell_size;
        match (&finding.announced, finding.round_trip) {
            (None, None) if finding.unsent => wrong.push(
                "this machine has no way to its address: no route, or no address of that family"
                    .into(),
            ),
            (None, None) => wrong.push(
                "does not answer: it is down, its port is closed to this machine, its address or \
                 identity is another than listed, or the path carries not even 1232 bytes"
                    .into(),
            ),
            (None, Some(_)) if finding.unsigned => wrong.push(
                "answers with a key that is not signed for this network: its list has another name"
                    .into(),
            ),
            (None, Some(_)) => wrong.push("answers in part only: the path loses much".into()),
            (Some(announced), _) => {
                let (begins, ends) = (announced.begins.as_millis(), announced.ends.as_millis());
                if u128::from(ends.saturating_sub(begins)) > EPOCH.as_millis() {
                    wrong.push("its key's epoch is longer than others accept".into());
                }
            }
        }
        if finding.round_trip.is_some() && finding.carried < needed {
            wrong.push(format!(
                "the path carries {} bytes and not {needed}: the largest cells do not pass, so it \
                 must be widened, or the network list needs a smaller cell_size for large",
                finding.carried
            ));
        }
        if let Some(Difference::Ahead(far) | Difference::Behind(far)) = self.difference(finding)
            && far > CLOCKS_APART
        {
            wrong.push("its clock or this one is so far off that its key is refused".into());
        }
        wrong
    }

    fn cells(&self, finding: &Finding) -> String {
        match finding.carried {
            0 => "-".into(),
            carried if carried >= self.network.large.cell_size => "pass".into(),
            carried => format!("up to {carried}"),
        }
    }

    fn difference(&self, finding: &Finding) -> Option<Difference> {
        let announced = finding.announced.as_ref()?;
        let here = self.date.as_millis();
        let (begins, ends) = (announced.begins.as_millis(), announced.ends.as_millis());
        Some(if begins > here {
            Difference::Ahead(Duration::from_millis(begins - here))
        } else if ends < here {
            Difference::Behind(Duration::from_millis(here - ends))
        } else {
            Difference::Within
        })
    }
}

impl Difference {
    fn text(self) -> String {
        let shown = |far: Duration| {
            let coarse = Duration::from_secs(far.as_secs());
            humantime::format_duration(coarse).to_string()
        };
        match self {
            Difference::Ahead(far) | Difference::Behind(far) if far < SLIGHT => "agrees".into(),
            Difference::Within => "agrees".into(),
            Difference::Ahead(far) => format!("{} ahead", shown(far)),
            Difference::Behind(far) => format!("{} behind", shown(far)),
        }
    }

    /// Ahead is positive.
    fn millis(self) -> i64 {
        let millis = |far: Duration| i64::try_from(far.as_millis()).unwrap_or(i64::MAX);
        match self {
            Difference::Within => 0,
            Difference::Ahead(far) => millis(far),
            Difference::Behind(far) => -millis(far),
        }
    }
}

/// Less than two clocks that are both right may differ on the way.
const SLIGHT: Duration = Duration::from_secs(2);

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// From when until when, in UTC.
fn epoch(begins: Date, ends: Date) -> String {
    let shown = |date: Date| {
        // A date that no calendar has is a lie; it is judged elsewhere.
        let since = Duration::from_millis(date.as_millis().min(LAST_SHOWN));
        humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
    };
    let (begins, ends) = (shown(begins), shown(ends));
    let clock = |text: &str| text.get(11..16).unwrap_or("").to_owned();
    format!("{} {}-{} UTC", begins.get(..10).unwrap_or(""), clock(&begins), clock(&ends))
}

/// The last millisecond of the year 9999.
const LAST_SHOWN: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use datagram::keys::Announced;
    use mixing::keys::IdentityKey;

    use super::*;

    const HERE: u64 = 1_700_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn report(network: &Network, finding: Finding) -> Report<'_> {
        Report { network, findings: vec![finding], date: Date::from_millis(HERE) }
    }

    fn listed() -> Network {
        let mut chance = mixing::Chance::new([1; 32]);
        let identity = IdentityKey::generate(&mut chance).identity();
        let role = datagram::Role::Mix(datagram::Tier::FIRST);
        let node = Node { name: "a".into(), identity, role, address: ([127, 0, 0, 1], 1).into() };
        let (small, large) = (datagram::ClassSettings::small(), datagram::ClassSettings::large());
        Network { name: "test".into(), small, large, nodes: vec![node] }
    }

    fn good(begins: u64) -> Finding {
        let (begins, ends) = (Date::from_millis(begins), Date::from_millis(begins + HOUR));
        Finding {
            announced: Some(Announced { fingerprint: [0xAB; 8], begins, ends }),
            unsigned: false,
            round_trip: Some(Duration::from_micros(1_500)),
            carried: 1404,
            unsent: false,
        }
    }

    #[test]
    fn a_node_that_answers_in_full_is_right() {
        let network = listed();
        let report = report(&network, good(HERE - HOUR / 2));
        assert_eq!(report.wrong_nodes(), 0);
        let text = report.text();
        for part in ["1.5 ms", "abababababababab", "2023-11-14 21:43-22:43 UTC", "agrees", "pass"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(report.json()["nodes"][0]["clock_difference_at_least_ms"], 0);
        assert_eq!(report.json()["ok"], true);
    }

    #[test]
    fn each_thing_that_is_wrong_has_a_sentence() {
        let network = listed();
        let silent = Finding::default();
        for (finding, hint) in [
            (silent.clone(), "does not answer"),
            (Finding { unsent: true, ..silent }, "no way to its address"),
            (Finding { carried: 1372, ..good(HERE) }, "carries 1372 bytes and not 1404"),
            (Finding { announced: None, unsigned: true, ..good(HERE) }, "not signed"),
            (Finding { announced: None, ..good(HERE) }, "in part only"),
            (good(HERE - 30 * HOUR), "so far off"),
            (good(HERE + 27 * HOUR), "so far off"),
        ] {
            let report = report(&network, finding);
            assert_eq!(report.wrong_nodes(), 1, "{hint}");
            assert!(report.text().contains(hint), "{hint}: {}", report.text());
            assert_eq!(report.json()["ok"], false);
        }
    }

    #[test]
    fn a_clock_that_is_a_little_off_is_told_and_not_wrong() {
        let network = listed();
        for (begins, shown, millis) in [
            (HERE + HOUR, "1h ahead", 3_600_000),
            (HERE - 3 * HOUR, "2h behind", -7_200_000),
            (HERE + 1, "agrees", 1),
        ] {
            let report = report(&network, good(begins));
            assert_eq!(report.wrong_nodes(), 0);
            assert!(report.text().contains(shown), "{}", report.text());
            assert_eq!(report.json()["nodes"][0]["clock_difference_at_least_ms"], millis);
        }
    }
}
