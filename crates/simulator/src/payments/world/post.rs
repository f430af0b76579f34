//! Letters: commands, their answers, and what mixers say of themselves.

use std::time::Duration;

use ::money::{Account, AccountKey, Amount};
use mixing::envelope::EnvelopeKey;
use payment::command;
use payment::document::{Host, PeerInfo, Request, Signed, Unverified};
use payment::effect::{Answer, Command, Input, OrderId, Refused, Unheard};

use super::{Event, Letter, World};
use crate::payments::fault::{Cheat, What};
use crate::payments::log::{Happened, Letter as Sort, Taken};
use crate::payments::network::pick;
use crate::payments::node::{Asked, Call, Core, Kind, PATIENCE};
use crate::payments::plan::LEDGER_FEE;

/// What a parrot remembers.
const HEARD_MAX: usize = 64;
/// What a shell says when it cannot look at the ledger.
const UNAVAILABLE: u16 = 503;

impl World {
    /// A node sends a letter.
    fn send(&mut self, from: usize, to: usize, number: u32, what: Sort, bytes: Vec<u8>) {
        let bytes = match &mut self.mistake {
            Some(mistake) => mistake.sends(self.now, from, to, bytes),
            None => bytes,
        };
        if let Err(broken) = self.knowledge.travels(from, to, what, bytes.len()) {
            self.fail(broken);
        }
        let mark = bytes.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
        let (f, t) = (from as u16, to as u16);
        self.note(Happened::Sent { from: f, to: t, what, mark });
        let copies = self.post.carry(from, to, bytes);
        if copies.is_empty() {
            self.note(Happened::Lost { from: f, to: t });
        }
        for copy in copies {
            let place = self.letters.len() as u32;
            self.letters.push(Some(Letter { from, to, number, what, bytes: copy.bytes }));
            self.queue.plan(self.now + copy.after, Event::Letter(place));
        }
    }

    /// A letter arrives.
    pub(super) fn arrive(&mut self, place: u32) {
        let Some(letter) = self.letters[place as usize].take() else { return };
        match self.is_free(letter.to) {
            Ok(()) => {}
            Err(None) => return self.note(Happened::NobodyThere { to: letter.to as u16 }),
            Err(Some(until)) => {
                self.letters[place as usize] = Some(letter);
                return self.queue.plan(until, Event::Letter(place));
            }
        }
        let to = letter.to;
        match letter.what {
            Sort::Command => self.on_command(letter),
            Sort::Answer => self.on_answer(letter),
            Sort::Info => self.on_info(&letter),
        }
        self.tick(to);
    }

    fn cheats(&self, node: usize, how: Cheat) -> bool {
        self.is_on(|what| *what == What::Cheat(node, how))
    }

    /// A core asks a mixer something: sealed, if the mixer is known.
    pub(super) fn ask(&mut self, from: usize, order: OrderId, to: Account, command: &Command) {
        let Ok(path) = command.path(&self.currency, &self.nodes[from].account) else { return };
        let Some(there) = self.nodes.iter().position(|node| node.account == to) else { return };
        let mut body = command.body().to_vec();
        self.knowledge.says(from, there, command, &self.currency);
        if self.cheats(from, Cheat::Forger)
            && self.chance.below(2) == 0
            && let Some(byte) = pick(&mut body, &mut self.chance)
        {
            *byte ^= 1;
        }
        let kind = match command {
            Command::Mix(_) => Kind::Mix,
            Command::Confirm(_) => Kind::Confirm,
            Command::GetConfirm(_) => Kind::GetConfirm,
        };
        self.command(from, there, order, kind, &path, &body);
    }

    fn command(
        &mut self,
        from: usize,
        to: usize,
        order: OrderId,
        kind: Kind,
        path: &str,
        body: &[u8],
    ) {
        let Some(alive) = &self.nodes[from].alive else { return };
        let peers = alive.core.mixer().map_or(&alive.peers, |mixer| mixer.peers());
        let Some(peer) = peers.find(&self.nodes[to].account) else { return };
        let (sealed, key) = command::seal(path, body, &peer.info().enckey, &mut self.chance);
        let node = &mut self.nodes[from];
        node.commands += 1;
        let number = node.commands;
        let Some(alive) = &mut node.alive else { return };
        alive.asked.insert(number, Asked { order, kind, key });
        self.queue.plan(self.now + PATIENCE, Event::Silence(from as u16, number));
        self.send(from, to, number, Sort::Command, sealed);
    }

    fn on_command(&mut self, letter: Letter) {
        let Letter { from, to, number, bytes, .. } = letter;
        let Some(mixer) = self.nodes[to].alive.as_ref().and_then(|alive| alive.core.mixer()) else {
            return;
        };
        // What cannot be opened cannot be answered under its key either.
        let Ok((path, body, key)) = mixer.open_sealed(&bytes) else { return };
        self.keys.push(Some(key));
        let call = Some(Call { from, number, key: self.keys.len() - 1 });
        self.knowledge.sees(to, path.as_bytes());
        self.knowledge.sees(to, &body);
        if self.heard[to].len() < HEARD_MAX {
            self.heard[to].push((path.clone(), body.clone()));
        }
        if self.cheats(to, Cheat::Deaf) {
            return self.reply(to, call, Err(Refused::NotForUs));
        }
        let command = match Command::read(&path, body, &self.currency) {
            Ok(command) => command,
            Err(refused) => return self.refuse(to, call, refused),
        };
        let (input, what) = match command {
            Command::Mix(body) => match self.owned(to, &body) {
                Some(owned) => (Input::Request { body, owned }, Taken::Mix),
                None => return self.answer(to, call, UNAVAILABLE, &[]),
            },
            Command::Confirm(body) => (Input::Confirm { body }, Taken::Confirm),
            Command::GetConfirm(body) => (Input::GetConfirm { body }, Taken::GetConfirm),
        };
        self.give(to, input, what, call);
    }

    /// What a payer owns, as far as this mixer's endpoint says.
    fn owned(&self, node: usize, body: &[u8]) -> Option<Amount> {
        if self.is_on(|what| *what == What::Blind(node)) {
            return None;
        }
        let request = Unverified::<Request>::parse(body, &self.currency);
        let owned = request.map(|request| {
            let sender = Account::from_bytes(request.content().sender);
            self.chain.ledger.final_account(&sender).free
        });
        Some(owned.unwrap_or(Amount::ZERO))
    }

    /// Gives one input to a mixer's core.
    pub(super) fn give(&mut self, node: usize, input: Input, what: Taken, call: Option<Call>) {
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(alive) = &mut self.nodes[node].alive else { return };
        let Core::Mixer(mixer) = &mut alive.core else { return };
        match mixer.receive(now, input, &mut out) {
            Ok(()) => {
                match self.books.learn(mixer, &self.currency) {
                    Ok(new) => new
                        .iter()
                        .for_each(|promise| self.knowledge.promises(promise, &self.currency)),
                    Err(broken) => self.fail(broken),
                }
                self.note(Happened::Takes { node: node as u16, what });
                self.perform(node, out, call);
            }
            Err(refused) => {
                assert!(out.is_empty(), "what is refused has no effect: {refused:?}");
                self.refuse(node, call, refused);
            }
        }
    }

    fn refuse(&mut self, node: usize, call: Option<Call>, why: Refused) {
        self.note(Happened::Refuses { node: node as u16, why });
        self.reply(node, call, Err(why));
    }

    /// A mixer answers a command.
    pub(super) fn reply(
        &mut self,
        node: usize,
        call: Option<Call>,
        answer: Result<Answer, Refused>,
    ) {
        match answer {
            Ok(Answer::Seed(seed)) => self.answer(node, call, 200, &seed),
            Ok(Answer::Taken) => self.answer(node, call, 200, &[]),
            Ok(Answer::Promises(slots)) => self.answer(node, call, 200, &slots),
            Err(refused) => self.answer(node, call, refused.status(), &[]),
        }
    }

    fn answer(&mut self, node: usize, call: Option<Call>, status: u16, body: &[u8]) {
        let Some(call) = call else { return };
        let Some(key) = self.call_key(call) else { return };
        let mut body = body.to_vec();
        if self.cheats(node, Cheat::Forger)
            && self.chance.below(2) == 0
            && let Some(byte) = pick(&mut body, &mut self.chance)
        {
            *byte ^= 1;
        }
        self.note(Happened::Answered { node: node as u16, status });
        self.knowledge.answers(node, call.from, &body);
        let sealed = key.seal(status, &body);
        self.send(node, call.from, call.number, Sort::Answer, sealed);
    }

    fn on_answer(&mut self, letter: Letter) {
        let Letter { to, number, bytes, .. } = letter;
        let alive = self.nodes[to].alive.as_mut();
        let Some(asked) = alive.and_then(|alive| alive.asked.remove(&number)) else { return };
        let answer = match asked.key.open(&bytes) {
            Ok((200, body)) => read(asked.kind, body).ok_or(Unheard::Unreachable),
            Ok((401 | 404 | 425 | 429 | 503, _)) => Err(Unheard::Unreachable),
            Ok(_) => Err(Unheard::Refused),
            // Spoiled on its way: nobody knows what it said.
            Err(_) => Err(Unheard::Unreachable),
        };
        self.heard(to, asked.order, answer);
    }

    /// Nothing came back in time.
    pub(super) fn silence(&mut self, node: usize, number: u32) {
        if let Err(Some(until)) = self.is_free(node) {
            return self.queue.plan(until, Event::Silence(node as u16, number));
        }
        let alive = self.nodes[node].alive.as_mut();
        let Some(asked) = alive.and_then(|alive| alive.asked.remove(&number)) else { return };
        self.heard(node, asked.order, Err(Unheard::Unreachable));
        self.tick(node);
    }

    fn heard(&mut self, node: usize, order: OrderId, answer: Result<Answer, Unheard>) {
        let what = match &answer {
            Ok(Answer::Seed(_)) => Taken::Seed,
            Ok(Answer::Taken) => Taken::Taken,
            Ok(Answer::Promises(_)) => Taken::Promises,
            Err(Unheard::Refused) => Taken::No,
            Err(Unheard::Unreachable) => Taken::Silence,
        };
        if node < self.plan.mixers {
            return self.give(node, Input::Heard { order, answer }, what, None);
        }
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(alive) = &mut self.nodes[node].alive else { return };
        let Core::Payer(payer) = &mut alive.core else { return };
        // Refused if another answer was quicker.
        let heard = payer.on_heard(now, order, answer, &mut out);
        self.note(match heard {
            Ok(()) => Happened::Takes { node: node as u16, what },
            Err(why) => Happened::Refuses { node: node as u16, why },
        });
        self.perform(node, out, None);
        self.attend(node);
    }

    /// A node that starts asks every mixer who it is.
    pub(super) fn greet(&mut self, node: usize) {
        for mixer in 0..self.plan.mixers {
            if mixer != node && self.is_free(mixer).is_ok() {
                self.introduce(mixer, &[node]);
            }
        }
    }

    /// All mixers tell everybody of themselves.
    pub(super) fn meet(&mut self) {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        for mixer in 0..self.plan.mixers {
            self.introduce(mixer, &all);
            if self.cheats(mixer, Cheat::Liar) {
                self.lie(mixer);
            }
        }
    }

    pub(super) fn introduce(&mut self, mixer: usize, to: &[usize]) {
        let host = self.plan.host(mixer);
        let Some(core) = self.nodes[mixer].alive.as_ref().and_then(|alive| alive.core.mixer())
        else {
            return;
        };
        let info = core.info(host, None);
        // Who has seen no block yet has no key that it keeps.
        if info.content().sigtime == 0 {
            return;
        }
        for other in to.iter().filter(|other| **other != mixer) {
            self.send(mixer, *other, 0, Sort::Info, info.bytes().to_vec());
        }
    }

    /// Tells everybody of a mixer that does not exist, and that another has moved.
    fn lie(&mut self, liar: usize) {
        let key = AccountKey::from_seed(self.chance.bytes());
        let victim = self.chance.below(self.plan.mixers as u64) as usize;
        let Some(core) = self.nodes[liar].alive.as_ref().and_then(|alive| alive.core.mixer())
        else {
            return;
        };
        let own = core.info(self.plan.host(liar), None).content().clone();
        let made_up = PeerInfo {
            pubkey: key.account(),
            host: Host { address: "nobody.example.org".into(), port: 80 },
            enckey: EnvelopeKey::generate(&mut self.chance).public().clone(),
            ..own.clone()
        };
        let squatter = PeerInfo { pubkey: key.account(), host: self.plan.host(victim), ..own };
        let mut spoiled = Signed::make(made_up.clone(), &self.currency, &key).bytes().to_vec();
        spoiled[100] ^= 1;
        let sign = |info| Signed::make(info, &self.currency, &key).bytes().to_vec();
        for bytes in [sign(made_up), sign(squatter), spoiled] {
            for other in (0..self.nodes.len()).filter(|other| *other != liar) {
                self.send(liar, other, 0, Sort::Info, bytes.clone());
            }
        }
    }

    fn on_info(&mut self, letter: &Letter) {
        let owner = self.nodes[letter.from].account;
        let Some(alive) = &mut self.nodes[letter.to].alive else { return };
        let date = alive.date;
        let peers = match &mut alive.core {
            Core::Mixer(mixer) => mixer.peers_mut(),
            Core::Payer(_) => &mut alive.peers,
        };
        if let Ok(account) = peers.offer(&letter.bytes, date) {
            // It came from its own address, which stands for the challenge.
            peers.reached(&account, account == owner);
        }
    }

    /// What cheating operators do once a minute.
    pub(super) fn cheat(&mut self) {
        for node in 0..self.plan.mixers {
            if self.cheats(node, Cheat::Parrot) && self.is_free(node).is_ok() {
                self.parrot(node);
            }
            if self.cheats(node, Cheat::Spender) {
                let to = AccountKey::from_seed(self.chance.bytes()).account();
                let key = self.plan.key(node);
                let amount = 1_000 + LEDGER_FEE;
                let bytes = self.chain.by_hand(&key, to, amount, None);
                self.submit_after(node, bytes, Duration::from_secs(1));
            }
        }
    }

    /// Says something that was heard to somebody for whom it was not meant.
    fn parrot(&mut self, node: usize) {
        let Some((path, body)) = self.chance.pick(&self.heard[node]).cloned() else { return };
        let other = self.chance.below(self.plan.mixers as u64) as usize;
        if other != node {
            self.knowledge.tells(other, path.as_bytes());
            self.knowledge.tells(other, &body);
            self.command(node, other, [0; 16], Kind::Mix, &path, &body);
        }
    }
}

/// Reads the answer to a command of this kind.
fn read(kind: Kind, body: Vec<u8>) -> Option<Answer> {
    match kind {
        Kind::Mix => body.try_into().ok().map(Answer::Seed),
        Kind::Confirm => body.is_empty().then_some(Answer::Taken),
        Kind::GetConfirm => Some(Answer::Promises(body)),
    }
}
