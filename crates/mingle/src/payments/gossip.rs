//! How mixers come to know each other: infos are told, asked for, and believed once reached.
//!
//! ```text
//! files, records, /new ─► Peers::offer ─► sealed /pubkey answered? ─► reached: listed, asked, told on
//! every hour: own info, signed anew ─► /new at everyone reached;  now and then: /peers of one of them
//! ```
//! A sealed command can be answered only by who has the secret half of `enckey`, which the account
//! signed: that is the proof, and a fresh one each time.
//!
//! What always holds: nobody is contacted oftener than [`RETRY_LEAST`]; at most [`TALKS_MAX`] are at one
//! time, and [`STRANGERS_MAX`] of those who were not reached yet, whatever strangers announce.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mixing::{Chance, Time};
use money::Account;
use payment::document::{Host, PeerInfo};
use payment::effect::{Change, Effect};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::chain::{self, Chain};
use super::client::{Client, Silence};
use super::config::MixerConfig;
use super::identity::{self, Vouching};
use super::mixer::Handle;
use super::store::Record;
use super::{peer_file, settings};
use crate::clock::Clock;
use crate::{Error, log};

/// The task that keeps the mixer's acquaintances.
pub(super) struct Gossip {
    handle: Handle,
    client: Arc<Client>,
    chain: Arc<Chain>,
    clock: Clock,
    host: Host,
    identity: Option<Vouching>,
    files: Vec<PathBuf>,
    /// Who is asked as long as nobody is known.
    hosts: Vec<Host>,
    news: mpsc::Receiver<Account>,
    known: BTreeMap<Account, Acquaintance>,
    /// What the records have, by account: when it was signed.
    saved: BTreeMap<Account, u64>,
    /// The own info that is told, and when it was signed; no bytes before the first.
    own: watch::Sender<(u64, Vec<u8>)>,
    /// When somebody's list was asked for last, and for how long that will do.
    asked_at: Option<Time>,
    lists: Duration,
    /// Free places for contacts to those who were not reached yet.
    strangers: Arc<Semaphore>,
    chance: Chance,
}

/// What is known of reaching one mixer.
#[derive(Default)]
struct Acquaintance {
    /// When it was contacted last.
    last: Option<Time>,
    /// When it is to be contacted again.
    next: Option<Time>,
    failures: u32,
    /// The own info that it has.
    told: u64,
}

/// Tells the task that somebody should be looked at soon, and what this mixer says of itself.
#[derive(Clone)]
pub(super) struct News {
    sender: mpsc::Sender<Account>,
    own: watch::Receiver<(u64, Vec<u8>)>,
}

impl News {
    /// Somebody is new, or did not answer.
    pub(super) fn look_at(&self, account: Account) {
        // A full queue is no loss: everybody is looked at in time.
        let _ = self.sender.try_send(account);
    }

    /// The own peer info, once the ledger's time is known.
    pub(super) fn own(&self) -> Option<Vec<u8>> {
        Some(self.own.borrow().1.clone()).filter(|info| !info.is_empty())
    }
}

/// How often the task looks around.
const TICK: Duration = Duration::from_millis(500);
/// The least time between two contacts to one mixer.
const RETRY_LEAST: Duration = Duration::from_secs(2);
/// The longest time after which one that does not answer is tried again.
const RETRY_MOST: Duration = Duration::from_secs(3600);
/// After so long, one that answered is asked whether it still does.
const AGAIN: Duration = Duration::from_secs(600);
/// After so long, somebody's list is asked for: soon while more mixers become known, and then ever
/// more seldom.
const LISTS_LEAST: Duration = Duration::from_secs(4);
const LISTS_MOST: Duration = Duration::from_secs(300);
/// After so many failures it is not reached any more.
const FAILURES_MAX: u32 = 3;
/// The most contacts at one time.
const TALKS_MAX: usize = 16;
/// Of these, the most to mixers that were not reached yet: the others must not wait for them.
const STRANGERS_MAX: usize = 8;
/// The own info is signed anew after so many seconds of ledger time.
const RENEW_S: u64 = 3600;
const NEWS_MAX: usize = 64;

/// What came of a contact.
struct Talk {
    account: Account,
    reached: bool,
    told: Option<u64>,
    /// Infos it gave, its own among them.
    infos: Vec<Vec<u8>>,
}

impl Gossip {
    /// The table of peer infos in the records.
    pub(super) const TABLE: u8 = b'P';

    /// The task of a folder's mixer, and the way to tell it news.
    pub(super) fn new(
        folder: &Path,
        config: &MixerConfig,
        handle: Handle,
        client: Arc<Client>,
        chain: Arc<Chain>,
    ) -> Result<(Self, News), Error> {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let identity = match config.peers.identity.as_os_str().is_empty() {
            true => None,
            false => {
                let currency = chain::currency(&config.ledger)?;
                Some(identity::read(&folder.join(&config.peers.identity), &currency)?)
            }
        };
        let files = peer_file::of_folder(folder, &config.peers);
        let hosts = config.peers.hosts.iter().map(|text| peer_file::host(text));
        let hosts = hosts.collect::<Result<_, _>>()?;
        let host = settings::host(config);
        let (own, told) = watch::channel((0, Vec::new()));
        let gossip = Self {
            handle,
            client,
            chain,
            clock: Clock::start(),
            host,
            identity,
            files,
            hosts,
            news,
            known: BTreeMap::new(),
            saved: BTreeMap::new(),
            own,
            asked_at: None,
            lists: LISTS_LEAST,
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            chance: Chance::new(crate::key::random()?),
        };
        Ok((gossip, News { sender, own: told }))
    }

    /// Works until the mixer ends. `records` are the infos it had.
    pub(super) async fn run(mut self, records: Vec<Record>) {
        let accounts = records.iter().filter_map(|(key, _)| key.get(1..)?.try_into().ok());
        self.saved = accounts.map(|account| (Account::from_bytes(account), 0)).collect();
        let mut infos: Vec<_> = records.into_iter().map(|(_, info)| info).collect();
        for file in &self.files {
            match peer_file::read(file) {
                Ok(more) => infos.extend(more),
                Err(why) => log::warning(why),
            }
        }
        let mut talks = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Infos are compared with the ledger's time, so the first block comes first.
            if self.date().await.is_none_or(|date| date == 0) {
                tick.tick().await;
                continue;
            }
            self.offer(std::mem::take(&mut infos)).await;
            self.renew().await;
            if !self.talk(&mut talks).await && talks.is_empty() {
                infos.extend(self.ask_hosts().await);
            }
            self.keep().await;
            tokio::select! {
                _ = tick.tick() => {}
                Some(account) = self.news.recv() => self.hurry(account),
                Some(talk) = talks.join_next() => if let Ok(talk) = talk {
                    infos.extend(self.heard(talk).await);
                },
            }
        }
    }

    async fn date(&self) -> Option<u64> {
        self.handle.with(|core, _, _| core.date()).await
    }

    async fn offer(&self, infos: Vec<Vec<u8>>) {
        if infos.is_empty() {
            return;
        }
        let offered = self.handle.with(move |core, _, _| {
            let date = core.date();
            for info in &infos {
                // What is old, ours or not wanted is no news.
                let _ = core.peers_mut().offer(info, date);
            }
        });
        offered.await;
    }

    /// Signs the own info anew when an hour has passed or the key has changed.
    async fn renew(&mut self) {
        let (host, identity) = (self.host.clone(), self.identity.clone());
        let signed = self.own.borrow().0;
        let renewed = self.handle.with(move |core, _, _| {
            (core.date() >= signed + RENEW_S).then(|| {
                let info = core.info(host, identity);
                (info.content().sigtime, info.bytes().to_vec())
            })
        });
        if let Some(Some(own)) = renewed.await {
            self.own.send_replace(own);
        }
    }

    /// Asks the mixers that the settings name who they are; the answers are for `offer`.
    async fn ask_hosts(&mut self) -> Vec<Vec<u8>> {
        let now = self.clock.now().time;
        if self.asked_at.is_some_and(|at| now - at < RETRY_LEAST) {
            return Vec::new();
        }
        self.asked_at = Some(now);
        let mut infos = Vec::new();
        for host in &self.hosts {
            if let Ok(answer) = self.client.plain(host, "/info").await {
                infos.extend(peer_file::bytes(answer, "info"));
            }
        }
        infos
    }

    /// Contacts those whose time has come. Whether anybody is known at all.
    async fn talk(&mut self, talks: &mut JoinSet<Talk>) -> bool {
        let (signed, own) = self.own.borrow().clone();
        let listed = self.handle.with(|core, _, _| {
            let all = core.peers().iter();
            all.map(|peer| (peer.info().clone(), peer.is_reached())).collect::<Vec<_>>()
        });
        let Some(mut listed) = listed.await else { return true };
        let is_anybody = !listed.is_empty();
        if listed.iter().any(|(info, _)| !self.known.contains_key(&info.pubkey)) {
            self.lists = LISTS_LEAST;
        }
        let accounts: BTreeSet<_> = listed.iter().map(|(info, _)| info.pubkey).collect();
        self.known.retain(|account, _| accounts.contains(account));
        let now = self.clock.now().time;
        // Those who failed least first, and no order that an account could be made for: a newcomer
        // among many who do not exist is as likely to be next as any of them.
        self.chance.shuffle(&mut listed);
        listed.sort_by_key(|(info, _)| {
            self.known.get(&info.pubkey).map_or(0, |known| known.failures)
        });
        for (info, reached) in listed {
            let known = self.known.entry(info.pubkey).or_default();
            let is_due = known.next.is_none_or(|next| next <= now);
            // Who was reached and has not our newest info yet is told soon.
            let is_untold = reached && known.told < signed && known.failures == 0;
            let asks = reached && self.asked_at.is_none_or(|at| now - at >= self.lists);
            let is_soon = known.last.is_some_and(|last| now - last < RETRY_LEAST);
            if talks.len() >= TALKS_MAX || is_soon || !(is_due || is_untold || asks) {
                continue;
            }
            let place = match reached {
                true => None,
                false => match self.strangers.clone().try_acquire_owned() {
                    Ok(place) => Some(place),
                    Err(_) => continue,
                },
            };
            known.last = Some(now);
            known.next = Some(now + RETRY_MOST);
            if asks {
                self.asked_at = Some(now);
                self.lists = (self.lists * 2).min(LISTS_MOST);
            }
            let tell = (known.told < signed).then(|| (signed, own.clone()));
            // A mixer that was not reached yet may know others: at the start that is how we find them.
            let client = self.client.clone();
            talks.spawn(async move {
                let talk = talk(&client, info, tell, asks || !reached).await;
                drop(place);
                talk
            });
        }
        is_anybody
    }

    /// Somebody is new or silent: his turn is sooner.
    fn hurry(&mut self, account: Account) {
        let now = self.clock.now().time;
        let known = self.known.entry(account).or_default();
        if known.failures == 0 {
            known.next = known.next.map(|next| next.min(now + RETRY_LEAST));
        }
    }

    /// Takes what came of a contact; the infos are for `offer`.
    async fn heard(&mut self, talk: Talk) -> Vec<Vec<u8>> {
        let now = self.clock.now().time;
        let known = self.known.entry(talk.account).or_default();
        if talk.reached {
            known.failures = 0;
            known.next = Some(now + AGAIN);
            known.told = talk.told.unwrap_or(known.told);
        } else {
            known.failures = known.failures.saturating_add(1);
            let wait = RETRY_LEAST * 2u32.saturating_pow(known.failures.min(16));
            known.next = Some(now + wait.min(RETRY_MOST));
        }
        let (account, reached) = (talk.account, talk.reached);
        if reached || known.failures >= FAILURES_MAX {
            self.handle.with(move |core, _, _| core.peers_mut().reached(&account, reached)).await;
        }
        if reached {
            self.look_up(account).await;
        }
        talk.infos
    }

    /// Asks the ledger whether somebody's identity is a member.
    async fn look_up(&self, account: Account) {
        let found = self.handle.with(move |core, _, _| {
            core.peers().find(&account).and_then(|peer| peer.info().idty.clone())
        });
        let Some(Some((identity, _))) = found.await else { return };
        if let Ok(is) = self.chain.connection().is_member(&identity).await {
            self.handle.with(move |core, _, _| core.peers_mut().member(&identity, is)).await;
        }
    }

    /// Brings the records to what is known: for the next start.
    async fn keep(&mut self) {
        let saved = std::mem::take(&mut self.saved);
        let kept = self.handle.with(move |core, _, out| {
            let mut changes = Vec::new();
            let mut now = BTreeMap::new();
            for peer in core.peers().iter() {
                let (account, signed) = (peer.info().pubkey, peer.info().sigtime);
                // Who was reached in an earlier life is kept, though he was not in this one yet.
                if !peer.is_reached() && !saved.contains_key(&account) {
                    continue;
                }
                if saved.get(&account) != Some(&signed) {
                    changes.push(Change { key: key(&account), value: Some(peer.bytes().to_vec()) });
                }
                now.insert(account, signed);
            }
            let gone = saved.keys().filter(|account| !now.contains_key(account));
            changes.extend(gone.map(|account| Change { key: key(account), value: None }));
            if !changes.is_empty() {
                out.push(Effect::Save(changes));
            }
            now
        });
        self.saved = kept.await.unwrap_or_default();
    }
}

fn key(account: &Account) -> Vec<u8> {
    [&[Gossip::TABLE], &account.as_bytes()[..]].concat()
}

/// One contact: is it there, does it have our info, whom does it know?
async fn talk(client: &Client, info: PeerInfo, tell: Option<(u64, Vec<u8>)>, asks: bool) -> Talk {
    let account = info.pubkey;
    let mut talk = Talk { account, reached: false, told: None, infos: Vec::new() };
    match client.proves(&info).await {
        Ok(()) => talk.reached = true,
        Err(Silence::Unopened(_) | Silence::Forged) => {
            // Perhaps it has a new key; what it says of itself is signed.
            if let Ok(answer) = client.plain(&info.host, "/info").await {
                talk.infos.extend(peer_file::bytes(answer, "info"));
            }
            return talk;
        }
        Err(_) => return talk,
    }
    if let Some((signed, own)) = tell
        && client.sealed(&info, "/new", &own).await.is_ok()
    {
        talk.told = Some(signed);
    }
    if asks && let Ok(answer) = client.plain(&info.host, "/peers").await {
        talk.infos.extend(peer_file::answered(answer).unwrap_or_default());
    }
    talk
}
