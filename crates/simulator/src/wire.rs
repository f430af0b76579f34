//! Between whom a fault strikes.

use mixing::Chance;

/// Which messages a fault concerns. Nodes are numbers in the plan's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// All.
    All,
    /// Those that a node sends: also what a cheating hop does to them.
    From(usize),
    /// Those between two nodes, both ways.
    Between(usize, usize),
    /// Those from the first to the second only.
    OneWay(usize, usize),
    /// Those between nodes whose bit is set and nodes whose bit is not: a partition.
    Across(u64),
}

impl Wire {
    /// Draws the wires that a fault strikes: those from a node, those between two, or all.
    pub(crate) fn draw(chance: &mut Chance, node: usize, (a, b): (usize, usize)) -> Wire {
        match chance.below(4) {
            0 => Wire::From(node),
            1 => Wire::Between(a, b),
            2 => Wire::OneWay(a, b),
            _ => Wire::All,
        }
    }

    /// Whether a message between these nodes is one of them.
    pub fn has(self, from: usize, to: usize) -> bool {
        match self {
            Wire::All => true,
            Wire::From(node) => node == from,
            Wire::Between(a, b) => (a, b) == (from, to) || (b, a) == (from, to),
            Wire::OneWay(a, b) => (a, b) == (from, to),
            Wire::Across(set) => (set >> from ^ set >> to) & 1 == 1,
        }
    }
}
