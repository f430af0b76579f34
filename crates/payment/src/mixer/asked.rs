//! A mixer before the money: asked for a promise, asking the next mixer, handing promises back.
//!
//! What always holds: the same bytes get the same answer and make no second order; nothing is promised
//! before it is saved, and nothing before the next mixer's promises are; what is signed was composed
//! here, with strangers' bytes only inside. Checks go from cheap to dear: size, copy, quota, sender,
//! signature, envelope, disk.

use mixing::cipher;
use mixing::keys::Secret;
use mixing::{Chance, Now};
use money::{Account, Amount};
use zeroize::Zeroizing;

use super::{Config, Mixer, Order, SEEN_PER_ORDER, records};
use crate::document::{Confirm, GetConfirm, Request, Signed, Unverified};
use crate::effect::{Answer, Effect, OrderId, Refused, Unheard};
use crate::onion::{self, Layer, Unopened};
use crate::order::{Deal, HopKeys, Step};
use crate::promises;

/// How far a request's date may be from the newest final block's, in seconds.
pub(super) const DATE_FAR_S: u64 = 3600;

impl Mixer {
    /// `/mix`: somebody asks for a promise.
    pub(super) fn on_request(
        &mut self,
        now: Now,
        body: &[u8],
        owned: Amount,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let hash = cipher::hash("mingle request v1", &[body]);
        if let Some(order) = self.index.request.get(&hash).and_then(|id| self.orders.get(id)) {
            out.push(Effect::Reply(Answer::Seed(order.deal().in_seeds[0])));
            return Ok(());
        }
        let request = Unverified::<Request>::parse(body, &self.config.currency)?;
        self.check_request(now, request.content())?;
        let sender = self.sender(request.content())?;
        self.check_quota(request.content(), sender, owned)?;
        let request = request.verify(sender)?;
        let id = onion::fingerprint(&request.content().onion);
        if self.index.seen.contains_key(&id) {
            return Err(Refused::Replayed);
        }
        let (layer, rest) = self.open(&request.content().onion)?;
        check_layer(&self.config, self.account, request.content(), sender, &layer)?;
        self.check_dates(&layer)?;
        let (seeds, expire_date) = (self.seeds(request.content(), sender), layer.expire_date);
        let in_seed = seeds.own;
        // Whoever is refused here may ask again with the same onion: it is remembered only from now on.
        let order = self.accept(request.content(), hash, sender, layer, seeds, &rest)?;
        let mut changes = vec![self.index.see(id, expire_date)];
        changes.push(records::order(id, Some(&order)));
        if let Some(promise) = order.promise(self.account) {
            changes.push(self.see_payout(&promise));
        }
        self.insert(id, order);
        self.send_later(now, id);
        out.push(Effect::Save(changes));
        out.push(Effect::Reply(Answer::Seed(in_seed)));
        Ok(())
    }

    fn check_request(&self, now: Now, request: &Request) -> Result<(), Refused> {
        if request.to != self.account {
            return Err(Refused::NotForUs);
        }
        if !self.makes_promises(now) {
            return Err(Refused::NoPromises);
        }
        if request.req_date.abs_diff(self.ledger.date) > DATE_FAR_S {
            return Err(Refused::DateFar);
        }
        let full = self.orders.len() >= self.config.orders_max
            || self.index.seen.len() + 2 > SEEN_PER_ORDER * self.config.orders_max;
        if full { Err(Refused::Full) } else { Ok(()) }
    }

    /// Who must have signed a request.
    fn sender(&self, request: &Request) -> Result<Account, Refused> {
        match request.client {
            true => Ok(Account::from_bytes(request.sender)),
            false => {
                let peer = self.peers.by_hash(&request.sender).ok_or(Refused::UnknownSender)?;
                Ok(peer.info().pubkey)
            }
        }
    }

    /// An unfunded order costs a place: a payer must own what all of his would cost him.
    fn check_quota(
        &self,
        request: &Request,
        sender: Account,
        owned: Amount,
    ) -> Result<(), Refused> {
        let (count, sum) = self.index.open.get(&sender).copied().unwrap_or_default();
        let vouched = self.peers.find(&sender).is_some_and(|peer| peer.vouched().is_some());
        let most = match (request.client, vouched) {
            (true, _) => self.config.client_orders_max,
            (false, true) => self.config.vouched_orders_max,
            (false, false) => self.config.peer_orders_max,
        };
        if count >= most {
            return Err(Refused::SenderFull);
        }
        let needed = sum.checked_add(request.amount.units());
        match request.client && needed.is_none_or(|needed| needed > owned.units()) {
            true => Err(Refused::NotOwned),
            false => Ok(()),
        }
    }

    fn open(&self, onion: &[u8]) -> Result<(Layer, Vec<u8>), Refused> {
        let mut result = Err(Unopened::Forged);
        for (_, key) in self.keys.iter().rev() {
            result = onion::open(key, &self.config.currency, onion);
            if !matches!(result, Err(Unopened::Forged)) {
                break;
            }
        }
        Ok(result?)
    }

    fn check_dates(&self, layer: &Layer) -> Result<(), Refused> {
        let Config { terms, margin_s, horizon_s, .. } = &self.config;
        let wait = terms.wait_max_s + margin_s;
        let fits = layer.expire_date > self.ledger.date
            && layer.payout_date >= layer.expire_date.saturating_add(wait)
            && layer.payout_date <= self.ledger.date.saturating_add(*horizon_s);
        if fits { Ok(()) } else { Err(Refused::WrongDates) }
    }

    /// The seeds that we contribute. They are drawn from our key and the onion, and so the same when
    /// the same onion is asked for again, even by a process that knows nothing of the first time
    /// because its file is an old copy: whatever it promises then is the same payment.
    fn seeds(&self, request: &Request, sender: Account) -> Seeds {
        let amount = request.amount.units().to_be_bytes();
        let parts = [&self.seed_key.expose()[..], sender.as_bytes(), &amount, &request.onion];
        let mut bytes = Zeroizing::new([0; 96]);
        cipher::derive("mingle order seeds v1", &parts, &mut *bytes);
        let part = |at: usize| std::array::from_fn(|i| bytes[at + i]);
        Seeds { own: part(0), last: part(32), noise: Secret::new(part(64)) }
    }

    /// Begins the order: as the last mixer with the promise at once, else with a question to the next.
    fn accept(
        &self,
        request: &Request,
        hash: [u8; 32],
        sender: Account,
        layer: Layer,
        seeds: Seeds,
        rest: &[u8],
    ) -> Result<Order, Refused> {
        let deal = Deal {
            request: hash,
            client: request.client,
            sender,
            in_amount: layer.in_amount,
            in_seeds: [seeds.own, layer.in_seed],
            next: layer.next,
            next_is_mixer: layer.next_is_mixer,
            out_amount: layer.out_amount,
            out_seed: layer.out_seed,
            req_date: request.req_date,
            expire_date: layer.expire_date,
            payout_date: layer.payout_date,
        };
        let keys = HopKeys { one_time: layer.one_time, hop_key: layer.hop_key };
        if deal.next_is_mixer {
            self.peers.find(&deal.next).ok_or(Refused::UnknownNext)?;
            let ask = self.ask(&deal, rest);
            return Ok(Order::Requested { deal, keys, ask });
        }
        let their_seed = seeds.last;
        let noise = promises::noise(&mut Chance::new(*seeds.noise.expose()));
        let promises = self.promises(&deal, &keys, their_seed, &noise)?;
        Ok(Order::Promised { deal, their_seed, confirmed: [0; 32], promises, acknowledged: false })
    }

    /// The request to the next mixer. Its date is the newest final block's, not the payer's, which
    /// would be the same on all links.
    fn ask(&self, deal: &Deal, onion: &[u8]) -> Vec<u8> {
        let request = Request {
            to: deal.next,
            sender: self.hash,
            amount: deal.out_amount,
            client: false,
            req_date: self.ledger.date,
            onion: onion.to_vec(),
        };
        Signed::make(request, &self.config.currency, &self.key).bytes().to_vec()
    }

    /// What goes back: our promise in front of those of the mixers behind us.
    fn promises(
        &self,
        deal: &Deal,
        keys: &HopKeys,
        their_seed: [u8; 32],
        from_next: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let promise = deal.promise(self.account, their_seed);
        let reference = promise.out_reference(&self.config.currency);
        let print = records::print(&reference);
        // Payer and next mixer choose its seeds. Were they allowed to repeat, one payout would look
        // like the keeping of two promises.
        if self.index.payout.contains_key(&reference) || self.index.seen.contains_key(&print) {
            return Err(Refused::ReferenceTaken);
        }
        let promise = Signed::make(promise, &self.config.currency, &self.key);
        Ok(promises::put(&promise, &keys.one_time, &keys.hop_key, from_next))
    }

    /// What came of asking a mixer.
    pub(super) fn on_heard(
        &mut self,
        id: OrderId,
        answer: Result<Answer, Unheard>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let order = self.orders.get(&id).ok_or(Refused::NoOrder)?;
        let mut changes = Vec::new();
        match (order, answer) {
            (Order::Requested { .. }, Ok(Answer::Seed(seed))) => {
                if self.index.their_seed.contains_key(&seed) {
                    return Err(Refused::ReferenceTaken);
                }
                self.step(id, Step::Answer(seed), &mut changes)?;
                self.timers.clear(&id);
            }
            (Order::Requested { .. }, Err(Unheard::Refused)) => self.forget(id, &mut changes),
            (Order::Promised { .. }, Ok(Answer::Taken) | Err(Unheard::Refused)) => {
                self.step(id, Step::Acknowledge, &mut changes)?;
                self.timers.clear(&id);
            }
            // The timer asks again.
            (Order::Requested { .. } | Order::Promised { .. }, Err(Unheard::Unreachable)) => {
                return Ok(());
            }
            (Order::Requested { .. }, Ok(Answer::Taken | Answer::Promises(_)))
            | (Order::Promised { .. }, Ok(Answer::Seed(_) | Answer::Promises(_)))
            | (
                Order::Answered { .. } | Order::Funded(_) | Order::Paying(..) | Order::Stuck(_),
                Ok(_) | Err(_),
            ) => return Err(Refused::NotNow),
        }
        out.push(Effect::Save(changes));
        Ok(())
    }

    /// `/confirm`: the next mixer hands its promises back.
    pub(super) fn on_confirm(
        &mut self,
        now: Now,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let confirm = Unverified::<Confirm>::parse(body, &self.config.currency)?;
        if confirm.content().to != self.account {
            return Err(Refused::NotForUs);
        }
        let seed = confirm.content().out_seed;
        let id = *self.index.their_seed.get(&seed).ok_or(Refused::NoOrder)?;
        let order = self.orders.get(&id).ok_or(Refused::NoOrder)?;
        let hash = cipher::hash("mingle confirm v1", &[body]);
        let confirm = confirm.verify(order.deal().next)?;
        let from_next = &confirm.content().promises;
        match order {
            Order::Requested { .. } => return Err(Refused::NotNow),
            Order::Answered { deal, keys, their_seed } => {
                if from_next.len() != promises::PROMISES_SIZE {
                    return Err(Refused::Contradiction);
                }
                let promises = self.promises(deal, keys, *their_seed, from_next)?;
                let promise = deal.promise(self.account, *their_seed);
                let mut changes = vec![self.see_payout(&promise)];
                self.step(id, Step::Promise { confirmed: hash, promises }, &mut changes)?;
                self.send_later(now, id);
                out.push(Effect::Save(changes));
            }
            Order::Promised { confirmed, .. } if *confirmed != hash => {
                return Err(Refused::Different);
            }
            Order::Funded(fund) | Order::Paying(fund, _) | Order::Stuck(fund)
                if fund.confirmed != hash =>
            {
                return Err(Refused::Different);
            }
            Order::Promised { .. } | Order::Funded(_) | Order::Paying(..) | Order::Stuck(_) => {}
        }
        out.push(Effect::Reply(Answer::Taken));
        Ok(())
    }

    fn see_payout(&mut self, promise: &crate::document::Promise) -> crate::effect::Change {
        let print = records::print(&promise.out_reference(&self.config.currency));
        let until = promise.payout_date.saturating_add(self.config.terms.keep_s);
        self.index.see(print, until)
    }

    /// What we push to the mixer before us.
    pub(super) fn confirmation(&self, deal: &Deal, promises: &[u8]) -> Vec<u8> {
        let confirm =
            Confirm { to: deal.sender, out_seed: deal.in_seeds[0], promises: promises.to_vec() };
        Signed::make(confirm, &self.config.currency, &self.key).bytes().to_vec()
    }

    /// `/getconfirm`: a payer asks for the promises.
    pub(super) fn on_get_confirm(
        &mut self,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let question = Unverified::<GetConfirm>::parse(body, &self.config.currency)?;
        let GetConfirm { to, sender, in_seed, date } = *question.content();
        if to != self.account {
            return Err(Refused::NotForUs);
        }
        if date.abs_diff(self.ledger.date) > DATE_FAR_S {
            return Err(Refused::DateFar);
        }
        let id = self.index.own_seed.get(&in_seed).ok_or(Refused::NoOrder)?;
        let order = self.orders.get(id).ok_or(Refused::NoOrder)?;
        if !order.deal().client || order.deal().sender != sender {
            return Err(Refused::NoOrder);
        }
        question.verify(sender)?;
        match order {
            Order::Requested { .. } | Order::Answered { .. } => Err(Refused::NotYet),
            Order::Promised { promises, .. } => {
                out.push(Effect::Reply(Answer::Promises(promises.clone())));
                Ok(())
            }
            Order::Funded(_) | Order::Paying(..) | Order::Stuck(_) => Err(Refused::NotNow),
        }
    }
}

/// What we contribute to an order.
struct Seeds {
    /// The seed of the deposit.
    own: [u8; 32],
    /// The seed of the payout, if we are the last mixer.
    last: [u8; 32],
    /// Fills slots of promises, if we are the last mixer.
    noise: Secret<32>,
}

/// Whether a layer says what the request says, and asks for what this mixer does.
fn check_layer(
    config: &Config,
    account: Account,
    request: &Request,
    sender: Account,
    layer: &Layer,
) -> Result<(), Refused> {
    if layer.sender != sender || layer.in_amount != request.amount {
        return Err(Refused::Contradiction);
    }
    let fee = if request.client { config.terms.fee } else { Amount::ZERO };
    let denomination = config.series.holds(layer.out_amount);
    let large = layer.out_amount >= config.terms.least;
    if !denomination || !large || layer.out_amount.plus(fee) != Some(layer.in_amount) {
        return Err(Refused::WrongAmount);
    }
    match layer.next == account || layer.next == sender || sender == account {
        true => Err(Refused::NotDistinct),
        false => Ok(()),
    }
}
