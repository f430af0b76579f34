//! `mingle network show [FILE|DIR]`: a network list, readable.

use datagram::network::{Class, Network, Node, Role};
use datagram::wire;

use crate::table::Table;

/// What a list says, for people.
pub(super) fn text(network: &Network) -> String {
    let chains = chains(network);
    let mut text = format!("network {:?}\n\n", network.name);
    let mut classes = Table::new(&["class", "cell", "payload", "strategy"]);
    for class in Class::ALL {
        let settings = network.class(class);
        let size = settings.cell_size;
        let strategy = settings.strategy.to_string();
        let payload = wire::payload_size(size).to_string();
        classes.row([class.name().to_owned(), size.to_string(), payload, strategy]);
    }
    text += &classes.text();
    text.push('\n');
    let mut nodes = Table::new(&["node", "place", "address", "identity"]);
    for node in in_order(network) {
        let identity = node.identity.to_string();
        nodes.row([node.name.clone(), place(node), node.address.to_string(), identity]);
    }
    text += &nodes.text();
    text.push('\n');
    text += &match chains {
        0 => "no chain is possible: there must be a mix of tier 1 and an exit\n".to_owned(),
        1 => format!("1 chain is possible, of {} mixes and an exit\n", network.depth()),
        _ => format!("{chains} chains are possible, of {} mixes and an exit\n", network.depth()),
    };
    text
}

/// As chains pass them.
pub(super) fn in_order(network: &Network) -> impl Iterator<Item = &Node> {
    let mixes = (1..=network.depth()).flat_map(|tier| network.mixes(tier));
    mixes.chain(network.exits())
}

/// Where in chains a node is.
pub(super) fn place(node: &Node) -> String {
    match node.role {
        Role::Mix(tier) => format!("mix, tier {}", tier.get()),
        Role::Exit => "exit".to_owned(),
    }
}

/// How many chains there are to choose from.
fn chains(network: &Network) -> u128 {
    if network.depth() == 0 {
        return 0;
    }
    let mixes = (1..=network.depth()).map(|tier| network.mixes(tier).count() as u128);
    mixes.product::<u128>() * network.exits().count() as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(lines: &[(&str, Option<u8>)]) -> Network {
        let nodes = (1..).zip(lines).map(|(number, (name, tier))| {
            let mut chance = mixing::Chance::new([number; 32]);
            let identity = mixing::keys::IdentityKey::generate(&mut chance).identity();
            let tier = tier.map(|tier| datagram::Tier::new(tier).unwrap());
            let address = ([192, 0, 2, number], 700).into();
            Node {
                name: (*name).into(),
                identity,
                role: tier.map_or(Role::Exit, Role::Mix),
                address,
            }
        });
        let (small, large) = (datagram::ClassSettings::small(), datagram::ClassSettings::large());
        Network { name: "test".into(), small, large, nodes: nodes.collect() }
    }

    #[test]
    fn a_list_is_shown_in_the_order_of_chains_and_they_are_counted() {
        let list = [("out", None), ("b", Some(2)), ("a", Some(1)), ("A", Some(1)), ("off", None)];
        let network = listed(&list);
        let text = text(&network);
        let places = ["a ", "A ", "b ", "out ", "off "].map(|name| text.find(&format!("\n{name}")));
        assert!(places.is_sorted() && places[0].is_some(), "{text}");
        assert!(text.contains("4 chains are possible, of 2 mixes"), "{text}");
        assert!(text.contains(&network.nodes[1].identity.to_string()), "{text}");
        assert!(text.contains("threshold"), "{text}");
    }

    #[test]
    fn a_list_without_an_exit_has_no_chain() {
        assert!(text(&listed(&[("a", Some(1))])).contains("no chain is possible"));
        assert!(text(&listed(&[("out", None)])).contains("no chain is possible"));
    }
}
