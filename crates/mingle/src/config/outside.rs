//! An exit's side towards destinations: its sockets, its names and its policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use datagram::Policy;
use serde::{Deserialize, Serialize};

/// The sockets towards destinations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outside {
    /// The addresses they leave from: one per family served.
    pub addresses: Vec<IpAddr>,
    /// Sockets at one time; each channel has at most one per family.
    pub sockets_max: usize,
    /// Who is asked about names: nobody named means whom the system asks.
    pub resolvers: Vec<SocketAddr>,
    /// Questions about names under way at one time.
    pub names_at_once: usize,
    /// Further questions that wait; beyond these, a name is answered with nothing.
    pub names_waiting: usize,
}

impl Default for Outside {
    fn default() -> Self {
        Outside {
            addresses: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            sockets_max: 16_384,
            resolvers: Vec::new(),
            names_at_once: 64,
            names_waiting: 1024,
        }
    }
}

impl Outside {
    pub(super) fn check(&self) -> Result<(), String> {
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            if self.addresses.iter().filter(|address| family(address)).count() > 1 {
                return Err("outside.addresses takes one IPv4 and one IPv6 address".into());
            }
        }
        if self.names_at_once == 0 {
            return Err("outside.names_at_once must be at least 1".into());
        }
        Ok(())
    }
}

/// Which destinations are served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Served although the policy would refuse them.
    pub allow: Vec<String>,
    /// Refused although the policy would serve them.
    pub deny: Vec<String>,
    /// The exit's own addresses, besides those of its interfaces.
    pub own: Vec<IpAddr>,
    /// Let anyone answer, not only those the channel wrote to.
    pub open_filtering: bool,
}

impl PolicyConfig {
    /// The policy as the core wants it, with the addresses that this machine has.
    ///
    /// # Errors
    /// A sentence about the prefix that is none.
    pub fn core(&self, mut own: Vec<IpAddr>) -> Result<Policy, String> {
        let prefixes = |setting: &str, texts: &[String]| {
            let parse = |text: &String| {
                text.parse().map_err(|why| {
                    format!("{setting} has {text:?}, which is no prefix such as 127.0.0.0/8: {why}")
                })
            };
            texts.iter().map(parse).collect::<Result<_, _>>()
        };
        own.extend(&self.own);
        Ok(Policy {
            allow: prefixes("policy.allow", &self.allow)?,
            deny: prefixes("policy.deny", &self.deny)?,
            own,
            open_filtering: self.open_filtering,
        })
    }
}
