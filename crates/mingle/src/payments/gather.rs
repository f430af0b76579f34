//! Who may be asked: mixers from files, from earlier runs and from each other, reached and looked up.
//!
//! ```text
//! files, records, hosts ─► /info/peers of up to SOURCES of them ─► Peers::offer
//!                ─► members? the ledger says ─► sealed /pubkey answered: reached
//! ```
//! What always holds: nobody is on a route who did not prove his key just now; one source alone does not
//! choose the routes where there are two; work is bounded whatever sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mixing::Chance;
use money::Account;
use payment::document::{Host, PeerInfo, Signed};
use payment::effect::Change;
use payment::peers::{Peer, Peers, is_inside};
use tokio::task::JoinSet;

use super::chain::Chain;
use super::client::{Client, Silence};
use super::peer_file;

/// Where and for whom mixers are looked for.
pub struct Gatherer<'a> {
    /// Reaches mixers.
    pub client: &'a Arc<Client>,
    /// Says who is a member.
    pub chain: &'a Chain,
    /// The payer.
    pub own: Account,
    /// Mixers by address that may be asked whom they know.
    pub hosts: &'a [Host],
    /// Whether addresses inside a network are believed.
    pub inside: bool,
    /// Whether mixers for whom no member answers may be asked.
    pub unvouched: bool,
    /// Seconds of ledger time.
    pub date: u64,
}

/// What was found.
pub struct Gathered {
    /// The mixers, those who are fit marked as reached.
    pub peers: Peers,
    /// How many sources told us of others.
    pub sources: usize,
}

/// The table of peer infos in the records.
pub const TABLE: u8 = b'P';

/// How many mixers are asked for those they know.
pub const SOURCES: usize = 3;
/// The most mixers that are reached, drawn from all.
pub const REACHED_MAX: usize = 96;
/// The most identities that are looked up.
pub const IDENTITIES_MAX: usize = 256;
/// The most questions at one time.
const TALKS_MAX: usize = 16;

impl Gatherer<'_> {
    /// Looks for mixers, beginning with the infos known. Old infos still tell where to ask.
    pub async fn gather(&self, known: &[Vec<u8>], chance: &mut Chance) -> Gathered {
        let mut hosts: Vec<_> = self.hosts(known).into_iter().collect();
        chance.shuffle(&mut hosts);
        let answers = self.ask_sources(hosts).await;
        let sources = answers.len();
        let currency = self.client.currency().clone();
        let mut peers = Peers::new(currency, self.own, self.inside, chance.fork());
        for info in answers.iter().flatten().chain(known) {
            // What is old, ours or not wanted is no news.
            let _ = peers.offer(info, self.date);
        }
        self.look_up(&mut peers, chance).await;
        self.reach(&mut peers, chance).await;
        Gathered { peers, sources }
    }

    /// Where the infos say that mixers are, however old they are.
    fn hosts(&self, known: &[Vec<u8>]) -> BTreeSet<Host> {
        let currency = self.client.currency();
        let read = |raw: &Vec<u8>| {
            let info = Signed::<PeerInfo>::read(raw, currency, |info| Some(info.pubkey)).ok()?;
            let host = info.content().host.clone();
            (self.inside || !is_inside(&host.address)).then_some((info.content().pubkey, host))
        };
        let by_account: BTreeMap<_, _> = known.iter().filter_map(read).collect();
        by_account.into_values().chain(self.hosts.iter().cloned()).collect()
    }

    /// Asks one after the other until enough have answered.
    async fn ask_sources(&self, hosts: Vec<Host>) -> Vec<Vec<Vec<u8>>> {
        let (mut talks, mut answers) = (JoinSet::new(), Vec::new());
        let mut hosts = hosts.into_iter();
        while answers.len() < SOURCES {
            while answers.len() + talks.len() < SOURCES
                && let Some(host) = hosts.next()
            {
                let client = self.client.clone();
                talks.spawn(async move { source(&client, &host).await });
            }
            match talks.join_next().await {
                Some(Ok(Some(infos))) => answers.push(infos),
                Some(Ok(None) | Err(_)) => {}
                None => break,
            }
        }
        answers
    }

    async fn look_up(&self, peers: &mut Peers, chance: &mut Chance) {
        let identity = |peer: &Peer| peer.info().idty.as_ref().map(|(identity, _)| *identity);
        let identities: BTreeSet<_> = peers.iter().filter_map(identity).collect();
        let mut identities: Vec<_> = identities.into_iter().collect();
        chance.shuffle(&mut identities);
        for identity in identities.into_iter().take(IDENTITIES_MAX) {
            // A ledger that does not say leaves the mixer unvouched.
            let is = self.chain.connection().is_member(&identity).await.unwrap_or(false);
            peers.member(&identity, is);
        }
    }

    async fn reach(&self, peers: &mut Peers, chance: &mut Chance) {
        let may_serve = |peer: &&Peer| self.unvouched || peer.vouched().is_some();
        let fit = peers.iter().filter(may_serve).map(|peer| peer.info().clone());
        let mut fit: Vec<_> = fit.collect();
        chance.shuffle(&mut fit);
        fit.truncate(REACHED_MAX);
        let mut fit = fit.into_iter();
        let mut talks = JoinSet::new();
        loop {
            while talks.len() < TALKS_MAX
                && let Some(info) = fit.next()
            {
                let client = self.client.clone();
                talks.spawn(async move { (info.pubkey, proof(&client, &info).await) });
            }
            match talks.join_next().await {
                Some(Ok((account, proof))) => {
                    if let Some(newer) = proof.newer {
                        let _ = peers.offer(&newer, self.date);
                    }
                    peers.reached(&account, proof.is);
                }
                Some(Err(_)) => {}
                None => return,
            }
        }
    }
}

/// What came of asking a mixer for a proof of its key.
struct Proof {
    is: bool,
    newer: Option<Vec<u8>>,
}

/// Asks for a proof; if the key seems to be another by now, learns that one first.
async fn proof(client: &Client, info: &PeerInfo) -> Proof {
    match client.proves(info).await {
        Ok(()) => Proof { is: true, newer: None },
        Err(Silence::Unopened(_) | Silence::Forged) => {
            let newer = renewed(client, info).await;
            let is = match &newer {
                Some(newer) => client.proves(newer.content()).await.is_ok(),
                None => false,
            };
            Proof { is, newer: newer.map(|newer| newer.bytes().to_vec()) }
        }
        Err(_) => Proof { is: false, newer: None },
    }
}

/// What the mixer says of itself now.
async fn renewed(client: &Client, info: &PeerInfo) -> Option<Signed<PeerInfo>> {
    let answer = client.plain(&info.host, "/info").await.ok()?;
    let raw = peer_file::bytes(answer, "info")?;
    Signed::read(&raw, client.currency(), |newer: &PeerInfo| {
        Some(newer.pubkey).filter(|pubkey| *pubkey == info.pubkey)
    })
    .ok()
}

/// What a mixer says of itself and of others.
async fn source(client: &Client, host: &Host) -> Option<Vec<Vec<u8>>> {
    let answer = client.plain(host, "/info/peers").await.ok()?;
    let own = peer_file::bytes(answer.clone(), "info");
    let mut infos = peer_file::answered(answer)?;
    infos.extend(own);
    Some(infos)
}

/// What brings the records to who was reached: the next run begins there.
pub fn changes(peers: &Peers, saved: &[Vec<u8>]) -> Vec<Change> {
    let reached: BTreeMap<_, _> = peers
        .iter()
        .filter(|peer| peer.is_reached())
        .map(|peer| (key(&peer.info().pubkey), peer.bytes().to_vec()))
        .collect();
    // Nobody reached is no reason to forget everybody.
    let gone = saved.iter().filter(|key| !reached.is_empty() && !reached.contains_key(*key));
    let gone = gone.map(|key| Change { key: key.clone(), value: None });
    let gone: Vec<_> = gone.collect();
    let kept = reached.into_iter().map(|(key, info)| Change { key, value: Some(info) });
    gone.into_iter().chain(kept).collect()
}

fn key(account: &Account) -> Vec<u8> {
    [&[TABLE], &account.as_bytes()[..]].concat()
}
