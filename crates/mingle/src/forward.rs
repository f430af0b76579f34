//! A forward: an address here that stands for one destination behind the chain.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use datagram::Destination;
use datagram::network::Class;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `127.0.0.1:5353=9.9.9.9:53` or, naming its class, `127.0.0.1:5353=9.9.9.9:53,small`.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Where applications send to.
    pub listen: SocketAddr,
    /// Where it comes out.
    pub to: Destination,
    /// The class of its channels.
    pub class: Class,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (listen, rest) = text.split_once('=').ok_or_else(|| usage(text, "no \"=\" in it"))?;
        let (to, class) = match rest.rsplit_once(',') {
            Some((to, class)) => {
                (to, class.parse().map_err(|why| usage(text, &format!("{class:?}: {why}")))?)
            }
            None => (rest, Class::Large),
        };
        let listen = listen
            .parse()
            .map_err(|why| usage(text, &format!("{listen:?} to listen at: {why}")))?;
        let to: Destination =
            to.parse().map_err(|why| usage(text, &format!("{to:?} to send to: {why}")))?;
        if to.port == 0 {
            return Err(usage(text, "nobody is at port 0 of the destination"));
        }
        Ok(Forward { listen, to, class })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={},{}", self.listen, self.to, self.class)
    }
}

impl Serialize for Forward {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Forward {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

fn usage(text: &str, why: &str) -> String {
    format!(
        "{text:?} is no forward ({why}); write LISTEN=DEST or LISTEN=DEST,CLASS, such as \
         127.0.0.1:5353=9.9.9.9:53,small"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_reads_back_what_it_prints() {
        for text in [
            "127.0.0.1:5353=9.9.9.9:53,small",
            "[::1]:5353=[2620:fe::fe]:53,large",
            "127.0.0.1:1=localhost:7,large",
        ] {
            assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
        }
        let plain: Forward = "127.0.0.1:5353=9.9.9.9:53".parse().unwrap();
        assert_eq!(plain.class, Class::Large);
    }

    #[test]
    fn what_is_no_forward_is_refused_with_an_example() {
        for text in [
            "",
            "=",
            "9.9.9.9:53",
            "127.0.0.1=9.9.9.9:53",
            "127.0.0.1:1=9.9.9.9:53,huge",
            "127.0.0.1:1=9.9.9.9:0",
        ] {
            assert!(text.parse::<Forward>().unwrap_err().contains("LISTEN=DEST"), "{text}");
        }
    }
}
