//! The public network list on disk: `network.toml` ↔ `datagram::network::Network`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datagram::network::{ClassSettings, Network, Node, Role, Tier};
use mixing::strategy::Strategy;
use serde::{Deserialize, Serialize};

use crate::config::span;
use crate::drive::mailbox::NewList;
use crate::{Error, log};

/// The list's file name.
pub const FILE: &str = "network.toml";

/// Reads and checks a network list.
///
/// # Errors
/// When it is missing, or breaks a rule that the cores rely on.
pub fn read(path: &Path) -> Result<Network, Error> {
    let remedy = "ask who runs the network for its list and put it there";
    let text = std::fs::read_to_string(path).map_err(|why| Error::read(path, why, remedy))?;
    parse(&text).map_err(|why| Error::unfit(path, why))
}

/// Parses the text of a network list.
///
/// # Errors
/// A sentence for the operator.
pub fn parse(text: &str) -> Result<Network, String> {
    let list: List = toml::from_str(text).map_err(|why| why.to_string().trim_end().to_owned())?;
    let nodes = list.node.into_iter().map(Listed::into_core).collect::<Result<_, _>>()?;
    let network = Network {
        name: list.name,
        small: list.small.into_core(),
        large: list.large.into_core(),
        nodes,
    };
    network.check().map_err(|why| why.to_string())?;
    Ok(network)
}

/// Looks at the list from time to time and gives it to the node when it changed, for as long as
/// the node runs. A file that is missing or wrong for a while changes nothing.
pub(crate) async fn watch(path: PathBuf, node: NewList) {
    let mut former = tokio::fs::read_to_string(&path).await.ok();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(text) = tokio::fs::read_to_string(&path).await else { continue };
        if former.as_ref() == Some(&text) {
            continue;
        }
        match parse(&text) {
            Ok(list) => node.give(list),
            Err(why) => log::warning(format_args!(
                "{} changed, and this node goes on with the former list: {why}",
                path.display()
            )),
        }
        former = Some(text);
    }
}

/// How often a running node looks at its list.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The commented file that `parse` reads back to this very network.
///
/// # Errors
/// Never for a network that `check` accepts.
pub fn page(network: &Network) -> Result<String, String> {
    let small = class_lines(&network.small)?;
    let large = class_lines(&network.large)?;
    let name = toml::Value::String(network.name.clone());
    let mut page = format!(
        "# The network list. It is public and the same for everybody: it fixes what would otherwise\n\
         # divide the crowd. A change is a new list for all nodes and all entries.\n\
         name = {name}\n\
         \n\
         # Voice, games, short questions. cell_size: bytes of a cell on the first link.\n\
         [small]\n\
         {small}\
         \n\
         # Everything else.\n\
         [large]\n\
         {large}"
    );
    for node in &network.nodes {
        page.push('\n');
        page.push_str(&listed(node)?);
    }
    Ok(page)
}

/// The lines that list one node.
///
/// # Errors
/// Never for a node with a name that TOML can hold, and it holds every name.
pub fn listed(node: &Node) -> Result<String, String> {
    let entry = toml::to_string(&Listed::from_core(node)).map_err(|why| why.to_string())?;
    Ok(format!("[[node]]\n{entry}"))
}

/// A class's settings, each on a line.
fn class_lines(class: &ClassSettings) -> Result<String, String> {
    let table = toml::Table::try_from(ClassEntry::from_core(class));
    let table = table.map_err(|why| why.to_string())?;
    Ok(table.into_iter().map(|(setting, value)| format!("{setting} = {value}\n")).collect())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    name: String,
    small: ClassEntry,
    large: ClassEntry,
    #[serde(default)]
    node: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassEntry {
    cell_size: usize,
    strategy: StrategyEntry,
}

impl ClassEntry {
    fn into_core(self) -> ClassSettings {
        ClassSettings { cell_size: self.cell_size, strategy: self.strategy.into_core() }
    }

    fn from_core(class: &ClassSettings) -> Self {
        let strategy = StrategyEntry::from_core(&class.strategy);
        ClassEntry { cell_size: class.cell_size, strategy }
    }
}

/// `mixing::strategy::Strategy` with the names it has in files.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
enum StrategyEntry {
    None,
    Threshold {
        n: usize,
        #[serde(with = "span")]
        timeout: Duration,
    },
    Timed {
        #[serde(with = "span")]
        period: Duration,
    },
    Pool {
        #[serde(with = "span")]
        period: Duration,
        keep: usize,
        fraction: f64,
        #[serde(with = "span")]
        longest: Duration,
    },
    Poisson {
        #[serde(with = "span")]
        mean: Duration,
        #[serde(with = "span")]
        longest: Duration,
    },
}

impl StrategyEntry {
    fn into_core(self) -> Strategy {
        match self {
            StrategyEntry::None => Strategy::None,
            StrategyEntry::Threshold { n, timeout } => Strategy::Threshold { n, timeout },
            StrategyEntry::Timed { period } => Strategy::Timed { period },
            StrategyEntry::Pool { period, keep, fraction, longest } => {
                Strategy::Pool { period, keep, fraction, longest }
            }
            StrategyEntry::Poisson { mean, longest } => Strategy::Poisson { mean, longest },
        }
    }

    fn from_core(strategy: &Strategy) -> Self {
        match strategy.clone() {
            Strategy::None => StrategyEntry::None,
            Strategy::Threshold { n, timeout } => StrategyEntry::Threshold { n, timeout },
            Strategy::Timed { period } => StrategyEntry::Timed { period },
            Strategy::Pool { period, keep, fraction, longest } => {
                StrategyEntry::Pool { period, keep, fraction, longest }
            }
            Strategy::Poisson { mean, longest } => StrategyEntry::Poisson { mean, longest },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    role: ListedRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<u8>,
    address: SocketAddr,
    identity: String,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum ListedRole {
    Mix,
    Exit,
}

impl Listed {
    fn into_core(self) -> Result<Node, String> {
        let Listed { name, role, tier, address, identity } = self;
        let role = match (role, tier.map(Tier::new)) {
            (ListedRole::Mix, Some(Some(tier))) => Role::Mix(tier),
            (ListedRole::Mix, None) => return Err(format!("node {name:?}: a mix needs a tier")),
            (ListedRole::Mix, Some(None)) => {
                return Err(format!("node {name:?}: tiers go from 1 to 5"));
            }
            (ListedRole::Exit, None) => Role::Exit,
            (ListedRole::Exit, Some(_)) => {
                return Err(format!("node {name:?}: an exit has no tier; remove that line"));
            }
        };
        let identity = identity
            .parse()
            .map_err(|why| format!("node {name:?}: identity {identity:?}: {why}"))?;
        Ok(Node { name, identity, role, address })
    }

    fn from_core(node: &Node) -> Self {
        let (role, tier) = match node.role {
            Role::Mix(tier) => (ListedRole::Mix, Some(tier.get())),
            Role::Exit => (ListedRole::Exit, None),
        };
        let identity = node.identity.to_string();
        Listed { name: node.name.clone(), role, tier, address: node.address, identity }
    }
}

/// Reads a strategy from a command line: `none`, `timed:10ms`, `threshold:16,20ms`,
/// `pool:10ms,16,0.5,200ms` (period, keep, fraction, longest) or `poisson:10ms,100ms` (mean,
/// longest); a name alone takes the numbers shown here.
///
/// # Errors
/// A sentence that shows the forms.
pub fn strategy(text: &str) -> Result<Strategy, String> {
    let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
    let standard = match name {
        "none" => "",
        "timed" => "10ms",
        "threshold" => "16,20ms",
        "pool" => "10ms,16,0.5,200ms",
        "poisson" => "10ms,100ms",
        _ => return Err(strategy_usage(text)),
    };
    let numbers = if numbers.is_empty() { standard } else { numbers };
    let numbers: Vec<&str> = numbers.split(',').map(str::trim).collect();
    let whole = |text: &str| text.parse().map_err(|_| strategy_usage(text));
    let strategy = match (name, numbers.as_slice()) {
        ("none", [""]) => Strategy::None,
        ("timed", [period]) => Strategy::Timed { period: span::parse(period)? },
        ("threshold", [n, timeout]) => {
            Strategy::Threshold { n: whole(n)?, timeout: span::parse(timeout)? }
        }
        ("pool", [period, keep, fraction, longest]) => Strategy::Pool {
            period: span::parse(period)?,
            keep: whole(keep)?,
            fraction: fraction.parse().map_err(|_| strategy_usage(text))?,
            longest: span::parse(longest)?,
        },
        ("poisson", [mean, longest]) => {
            Strategy::Poisson { mean: span::parse(mean)?, longest: span::parse(longest)? }
        }
        _ => return Err(strategy_usage(text)),
    };
    strategy.check().map_err(|why| format!("{text:?} makes no sense as a strategy: {why}"))?;
    Ok(strategy)
}

fn strategy_usage(text: &str) -> String {
    format!(
        "{text:?} is no strategy; there are none, timed:10ms, threshold:16,20ms, \
         pool:10ms,16,0.5,200ms and poisson:10ms,100ms, and each name alone means these numbers"
    )
}

#[cfg(test)]
mod tests {
    use mixing::chance::Chance;
    use mixing::keys::IdentityKey;

    use super::*;

    fn network(strategy: Strategy) -> Network {
        let mut chance = Chance::new([7; 32]);
        let mut node = |name: &str, role, port| Node {
            name: name.to_owned(),
            identity: IdentityKey::generate(&mut chance).identity(),
            role,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        let nodes = vec![
            node("mix-1", Role::Mix(Tier::FIRST), 1),
            node("a \"quoted\"\nname", Role::Exit, 2),
        ];
        let large = ClassSettings { strategy, ..ClassSettings::large() };
        Network { name: "test".into(), small: ClassSettings::small(), large, nodes }
    }

    #[test]
    fn a_list_reads_back_what_it_writes_under_every_strategy() {
        for text in ["none", "timed", "threshold", "pool", "poisson", "threshold:3,105ms 7us"] {
            let network = network(strategy(text).unwrap());
            assert_eq!(parse(&page(&network).unwrap()).unwrap(), network, "{text}");
        }
    }

    #[test]
    fn what_is_no_strategy_is_refused_with_the_forms() {
        for text in ["", "fast", "timed:", "timed:10", "threshold:16", "none:1", "pool:1ms,2,x,3ms"]
        {
            if text != "timed:" {
                assert!(strategy(text).is_err(), "{text}");
            }
        }
        assert!(strategy("fast").unwrap_err().contains("threshold:16,20ms"));
    }

    #[test]
    fn a_list_with_a_mistake_is_refused_with_its_place() {
        let page = page(&network(Strategy::None)).unwrap();
        for (right, wrong, hint) in [
            ("tier = 1", "tier = 6", "1 to 5"),
            ("tier = 1\n", "", "needs a tier"),
            ("role = \"exit\"", "role = \"exit\"\ntier = 1", "no tier"),
            ("role = \"exit\"", "role = \"end\"", "exit"),
            ("[small]", "[small]\ncolour = 1", "colour"),
            ("127.0.0.1:2", "127.0.0.1:1", "listed twice"),
            ("identity = \"", "identity = \"!", "identity"),
        ] {
            let text = page.replacen(right, wrong, 1);
            assert_ne!(text, page, "{right}");
            let refusal = parse(&text).unwrap_err();
            assert!(refusal.contains(hint), "{refusal}");
        }
    }
}
