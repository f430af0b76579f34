//! One world in one process: the embedded ledger, mixers and payers, disks that forget what was not
//! saved, a network that loses, and virtual time, all from one seed.
//!
//! The shells here are as plain as a shell can be: they perform effects in order and give the results
//! back in. What goes wrong is drawn from the seed: [`Faults`] says what may.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests, which may fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mixing::{Chance, Date, Now, Strategy, Time};
use money::amount::Series;
use money::embedded::{Call, Era, Genesis, Ledger, Transaction};
use money::{Account, AccountKey, Amount, LedgerTime, Reference, Slot, Transfer};
use payment::document::{Currency, Host, Terms};
use payment::effect::{
    Answer, Change, Command, Effect, FinalBlock, Input, Notice, OrderId, Payment, Refused, Spent,
    Unheard,
};
use payment::mixer::{self, Mixer};
use payment::order::Order;
use payment::payer::{self, Part, Payer};
use payment::peers::Peers;
use payment::route::{Pace, Wish, choose};

pub const DEPOSIT: u64 = 100;
pub const LEDGER_FEE: u64 = 2;
pub const FEE: u64 = 5;
pub const BLOCK_MS: u64 = 500;
pub const STEP_MS: u64 = 250;
pub const PERIOD: u32 = 16;
pub const LAG: u64 = 3;
const BEGIN_S: u64 = 1_700_000_000;

/// What may go wrong, each as one chance in so many; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// After each effect the process may end.
    pub crash: u64,
    /// A start may find an older copy of the disk.
    pub old_copy: u64,
    /// A message may be lost.
    pub loss: u64,
    /// A submission may be accepted and dropped.
    pub dropped: u64,
    /// At each block, the newest blocks may be forked off.
    pub fork: u64,
    /// At each block, the ledger may be out of reach of a node for a while.
    pub outage: u64,
}

/// A disk: records, and what it was like earlier.
#[derive(Default, Clone)]
pub struct Disk {
    /// Whether earlier states are kept.
    pub keeps: bool,
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub earlier: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Disk {
    fn save(&mut self, changes: &[Change]) {
        // Before the first save there is no copy: that would be a lost file, not an old one.
        if self.keeps && !self.records.is_empty() && self.earlier.len() < 400 {
            self.earlier.push(self.records.clone());
        }
        for Change { key, value } in changes {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
    }
}

pub enum Core {
    Mixer(Box<Mixer>),
    Payer(Box<Payer>),
}

/// A process with its disk.
pub struct Node {
    pub account: Account,
    seed: [u8; 32],
    pub disk: Disk,
    pub core: Option<Core>,
    pub starts_at: u64,
    /// The ledger is out of reach until then.
    pub blind_until: u64,
    starts: u64,
    pub notices: Vec<Notice>,
    pub effects: u64,
    /// End after this effect, whatever chance says.
    pub crash_at: Option<u64>,
    /// Everything this node got and sent over the network and the ledger connection.
    pub traffic: Vec<Vec<u8>>,
}

/// What is on its way.
#[derive(Clone)]
pub enum Message {
    Command { from: usize, order: OrderId, to: usize, command: Command },
    Answer { to: usize, order: OrderId, answer: Result<Answer, Unheard> },
    Signed { to: usize, slot: Slot, bytes: Vec<u8>, last: u64 },
}

/// What a payer means to pay.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub payer: usize,
    pub receiver: Account,
    pub amount: u64,
    pub at_ms: u64,
    pub part: Option<OrderId>,
}

pub struct World {
    pub ledger: Ledger,
    pub nodes: Vec<Node>,
    pub mixers: usize,
    pub faults: Faults,
    pub wanted: Vec<Wanted>,
    pub strategy: Strategy,
    /// Mean delay of requests and promises.
    pub delay_ms: u64,
    pub ms: u64,
    pub hops: usize,
    /// Payers pay what is ready by themselves.
    pub pays: bool,
    /// Payers say that nothing from before is still to be paid.
    pub anew: bool,
    chance: Chance,
    /// Each with the millisecond in which it comes.
    pub messages: Vec<(u64, Message)>,
    pub refused: Vec<Refused>,
}

pub fn key(name: u8) -> AccountKey {
    AccountKey::from_seed([name; 32])
}

pub fn units(units: u64) -> Amount {
    Amount::from_units(units)
}

impl World {
    /// Mixers are named 1, 2, …; payers 101, 102, …
    pub fn new(seed: u64, mixers: usize, payers: usize, faults: Faults) -> Self {
        let names = (1..=mixers).chain(101..101 + payers).map(|name| u8::try_from(name).unwrap());
        let names: Vec<_> = names.collect();
        let accounts = names.iter().map(|name| (key(*name).account(), units(100_000))).collect();
        let ledger = Ledger::new(Genesis {
            currency: "world".into(),
            time: LedgerTime::from_secs(BEGIN_S),
            existential_deposit: units(DEPOSIT),
            fee: units(LEDGER_FEE),
            finality_lag: LAG,
            accounts,
            members: vec![],
        });
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut nodes: Vec<_> = names.iter().map(|name| Node::new(*name)).collect();
        nodes.iter_mut().for_each(|node| node.disk.keeps = faults.old_copy > 0);
        Self {
            ledger: ledger.unwrap(),
            nodes,
            mixers,
            faults,
            wanted: Vec::new(),
            strategy: Strategy::Timed { period: Duration::from_secs(3) },
            delay_ms: 500,
            ms: 0,
            hops: 3,
            pays: true,
            anew: false,
            chance: Chance::new(bytes),
            messages: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub fn currency(&self) -> Currency {
        Currency::Genesis(self.ledger.genesis().hash())
    }

    pub fn now(&self) -> Now {
        let date = Date::from_millis(BEGIN_S * 1000 + self.ms);
        Now { time: Time::from_nanos(self.ms * 1_000_000), date }
    }

    pub fn want(&mut self, payer: usize, receiver: u8, amount: u64, at_ms: u64) {
        let receiver = key(receiver).account();
        let payer = self.mixers + payer;
        self.wanted.push(Wanted { payer, receiver, amount, at_ms, part: None });
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.chance.below(one_in) == 0
    }

    /// Runs until `ms`.
    pub fn run_until(&mut self, ms: u64) {
        while self.ms < ms {
            self.step();
        }
    }

    /// Runs until every part has come to an end, or `ms` have passed.
    pub fn run_to_end(&mut self, ms: u64) {
        while self.ms < ms && !self.is_done() {
            self.step();
        }
    }

    pub fn is_done(&self) -> bool {
        let at_rest = |node: &Node| match &node.core {
            Some(Core::Mixer(mixer)) => !mixer.orders().values().any(Order::is_funded),
            Some(Core::Payer(_)) => true,
            None => false,
        };
        self.nodes.iter().all(at_rest)
            && self.wanted.iter().all(|wanted| {
                let Some(Core::Payer(payer)) = &self.nodes[wanted.payer].core else { return false };
                let part = wanted.part.and_then(|part| payer.parts().get(&part));
                matches!(part, Some(Part::Arrived { .. } | Part::Returned { .. } | Part::Failed(_)))
            })
    }

    fn step(&mut self) {
        self.ms += STEP_MS;
        if self.ms.is_multiple_of(BLOCK_MS) {
            self.block();
        }
        for i in 0..self.nodes.len() {
            self.start(i);
            self.read_ledger(i);
        }
        if self.ms.is_multiple_of(if self.ms < 30_000 { 5_000 } else { 60_000 }) {
            self.introduce();
        }
        self.begin_parts();
        let due: Vec<_> = {
            let now = self.ms;
            let (due, later) = self.messages.drain(..).partition(|(at, _)| *at <= now);
            self.messages = later;
            due
        };
        for (_, message) in due {
            self.deliver(message);
        }
        let now = self.now();
        for i in 0..self.nodes.len() {
            let mut out = Vec::new();
            match &mut self.nodes[i].core {
                Some(Core::Mixer(mixer)) => mixer.tick(now, &mut out),
                Some(Core::Payer(payer)) => payer.tick(now, &mut out),
                None => {}
            }
            self.perform(i, out);
        }
    }

    fn block(&mut self) {
        if self.happens(self.faults.fork) {
            let depth = usize::try_from(self.chance.below(LAG) + 1).unwrap();
            let keep = self.chance.below(2) == 0;
            let _ = self.ledger.fork(depth, keep);
        }
        if self.happens(self.faults.dropped) {
            self.ledger.forget_waiting();
        }
        for i in 0..self.nodes.len() {
            if self.happens(self.faults.outage) {
                self.nodes[i].blind_until = self.ms + self.chance.below(60_000);
            }
        }
        self.ledger.build(LedgerTime::from_millis(BEGIN_S * 1000 + self.ms));
    }

    fn start(&mut self, i: usize) {
        if self.nodes[i].core.is_some() || self.ms < self.nodes[i].starts_at {
            return;
        }
        if self.nodes[i].starts > 0 && self.happens(self.faults.old_copy) {
            let count = self.nodes[i].disk.earlier.len() as u64;
            if count > 0 {
                let at = usize::try_from(self.chance.below(count)).unwrap();
                self.nodes[i].disk.records = self.nodes[i].disk.earlier[at].clone();
            }
        }
        let chance = self.chance.fork();
        let now = self.now();
        let height = self.ledger.final_head().height;
        let records: Vec<_> = self.nodes[i].disk.records.clone().into_iter().collect();
        let key = AccountKey::from_seed(self.nodes[i].seed);
        let core = if i < self.mixers {
            let config = self.mixer_config();
            Core::Mixer(Box::new(Mixer::resume(config, key, chance, records, height, now).unwrap()))
        } else {
            let config = self.payer_config();
            Core::Payer(Box::new(Payer::resume(config, key, chance, records, height, now).unwrap()))
        };
        self.nodes[i].core = Some(core);
        self.nodes[i].starts += 1;
        self.introduce();
    }

    pub fn mixer_config(&self) -> mixer::Config {
        mixer::Config {
            currency: self.currency(),
            terms: Terms {
                least: units(DEPOSIT),
                fee: units(FEE),
                return_cost: units(LEDGER_FEE),
                company: 3,
                wait_max_s: 3,
                keep_s: 86_400,
            },
            series: Series::new(units(DEPOSIT)).unwrap(),
            existential_deposit: units(DEPOSIT),
            float: units(1_000),
            strategy: self.strategy.clone(),
            block_time: Duration::from_millis(BLOCK_MS),
            margin_s: 30,
            horizon_s: 7 * 86_400,
            delay: Duration::from_millis(self.delay_ms),
            period: PERIOD,
            orders_max: 1_000,
            client_orders_max: 16,
            peer_orders_max: 100,
            vouched_orders_max: 400,
            returns_max: 1_000,
            inside: true,
        }
    }

    pub fn payer_config(&self) -> payer::Config {
        payer::Config {
            currency: self.currency(),
            pace: Pace { deposit: 400, margin: 60, step: 10 },
            period: PERIOD,
            poll: Duration::from_secs(1),
            parts_max: 64,
            anew: self.anew,
        }
    }

    /// Everyone learns of everyone who runs.
    pub fn introduce(&mut self) {
        let infos = self.infos();
        let date = BEGIN_S + self.ms / 1000;
        for node in &mut self.nodes[..self.mixers] {
            let Some(Core::Mixer(mixer)) = &mut node.core else { continue };
            meet(mixer.peers_mut(), &infos, date);
        }
    }

    fn infos(&self) -> Vec<Vec<u8>> {
        let mut infos = Vec::new();
        for (i, node) in self.nodes[..self.mixers].iter().enumerate() {
            if let Some(Core::Mixer(mixer)) = &node.core {
                let port = 10_000 + u16::try_from(i).unwrap();
                let host = Host { address: "127.0.0.1".into(), port };
                infos.push(mixer.info(host, None).bytes().to_vec());
            }
        }
        infos
    }

    /// What a payer knows now: every mixer that runs.
    pub fn peers(&self) -> Peers {
        let mut peers =
            Peers::new(self.currency(), Account::from_bytes([0; 32]), true, Chance::new([9; 32]));
        meet(&mut peers, &self.infos(), BEGIN_S + self.ms / 1000);
        peers
    }

    fn begin_parts(&mut self) {
        for i in 0..self.wanted.len() {
            let Wanted { payer, receiver, amount, at_ms, part } = self.wanted[i].clone();
            if part.is_some() || self.ms < at_ms {
                continue;
            }
            let peers = self.peers();
            let wish = Wish {
                hops: self.hops,
                amount: units(amount),
                unvouched: true,
                without: BTreeSet::new(),
            };
            let Ok(route) = choose(&peers, &wish, &mut self.chance) else { continue };
            let route: Vec<_> = route.iter().map(|peer| peer.info()).collect();
            // Only a mixer that knows its ledger has a key that it keeps.
            if route.iter().any(|info| info.sigtime < BEGIN_S) {
                continue;
            }
            let now = self.now();
            let mut out = Vec::new();
            let Some(Core::Payer(core)) = &mut self.nodes[payer].core else { continue };
            let begun = core.begin(now, &route, receiver, units(amount), &mut out);
            self.wanted[i].part = begun.ok();
            self.perform(payer, out);
        }
    }

    /// Performs effects in order; a crash loses those that follow.
    pub fn perform(&mut self, i: usize, effects: Vec<Effect>) -> Option<Answer> {
        let mut reply = None;
        for effect in effects {
            self.nodes[i].effects += 1;
            match effect {
                Effect::Save(changes) => self.nodes[i].disk.save(&changes),
                Effect::Reply(answer) => reply = Some(answer),
                Effect::Ask { order, to, command } => {
                    let to = self.nodes.iter().position(|node| node.account == to).unwrap();
                    self.send(Message::Command { from: i, order, to, command });
                }
                Effect::Sign { slot, payment, period } => self.sign(i, slot, payment, period),
                Effect::Broadcast(bytes) => {
                    self.nodes[i].traffic.push(bytes.clone());
                    let lost = self.happens(self.faults.loss);
                    if !lost && self.ms >= self.nodes[i].blind_until {
                        let _ = self.ledger.submit(&bytes);
                    }
                }
                Effect::Tell(notice) => self.nodes[i].notices.push(notice),
            }
            let planned = self.nodes[i].crash_at == Some(self.nodes[i].effects);
            if planned || self.happens(self.faults.crash) {
                let down = if planned { 2_000 } else { self.chance.below(60_000) };
                self.crash(i, down);
                return None;
            }
        }
        reply
    }

    pub fn crash(&mut self, i: usize, down_ms: u64) {
        self.nodes[i].core = None;
        self.nodes[i].starts_at = self.ms + down_ms;
    }

    fn send(&mut self, message: Message) {
        if !self.happens(self.faults.loss) {
            let at = self.ms + 1 + self.chance.below(1_000);
            self.messages.push((at, message));
        }
    }

    /// Signs from the newest final block on, as a ledger connection does.
    fn sign(&mut self, i: usize, slot: Slot, payment: Option<Payment>, period: u32) {
        if self.ms < self.nodes[i].blind_until {
            return;
        }
        let birth = self.ledger.final_head();
        let era = Era::Mortal { birth: birth.height, hash: birth.hash, period };
        let last = birth.height + u64::from(period);
        let calls = payment.map_or_else(
            || vec![Call::Remark(Reference::new(b"").unwrap())],
            |Payment { to, amount, reference }| {
                vec![Call::Transfer { to, amount, keep_alive: true }, Call::Remark(reference)]
            },
        );
        let key = AccountKey::from_seed(self.nodes[i].seed);
        let genesis = self.ledger.genesis().hash();
        let transaction = Transaction { genesis, sender: key.account(), slot, era, calls };
        let bytes = transaction.sign(&key);
        self.messages.push((self.ms, Message::Signed { to: i, slot, bytes, last }));
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Command { from, order, to, command } => {
                let answer = self.command(to, command);
                self.send(Message::Answer { to: from, order, answer });
            }
            Message::Answer { to, order, answer } => {
                let now = self.now();
                let mut out = Vec::new();
                if let Ok(Answer::Promises(bytes)) = &answer {
                    self.nodes[to].traffic.push(bytes.clone());
                }
                let heard = match &mut self.nodes[to].core {
                    Some(Core::Mixer(mixer)) => {
                        mixer.receive(now, Input::Heard { order, answer }, &mut out)
                    }
                    Some(Core::Payer(payer)) => payer.on_heard(now, order, answer, &mut out),
                    None => Ok(()),
                };
                self.refused.extend(heard.err());
                self.perform(to, out);
                self.pay_what_is_ready(to);
            }
            Message::Signed { to, slot, bytes, last } => {
                let now = self.now();
                let mut out = Vec::new();
                // Refused if another answer for this slot was quicker.
                let _ = match &mut self.nodes[to].core {
                    Some(Core::Mixer(mixer)) => {
                        mixer.receive(now, Input::Signed { slot, bytes, last }, &mut out)
                    }
                    Some(Core::Payer(payer)) => payer.on_signed(slot, bytes, last, &mut out),
                    None => Ok(()),
                };
                self.perform(to, out);
            }
        }
    }

    fn pay_what_is_ready(&mut self, i: usize) {
        let Some(Core::Payer(payer)) = &mut self.nodes[i].core else { return };
        let ready = payer.parts().iter().find(|(_, part)| matches!(part, Part::Ready { .. }));
        let Some((id, _)) = ready.filter(|_| self.pays) else { return };
        let id = *id;
        let mut out = Vec::new();
        let paid = payer.pay(id, &mut out);
        self.refused.extend(paid.err());
        self.perform(i, out);
    }

    /// Gives a command to a mixer as its HTTP side would.
    pub fn command(&mut self, to: usize, command: Command) -> Result<Answer, Unheard> {
        let owned = |ledger: &Ledger, body: &[u8], currency| {
            let sender =
                payment::document::Unverified::<payment::document::Request>::parse(body, &currency)
                    .map(|request| Account::from_bytes(request.content().sender));
            sender.map_or(Amount::ZERO, |sender| ledger.final_account(&sender).free)
        };
        let input = match command {
            Command::Mix(body) => {
                self.nodes[to].traffic.push(body.clone());
                let owned = owned(&self.ledger, &body, self.currency());
                Input::Request { body, owned }
            }
            Command::Confirm(body) => {
                self.nodes[to].traffic.push(body.clone());
                Input::Confirm { body }
            }
            Command::GetConfirm(body) => Input::GetConfirm { body },
        };
        match self.give(to, input) {
            Ok(answer) => answer.ok_or(Unheard::Unreachable),
            Err(refused) if refused.is_passing() => Err(Unheard::Unreachable),
            Err(_) => Err(Unheard::Refused),
        }
    }

    /// Gives one input to a mixer and performs what follows; `None` if it ended before it answered.
    pub fn give(&mut self, to: usize, input: Input) -> Result<Option<Answer>, Refused> {
        let now = self.now();
        let mut out = Vec::new();
        let Some(Core::Mixer(mixer)) = &mut self.nodes[to].core else { return Ok(None) };
        let done = mixer.receive(now, input, &mut out);
        if let Err(refused) = done {
            assert!(out.is_empty(), "what is refused has no effect: {refused:?}");
            self.refused.push(refused);
            return Err(refused);
        }
        Ok(self.perform(to, out))
    }

    fn read_ledger(&mut self, i: usize) {
        if self.ms < self.nodes[i].blind_until {
            return;
        }
        for _ in 0..8 {
            let account = self.nodes[i].account;
            let (height, watched) = match &self.nodes[i].core {
                Some(Core::Mixer(mixer)) => (mixer.next_block(), BTreeSet::new()),
                Some(Core::Payer(payer)) => (payer.next_block(), payer.watched()),
                None => return,
            };
            if height > self.ledger.final_head().height {
                return;
            }
            let block = final_block(&self.ledger, &account, height);
            let all = &self.ledger.block(height).unwrap().transfers;
            let arrivals: Vec<_> =
                all.iter().filter(|t| watched.contains(&t.to)).cloned().collect();
            let now = self.now();
            let mut out = Vec::new();
            match &mut self.nodes[i].core {
                Some(Core::Mixer(mixer)) => {
                    mixer.receive(now, Input::Block(block), &mut out).unwrap();
                }
                Some(Core::Payer(payer)) => payer.on_block(&block, &arrivals, &mut out).unwrap(),
                None => return,
            }
            self.perform(i, out);
        }
    }

    /// All final transfers, in order.
    pub fn final_transfers(&self) -> Vec<(Transfer, LedgerTime)> {
        let heights = 0..=self.ledger.final_head().height;
        let blocks = heights.map(|height| self.ledger.block(height).unwrap());
        blocks.flat_map(|b| b.transfers.iter().map(|t| (t.clone(), b.time))).collect()
    }

    pub fn mixer(&self, i: usize) -> &Mixer {
        match &self.nodes[i].core {
            Some(Core::Mixer(mixer)) => mixer,
            _ => panic!("mixer {i} does not run"),
        }
    }

    pub fn payer(&self, i: usize) -> &Payer {
        match &self.nodes[self.mixers + i].core {
            Some(Core::Payer(payer)) => payer,
            _ => panic!("payer {i} does not run"),
        }
    }

    /// Lets a payer pay by hand, without any mixer's word.
    pub fn pay_by_hand(&mut self, from: u8, to: Account, amount: u64, reference: &[u8]) {
        let key = key(from);
        let slot = self.ledger.next_slot(&key.account());
        let transfer = Call::Transfer { to, amount: units(amount), keep_alive: false };
        let calls = vec![transfer, Call::Remark(Reference::new(reference).unwrap())];
        let genesis = self.ledger.genesis().hash();
        let era = Era::Immortal;
        let transaction = Transaction { genesis, sender: key.account(), slot, era, calls };
        self.ledger.submit(&transaction.sign(&key)).unwrap();
    }
}

fn meet(peers: &mut Peers, infos: &[Vec<u8>], date: u64) {
    for info in infos {
        if let Ok(account) = peers.offer(info, date) {
            peers.reached(&account, true);
        }
    }
}

pub fn final_block(ledger: &Ledger, account: &Account, height: u64) -> FinalBlock {
    let block = ledger.block(height).unwrap();
    let own = |t: &&Transfer| t.from == *account;
    let spent = block.included.iter().enumerate().filter(|(_, i)| i.sender == *account);
    let spent = spent.map(|(at, included)| Spent {
        slot: included.slot,
        done: included.outcome.is_ok(),
        transfers: block
            .transfers
            .iter()
            .filter(own)
            .filter(|t| t.place.extrinsic as usize == at)
            .cloned()
            .collect(),
    });
    let state = ledger.final_account(account);
    let to_us = block.transfers.iter().filter(|t| t.to == *account && t.from != *account);
    FinalBlock {
        height,
        time: block.time,
        newest: ledger.final_head().height,
        received: to_us.cloned().collect(),
        spent: spent.collect(),
        balance: state.free,
        slot: state.slot,
    }
}

impl Node {
    fn new(name: u8) -> Self {
        Self {
            account: key(name).account(),
            seed: [name; 32],
            disk: Disk::default(),
            core: None,
            starts_at: 0,
            blind_until: 0,
            starts: 0,
            notices: Vec::new(),
            effects: 0,
            crash_at: None,
            traffic: Vec::new(),
        }
    }
}
