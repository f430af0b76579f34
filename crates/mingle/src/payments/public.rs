//! The public address: what most of at least three mixers say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use payment::document::{Host, PeerInfo, Unverified};
use payment::ubjson::Value;

use super::client::Client;
use super::peer_file;
use crate::Error;

/// The fewest mixers that must have answered.
pub const VOICES_LEAST: usize = 3;
/// The most that are asked.
const VOICES_MOST: usize = 9;

/// Asks the mixers in these files which address this machine has.
///
/// # Errors
/// When fewer than [`VOICES_LEAST`] answer, or most of them do not say the same.
pub async fn address(client: &Client, files: &[PathBuf]) -> Result<String, Error> {
    let mut said = BTreeMap::<String, usize>::new();
    let mut voices = 0;
    for host in hosts(client, files)? {
        let Ok(answer) = client.plain(&host, "/address").await else { continue };
        let Some(Value::Text(address)) = peer_file::entry(answer, "address") else { continue };
        // One that sees us inside its own network cannot know.
        if address.parse::<std::net::IpAddr>().is_ok() && !payment::peers::is_inside(&address) {
            *said.entry(address).or_default() += 1;
            voices += 1;
        }
        if voices == VOICES_MOST {
            break;
        }
    }
    most(said, voices).ok_or_else(|| {
        Error::Failed(format!(
            "{voices} mixers said which address this machine has, and there must be {VOICES_LEAST} of whom \
             most agree: name it with --public-host"
        ))
    })
}

fn most(said: BTreeMap<String, usize>, voices: usize) -> Option<String> {
    let (address, count) = said.into_iter().max_by_key(|(_, count)| *count)?;
    (voices >= VOICES_LEAST && count * 2 > voices).then_some(address)
}

fn hosts(client: &Client, files: &[PathBuf]) -> Result<Vec<Host>, Error> {
    let mut hosts = Vec::new();
    for file in files {
        for info in peer_file::read(file)? {
            // Whether it is true does not matter here: several are asked.
            if let Ok(info) = Unverified::<PeerInfo>::parse(&info, client.currency()) {
                hosts.push(info.content().host.clone());
            }
        }
    }
    hosts.sort();
    hosts.dedup_by(|one, other| one.address == other.address);
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_at_least_three_must_agree() {
        let said = |counts: &[(&str, usize)]| {
            let voices = counts.iter().map(|(_, count)| count).sum();
            let counts = counts.iter().map(|(address, count)| (address.to_string(), *count));
            most(counts.collect(), voices)
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[("192.0.2.1", 2)]), None, "two may be one person");
        assert_eq!(said(&[("192.0.2.1", 3)]), Some("192.0.2.1".into()));
        assert_eq!(said(&[("192.0.2.1", 2), ("192.0.2.2", 1)]), Some("192.0.2.1".into()));
        assert_eq!(said(&[("192.0.2.1", 2), ("192.0.2.2", 2)]), None);
    }
}
