//! The mixers we know: who may be asked, and which of them form routes.
//!
//! What always holds: at most [`PEERS_MAX`] peers, one key per host and port, the newest info of each;
//! nobody is passed on or used before we reached him. Absent: reaching them; the shell does, and says
//! so with [`Peers::reached`]. What peers say of each other is not believed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mixing::Chance;
use money::Account;

use crate::document::{
    BadDocument, Currency, Host, IdentitySignature, LIFE_S, PeerInfo, Signed, peer_hash,
};

/// The mixers that one mixer or payer knows.
pub struct Peers {
    currency: Currency,
    own: Account,
    /// Whether addresses inside a network are believed: tests and private networks.
    inside: bool,
    /// Who gives way is drawn, so that nobody can arrange it.
    chance: Chance,
    peers: BTreeMap<Account, Peer>,
    by_hash: BTreeMap<[u8; 32], Account>,
    by_host: BTreeMap<Host, Account>,
}

/// One of them.
pub struct Peer {
    info: Signed<PeerInfo>,
    /// The identity that signed for it, if its signature holds.
    identity: Option<Account>,
    /// Whether that identity is a member, when last looked up.
    member: bool,
    /// Whether we reached it and it proved its key.
    reached: bool,
}

/// The most peers that are known.
pub const PEERS_MAX: usize = 1000;

/// How far in the future an info may be dated, in seconds.
pub const AHEAD_MAX_S: u64 = 3600;

impl Peer {
    /// What it says of itself.
    pub fn info(&self) -> &PeerInfo {
        self.info.content()
    }

    /// What it says of itself, signed.
    pub fn signed(&self) -> &Signed<PeerInfo> {
        &self.info
    }

    /// Its info as it came.
    pub fn bytes(&self) -> &[u8] {
        self.info.bytes()
    }

    /// The member who answers for it.
    pub fn vouched(&self) -> Option<Account> {
        self.identity.filter(|_| self.member)
    }

    /// Whether we reached it.
    pub fn is_reached(&self) -> bool {
        self.reached
    }
}

impl Peers {
    /// Knows nobody yet.
    pub fn new(currency: Currency, own: Account, inside: bool, chance: Chance) -> Self {
        let (peers, by_hash, by_host) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { currency, own, inside, chance, peers, by_hash, by_host }
    }

    /// Takes a peer info. `date` is seconds of ledger time.
    ///
    /// # Errors
    /// Why it is not taken; see [`Unwanted`].
    pub fn offer(&mut self, bytes: &[u8], date: u64) -> Result<Account, Unwanted> {
        let info = Signed::<PeerInfo>::read(bytes, &self.currency, |info| Some(info.pubkey))?;
        let account = info.content().pubkey;
        self.check(&info, date)?;
        let identity = self.identity(info.content(), date)?;
        let host = info.content().host.clone();
        if let Some(holder) = self.by_host.get(&host).copied().filter(|holder| *holder != account) {
            // Who proved its key there keeps the place.
            if self.peers.get(&holder).is_some_and(|peer| peer.reached) {
                return Err(Unwanted::HostTaken);
            }
            self.remove(&holder);
        }
        if !self.peers.contains_key(&account) && self.peers.len() >= PEERS_MAX {
            self.make_room()?;
        }
        let before = self.remove(&account);
        let same =
            before.as_ref().filter(|peer| peer.identity == identity && peer.info().host == host);
        let (member, reached) = same.map_or((false, false), |peer| (peer.member, peer.reached));
        self.by_hash.insert(peer_hash(&self.currency, &account), account);
        self.by_host.insert(host, account);
        self.peers.insert(account, Peer { info, identity, member, reached });
        Ok(account)
    }

    fn check(&self, info: &Signed<PeerInfo>, date: u64) -> Result<(), Unwanted> {
        let PeerInfo { pubkey, sigtime, host, .. } = info.content();
        if *pubkey == self.own {
            return Err(Unwanted::Ourselves);
        }
        if *sigtime > date.saturating_add(AHEAD_MAX_S) {
            return Err(Unwanted::FromTheFuture);
        }
        if sigtime.saturating_add(LIFE_S) <= date {
            return Err(Unwanted::Expired);
        }
        if !self.inside && is_inside(&host.address) {
            return Err(Unwanted::InsideAddress);
        }
        let newer = self.peers.get(pubkey).filter(|peer| peer.info().sigtime >= *sigtime);
        newer.map_or(Ok(()), |_| Err(Unwanted::NotNewer))
    }

    fn identity(&self, info: &PeerInfo, date: u64) -> Result<Option<Account>, Unwanted> {
        let Some((idty, signature)) = &info.idty else { return Ok(None) };
        let signed = Signed::<IdentitySignature>::read(signature, &self.currency, |_| Some(*idty))?;
        match signed.content().pubkey == info.pubkey && signed.content().holds_at(date) {
            true => Ok(Some(*idty)),
            false => Err(Unwanted::NotVouched),
        }
    }

    /// Drops one of those whom nobody vouches for and whom we did not reach.
    fn make_room(&mut self) -> Result<(), Unwanted> {
        let spare = self.peers.iter().filter(|(_, peer)| !peer.reached && peer.vouched().is_none());
        let spare: Vec<_> = spare.map(|(account, _)| *account).collect();
        let drawn = self.chance.pick(&spare).ok_or(Unwanted::Full)?;
        self.remove(drawn);
        Ok(())
    }

    fn remove(&mut self, account: &Account) -> Option<Peer> {
        let peer = self.peers.remove(account)?;
        self.by_hash.remove(&peer_hash(&self.currency, account));
        self.by_host.remove(&peer.info().host);
        Some(peer)
    }

    /// Drops infos that have lived their day. `date` is seconds of ledger time.
    pub fn expire(&mut self, date: u64) {
        let over = |peer: &Peer| peer.info().sigtime.saturating_add(LIFE_S) <= date;
        let old: Vec<_> = self.peers.iter().filter(|(_, p)| over(p)).map(|(a, _)| *a).collect();
        for account in old {
            self.remove(&account);
        }
    }

    /// Says that a peer was reached and proved its key, or that it was not.
    pub fn reached(&mut self, account: &Account, is: bool) {
        if let Some(peer) = self.peers.get_mut(account) {
            peer.reached = is;
        }
    }

    /// Says whether an identity is a member on the final chain.
    pub fn member(&mut self, identity: &Account, is: bool) {
        for peer in self.peers.values_mut().filter(|peer| peer.identity == Some(*identity)) {
            peer.member = is;
        }
    }

    /// The peer with this account.
    pub fn find(&self, account: &Account) -> Option<&Peer> {
        self.peers.get(account)
    }

    /// The peer with this hash.
    pub fn by_hash(&self, hash: &[u8; 32]) -> Option<&Peer> {
        self.by_hash.get(hash).and_then(|account| self.peers.get(account))
    }

    /// All of them, by account.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }
}

/// Whether an address leads into somebody's own network rather than out of it.
pub fn is_inside(address: &str) -> bool {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || a >= 240
                || (a == 100 && b & 0xc0 == 64)
        }
        Ok(IpAddr::V6(v6)) => {
            let first = v6.segments()[0];
            v6.to_ipv4().is_some_and(|v4| is_inside(&v4.to_string()))
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
        }
        Err(_) => {
            let name = bare.trim_end_matches('.').to_ascii_lowercase();
            let inside = [".local", ".localhost", ".internal", ".lan", ".home.arpa"];
            // Without a dot a name is one of this network; one that ends in a number is an address in
            // disguise, which resolvers read as C did: `127.1`, `0x7f.0.0.0x1`.
            !name.contains('.')
                || inside.iter().any(|end| name.ends_with(end))
                || name.rsplit('.').next().is_some_and(is_number)
        }
    }
}

/// Whether the last part of a name is a number, in digits of any base that C knows.
fn is_number(end: &str) -> bool {
    let hex = end.strip_prefix("0x").map(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
    hex.unwrap_or_else(|| end.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Why a peer info is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// It is no peer info, or signed by another.
    Document(BadDocument),
    /// It is our own.
    Ourselves,
    /// Dated more than an hour ahead.
    FromTheFuture,
    /// More than a day old.
    Expired,
    /// One at least as new is known.
    NotNewer,
    /// Its address leads inside a network.
    InsideAddress,
    /// Another key proved itself at this host and port.
    HostTaken,
    /// Its identity signature is another mixer's, or has run out.
    NotVouched,
    /// [`PEERS_MAX`] are known, all reached or vouched for.
    Full,
}

impl std::fmt::Display for Unwanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Document(why) => why.fmt(f),
            Self::Ourselves => f.write_str("this is our own peer info"),
            Self::FromTheFuture => f.write_str("it is dated more than an hour ahead"),
            Self::Expired => f.write_str("it is more than a day old"),
            Self::NotNewer => f.write_str("one at least as new is known"),
            Self::InsideAddress => f.write_str("its address leads inside a network"),
            Self::HostTaken => f.write_str("another mixer proved itself at this host and port"),
            Self::NotVouched => f.write_str("its identity signature is not for it, or has run out"),
            Self::Full => f.write_str("as many mixers are known as there may be"),
        }
    }
}

impl From<BadDocument> for Unwanted {
    fn from(why: BadDocument) -> Self {
        Self::Document(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Terms;
    use mixing::envelope::EnvelopeKey;
    use money::{AccountKey, Amount};

    const DATE: u64 = 1_700_000_000;

    fn here() -> Currency {
        Currency::Genesis([7; 32])
    }

    fn key(name: u8) -> AccountKey {
        AccountKey::from_seed([name; 32])
    }

    fn info(name: u8) -> PeerInfo {
        let enckey = EnvelopeKey::generate(&mut Chance::new([name; 32])).public().clone();
        let none = Amount::ZERO;
        let terms = Terms {
            least: Amount::from_units(100),
            fee: none,
            return_cost: none,
            company: 1,
            wait_max_s: 60,
            keep_s: 86_400,
        };
        let host = Host { address: format!("mixer{name}.example.org"), port: 80 };
        let pubkey = key(name).account();
        PeerInfo { pubkey, sigtime: DATE, host, idty: None, enckey, terms, peers: vec![] }
    }

    fn signed(info: PeerInfo, name: u8) -> Vec<u8> {
        Signed::make(info, &here(), &key(name)).bytes().to_vec()
    }

    fn peers() -> Peers {
        Peers::new(here(), key(99).account(), false, Chance::new([9; 32]))
    }

    fn changed(change: impl FnOnce(&mut PeerInfo)) -> Vec<u8> {
        let mut info = info(1);
        change(&mut info);
        signed(info, 1)
    }

    #[test]
    fn the_newest_info_wins_and_odd_dates_are_refused() {
        let mut peers = peers();
        let account = key(1).account();
        assert_eq!(peers.offer(&signed(info(1), 1), DATE), Ok(account));
        assert_eq!(peers.offer(&signed(info(1), 1), DATE), Err(Unwanted::NotNewer));
        assert_eq!(peers.offer(&changed(|i| i.sigtime += 1), DATE), Ok(account));
        assert_eq!(peers.offer(&changed(|i| i.sigtime -= 1), DATE), Err(Unwanted::NotNewer));
        let future = changed(|i| i.sigtime += AHEAD_MAX_S + 2);
        assert_eq!(peers.offer(&future, DATE), Err(Unwanted::FromTheFuture));
        assert_eq!(peers.offer(&changed(|i| i.sigtime -= LIFE_S), DATE), Err(Unwanted::Expired));
        peers.expire(DATE + LIFE_S + 1);
        assert!(peers.find(&account).is_none());
    }

    #[test]
    fn nobody_takes_the_place_of_one_who_proved_his_key() {
        let mut peers = peers();
        let first = peers.offer(&signed(info(1), 1), DATE).unwrap();
        let mut other = info(2);
        other.host = info(1).host;
        let second = peers.offer(&signed(other.clone(), 2), DATE).unwrap();
        assert!(peers.find(&first).is_none(), "he never proved his");
        peers.reached(&second, true);
        assert_eq!(peers.offer(&signed(info(1), 1), DATE), Err(Unwanted::HostTaken));
        // Moving away ends the proof.
        other.host.port += 1;
        other.sigtime += 1;
        peers.offer(&signed(other, 2), DATE).unwrap();
        assert!(!peers.find(&second).unwrap().is_reached());
        assert!(peers.offer(&signed(info(1), 1), DATE).is_ok());
    }

    #[test]
    fn who_gives_way_when_all_places_are_taken_is_drawn_among_those_who_proved_nothing() {
        let offered = |seed: u8| {
            let mut peers = Peers::new(here(), key(99).account(), false, Chance::new([seed; 32]));
            let accounts: Vec<_> = (0..PEERS_MAX + 20)
                .map(|number| {
                    let mut secret = [3; 32];
                    secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
                    let key = AccountKey::from_seed(secret);
                    let host = Host { address: format!("mixer{number}.example.org"), port: 80 };
                    let info = PeerInfo { pubkey: key.account(), host, ..info(1) };
                    let bytes = Signed::make(info, &here(), &key).bytes().to_vec();
                    let account = peers.offer(&bytes, DATE).unwrap();
                    peers.reached(&account, number < 10);
                    account
                })
                .collect();
            assert_eq!(peers.iter().count(), PEERS_MAX);
            assert!(accounts[..10].iter().all(|account| peers.find(account).is_some()));
            accounts.into_iter().filter(|account| peers.find(account).is_none()).collect::<Vec<_>>()
        };
        assert_eq!(offered(1).len(), 20);
        assert_ne!(offered(1), offered(2));
    }

    #[test]
    fn an_identity_answers_only_for_the_mixer_it_signed() {
        let mut peers = peers();
        let vouch = |mixer: u8, expiry| {
            let content = IdentitySignature { pubkey: key(mixer).account(), sigtime: DATE, expiry };
            let bytes = Signed::make(content, &here(), &key(50)).bytes().to_vec();
            Some((key(50).account(), bytes))
        };
        let wrong = changed(|i| i.idty = vouch(2, DATE + 9));
        assert_eq!(peers.offer(&wrong, DATE), Err(Unwanted::NotVouched));
        let over = changed(|i| i.idty = vouch(1, DATE));
        assert_eq!(peers.offer(&over, DATE), Err(Unwanted::NotVouched));
        let account = peers.offer(&changed(|i| i.idty = vouch(1, DATE + 9)), DATE).unwrap();
        assert_eq!(peers.find(&account).unwrap().vouched(), None, "nobody said he is a member");
        peers.member(&key(50).account(), true);
        assert_eq!(peers.find(&account).unwrap().vouched(), Some(key(50).account()));
    }

    #[test]
    fn addresses_inside_are_known_in_all_their_forms() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "[::1]",
            "fe80::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "localhost",
            "printer.local",
            "box",
            "224.0.0.1",
            "255.255.255.255",
            "127.1",
            "2130706433",
            "0x7f.0.0.0x1",
            "127.0.0.0X1.",
            "a.localhost.",
        ] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in ["93.184.216.34", "2001:db8::1", "example.org", "abc.onion"] {
            assert!(!is_inside(outside), "{outside}");
        }
        let refused = peers().offer(&changed(|i| i.host.address = "10.0.0.1".into()), DATE);
        assert_eq!(refused, Err(Unwanted::InsideAddress));
    }

    #[test]
    fn a_host_that_would_break_a_url_is_no_host() {
        for odd in ["a/b", "a@b", "a b", "a?b", "", "a\r\nb", "é"] {
            let bytes = changed(|i| i.host.address = odd.into());
            assert!(matches!(peers().offer(&bytes, DATE), Err(Unwanted::Document(_))), "{odd}");
        }
    }
}
