//! What becomes of each share: when its part is begun, on which route, when it is paid, given up, over.
//!
//! ```text
//! due ─► route, promises ─► all verified ─► agreed? ─► deposit ─► hops ─► arrived ─► company counted
//!          └── another route, at most ROUTES_MAX: no money has moved
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use mixing::Time;
use money::{Account, Amount};
use payment::document::{PeerInfo, Signed};
use payment::effect::OrderId;
use payment::payer::{Failure, Part};
use payment::peers::{Peer, Peers};
use payment::route::{NoRoute, Wish, choose};
use tokio::task::JoinSet;

use super::{Agreement, Event, Payer, Setback, Step, Stop, Which};
use crate::Error;
use crate::payments::book::{End, Payment, Share, infos_change};
use crate::payments::client::Silence;
use crate::payments::trail::{TOGETHER, Trail};

/// What is known of a share in this run alone.
#[derive(Default)]
pub(super) struct Live {
    /// Routes that would not do.
    tries: u32,
    /// Mixers that would not do.
    avoid: BTreeSet<Account>,
    /// When this route was asked.
    since: Option<Time>,
    /// What the first mixer said last, and how often it was silent.
    silence: Option<(u32, Silence)>,
    /// The core's word for its part, when last shown.
    shown: &'static str,
    /// How many hops were shown.
    hops_shown: usize,
    trail: Option<Trail>,
    given_up: bool,
    /// The newest block when it had arrived.
    arrived_at: Option<u64>,
}

/// What a share needs.
enum Turn {
    Nothing,
    Begin,
    SetBack(Setback),
    Lost,
    Look,
    Pay(OrderId),
    Watch(OrderId),
    End(End),
    Count,
}

/// The most routes that are tried for a share in one run.
const ROUTES_MAX: u32 = 3;
/// A deposit needs so many blocks before the first mixer's date, beside those until finality.
const DEPOSIT_BLOCKS: u64 = 6;
/// A first mixer that was silent so often will not do.
const SILENCES_MAX: u32 = 2;
/// So many blocks after the arrival, company is not counted any more.
const COUNT_BLOCKS: u64 = 20;
/// How often a route is drawn to find one whose first mixer is not dear.
const DRAWS_MAX: usize = 8;

/// What the first mixer of a part takes, once it has promised.
pub(super) fn fee(part: &Part) -> Option<Amount> {
    let first = part.promises().first()?.content();
    first.in_amount.minus(first.out_amount)
}

impl Payer {
    /// Whether every share of a payment has ended, or will not be tried again in this run.
    pub fn is_done(&self, number: u64) -> bool {
        let Some(payment) = self.book.find(number) else { return true };
        (0..payment.shares.len()).all(|share| {
            let given_up = self.live.get(&Which { payment: number, share });
            let given_up = given_up.is_some_and(|live| live.given_up);
            given_up || payment.shares[share].end.is_some() && !self.is_uncounted(number, share)
        })
    }

    fn is_uncounted(&self, payment: u64, share: usize) -> bool {
        let Some(known) = self.share(Which { payment, share }) else { return false };
        let live = self.live.get(&Which { payment, share });
        let arrived_at = live.and_then(|live| live.arrived_at);
        known.company.is_empty() && arrived_at.is_some_and(|at| self.newest < at + COUNT_BLOCKS)
    }

    fn share(&self, which: Which) -> Option<&Share> {
        self.book.find(which.payment)?.shares.get(which.share)
    }

    fn tell(&mut self, which: Which, step: Step) {
        self.events.push_back(Event::Share(which, step));
    }

    /// The mixers that may be asked.
    pub(super) fn fit<'a>(&self, peers: &'a Peers) -> impl Iterator<Item = &'a Peer> + use<'a> {
        let unvouched = self.settings.unvouched;
        peers
            .iter()
            .filter(move |peer| peer.is_reached() && (unvouched || peer.vouched().is_some()))
    }

    pub(super) async fn look_after_shares(&mut self) -> Result<(), Error> {
        if !self.caught_up {
            return Ok(());
        }
        let mut open = Vec::new();
        for payment in self.book.payments() {
            for (share, known) in payment.shares.iter().enumerate() {
                if known.end.is_none() || self.is_uncounted(payment.number, share) {
                    open.push(Which { payment: payment.number, share });
                }
            }
        }
        for which in open {
            self.look_after(which).await?;
        }
        Ok(())
    }

    async fn look_after(&mut self, which: Which) -> Result<(), Error> {
        match self.turn(which) {
            Turn::Nothing => Ok(()),
            Turn::Begin => self.begin(which).await,
            Turn::SetBack(why) => self.set_back(which, why).await,
            Turn::Lost => self.change_share(which, |share| share.part = None).await,
            Turn::Look => {
                let why = self.why_not_back(which).await;
                self.set_back(which, why).await
            }
            Turn::Pay(id) => self.pay(id).await,
            Turn::Watch(id) => self.watch(which, id).await,
            Turn::End(end) => self.end(which, end).await,
            Turn::Count => self.count_company(which).await,
        }
    }

    /// What a share needs now.
    fn turn(&mut self, which: Which) -> Turn {
        let (now, date, patience) =
            (self.clock.now().time, self.core.date(), self.settings.patience);
        let Some(payment) = self.book.find(which.payment) else { return Turn::Nothing };
        // What is usual is asked for only until the payer agreed to it.
        let usual = if payment.fee_most.is_none() { self.fee_most() } else { Amount::ZERO };
        let share = &payment.shares[which.share];
        let live = self.live.entry(which).or_default();
        if share.end.is_some() {
            return Turn::Count;
        }
        let Some(id) = share.part else {
            return match may_begin(payment, which.share, date) && !live.given_up {
                true => Turn::Begin,
                false => Turn::Nothing,
            };
        };
        let Some(part) = self.core.parts().get(&id) else { return Turn::Lost };
        let is_new = std::mem::replace(&mut live.shown, part.name()) != part.name();
        match part {
            Part::Asking { .. } | Part::Waiting { .. } => {
                let since = *live.since.get_or_insert(now);
                if is_new && matches!(part, Part::Waiting { .. }) {
                    self.events.push_back(Event::Share(which, Step::Awaited));
                }
                waited(part, live, self.infos.get(&id), now - since, patience)
            }
            Part::Ready { plan, promises, .. } => {
                let block =
                    u64::try_from(self.chain.about().block_time.as_millis()).unwrap_or(u64::MAX);
                let blocks = DEPOSIT_BLOCKS + self.chain.about().finality_lag;
                let needed = block.saturating_mul(blocks).div_ceil(1000);
                if plan.first().layer.expire_date <= date.saturating_add(needed) {
                    return Turn::SetBack(Setback::TooLate);
                }
                if is_new {
                    let promises = promises.iter().map(|p| p.content().clone()).collect();
                    self.events.push_back(Event::Share(which, Step::Promised(promises)));
                }
                let fee = fee(part).unwrap_or_default();
                match payment.fee_most {
                    Some(most) if fee > most => Turn::SetBack(Setback::Fees),
                    Some(_) => Turn::Pay(id),
                    None if is_new => {
                        let number = which.payment;
                        let question = Agreement { number, fee_most: usual.max(fee) };
                        self.events.push_back(Event::Share(which, Step::Question(question)));
                        Turn::Nothing
                    }
                    None => Turn::Nothing,
                }
            }
            Part::Depositing { .. } => {
                if is_new {
                    self.events.push_back(Event::Share(which, Step::Depositing));
                }
                if !self.core.is_clear() && !std::mem::replace(&mut self.quiet_said, true) {
                    self.events.push_back(Event::Quiet { blocks: self.settings.period });
                }
                Turn::Nothing
            }
            Part::Deposited { .. } => {
                if is_new {
                    self.events.push_back(Event::Share(which, Step::Deposited));
                }
                Turn::Watch(id)
            }
            Part::Arrived { .. } => Turn::End(End::Arrived),
            Part::Returned { .. } => Turn::End(End::Returned),
            Part::Failed(why) => Turn::SetBack(match why {
                Failure::Refused => {
                    let why = live.silence.clone().map_or(Silence::Unreached, |(_, said)| said);
                    Setback::Refused { mixer: mixer(self.infos.get(&id), 0), why }
                }
                Failure::Mistrust(why) => {
                    Setback::Mistrust(mixer(self.infos.get(&id), why.hop), *why)
                }
                Failure::TooLate => Setback::TooLate,
                Failure::Unpaid => Setback::Unpaid,
                Failure::Earlier => Setback::Earlier,
            }),
        }
    }

    /// What the first mixer answered last to the question about a part.
    pub(super) fn remember_silence(&mut self, part: &OrderId, said: Option<&Silence>) {
        let shares = self.book.payments().flat_map(|payment| {
            payment
                .shares
                .iter()
                .enumerate()
                .map(move |(at, share)| (payment.number, at, share.part))
        });
        let Some((payment, share, _)) =
            shares.into_iter().find(|(_, _, id)| id.as_ref() == Some(part))
        else {
            return;
        };
        let live = self.live.entry(Which { payment, share }).or_default();
        let times = live.silence.as_ref().map_or(0, |(times, _)| *times);
        live.silence = said.map(|said| (times + 1, said.clone()));
    }

    /// Draws a route for a share and asks it for promises.
    async fn begin(&mut self, which: Which) -> Result<(), Error> {
        let Some(payment) = self.book.find(which.payment).cloned() else { return Ok(()) };
        if self.core.unknown_since(payment.begun) > 0 {
            return self.set_back(which, Setback::OldCopy).await;
        }
        // What an earlier process may have paid is on the chain before anything is begun anew.
        if !self.core.is_clear() {
            if !std::mem::replace(&mut self.quiet_said, true) {
                self.events.push_back(Event::Quiet { blocks: self.settings.period });
            }
            return Ok(());
        }
        self.gather().await?;
        let route = match self.route(which, &payment) {
            Ok(Some(route)) => route,
            // Mixers become free when other parts have arrived.
            Ok(None) => return Ok(()),
            Err(why) => return self.set_back(which, why).await,
        };
        let infos: Vec<_> = route.iter().map(Signed::content).collect();
        let amount = payment.shares[which.share].amount;
        let mut out = Vec::new();
        let from = self.core.next_block() - 1;
        let begun = self.core.begin(self.clock.now(), &infos, payment.to, amount, &mut out);
        let id = match begun {
            Ok(id) => id,
            Err(why) => return self.set_back(which, Setback::Core(why)).await,
        };
        let stops = infos.iter().map(|info| stop(info)).collect();
        let raws = route.iter().map(|info| info.bytes().to_vec()).collect();
        let mut extra = vec![infos_change(&id, Some(raws))];
        self.infos.insert(id, route);
        if let Some(payment) = self.book.find_mut(which.payment) {
            let share = &mut payment.shares[which.share];
            (share.part, share.from) = (Some(id), from);
            extra.push(payment.share_change(which.share));
        }
        let live = self.live.entry(which).or_default();
        (live.since, live.silence, live.trail) = (Some(self.clock.now().time), None, None);
        live.shown = "asking";
        self.tell(which, Step::Asked(stops));
        self.perform(out, extra).await
    }

    /// A route for a share; none while other parts hold too many mixers.
    fn route(
        &mut self,
        which: Which,
        payment: &Payment,
    ) -> Result<Option<Vec<Signed<PeerInfo>>>, Setback> {
        let most = payment.fee_most.unwrap_or_else(|| self.fee_most());
        let mut without = BTreeSet::from([self.account, payment.to]);
        let under_way = self.core.parts().values().filter_map(Part::plan);
        let busy: BTreeSet<_> =
            under_way.flat_map(|plan| plan.hops.iter().map(|hop| hop.account)).collect();
        without.extend(&busy);
        without.extend(self.live.get(&which).into_iter().flat_map(|live| &live.avoid));
        let wish = Wish {
            hops: payment.hops,
            amount: payment.shares[which.share].amount,
            unvouched: self.settings.unvouched,
            without,
        };
        let Some((_, gathered)) = &self.gathered else { return Ok(None) };
        for _ in 0..DRAWS_MAX {
            let mut route = match choose(&gathered.peers, &wish, &mut self.chance) {
                Ok(route) => route,
                Err(NoRoute::TooFew { .. }) if !busy.is_empty() => return Ok(None),
                Err(why) => return Err(Setback::NoRoute(why)),
            };
            let Some(first) = route.iter().position(|peer| peer.info().terms.fee <= most) else {
                continue;
            };
            route.swap(0, first);
            return Ok(Some(route.into_iter().map(|peer| peer.signed().clone()).collect()));
        }
        Err(Setback::Fees)
    }

    /// Gives a route up; the next turn tries another, or none.
    async fn set_back(&mut self, which: Which, why: Setback) -> Result<(), Error> {
        let part = self.share(which).and_then(|share| share.part);
        let (mut out, mut extra) = (Vec::new(), Vec::new());
        if let Some(id) = part {
            let _ = self.core.forget(id, &mut out);
            self.infos.remove(&id);
            extra.push(infos_change(&id, None));
        }
        if let Some(payment) = self.book.find_mut(which.payment) {
            payment.shares[which.share].part = None;
            extra.push(payment.share_change(which.share));
        }
        // Somebody may have gone: look again before another route.
        self.gathered = None;
        let live = self.live.entry(which).or_default();
        live.tries += 1;
        live.shown = "";
        match &why {
            Setback::Silent { mixer, .. }
            | Setback::Refused { mixer, .. }
            | Setback::Mistrust(mixer, _) => {
                live.avoid.insert(*mixer);
            }
            Setback::NotPassedOn
            | Setback::NotBack
            | Setback::TooLate
            | Setback::Unpaid
            | Setback::NoRoute(_)
            | Setback::Fees
            | Setback::Core(_)
            | Setback::OldCopy
            | Setback::Earlier => {}
        }
        live.given_up = live.tries >= ROUTES_MAX || !why.is_passing();
        let step = if live.given_up { Step::GivenUp(why) } else { Step::SetBack(why) };
        self.tell(which, step);
        self.perform(out, extra).await
    }

    /// Finds out which mixer of a route does not answer, if one does not.
    async fn why_not_back(&mut self, which: Which) -> Setback {
        let Some(id) = self.share(which).and_then(|share| share.part) else {
            return Setback::NotBack;
        };
        let accounts = self
            .core
            .parts()
            .get(&id)
            .and_then(Part::plan)
            .map(|plan| plan.hops.iter().map(|hop| hop.account).collect::<Vec<_>>());
        let mut proofs = JoinSet::new();
        for (at, mixer) in accounts.unwrap_or_default().into_iter().enumerate() {
            let Some(info) = self.info_of(&id, &mixer) else { continue };
            let client = self.client.clone();
            proofs.spawn(async move { (at + 1, mixer, client.proves(&info).await) });
        }
        let mut silent = proofs.join_all().await;
        silent.retain(|(_, _, proof)| proof.is_err());
        silent.sort_by_key(|(hop, _, _)| *hop);
        match silent.into_iter().next() {
            Some((hop, mixer, Err(why))) => Setback::Silent { hop, mixer, why },
            _ => match self.live.get(&which).and_then(|live| live.silence.as_ref()) {
                Some((_, Silence::Refused { word, .. })) if word == NO_ORDER => {
                    Setback::NotPassedOn
                }
                _ => Setback::NotBack,
            },
        }
    }

    async fn pay(&mut self, id: OrderId) -> Result<(), Error> {
        let mut out = Vec::new();
        // Refused only if its time has just run out; the part says so itself.
        let _ = self.core.pay(id, &mut out);
        self.perform(out, Vec::new()).await
    }

    /// Follows a deposit over the ledger.
    async fn watch(&mut self, which: Which, id: OrderId) -> Result<(), Error> {
        let mut out = Vec::new();
        if self.follow(which, id).await {
            let live = self.live.entry(which).or_default();
            if let Some(arrival) = live.trail.as_ref().and_then(Trail::arrival) {
                let found = [arrival.clone()];
                self.core.on_found(&found, &mut out);
            }
        }
        self.perform(out, Vec::new()).await
    }

    /// Reads a part's trail on; whether the ledger answered.
    async fn follow(&mut self, which: Which, id: OrderId) -> bool {
        let (Some(part), Some(from)) =
            (self.core.parts().get(&id), self.share(which).map(|share| share.from))
        else {
            return false;
        };
        let (promises, newest) = (part.promises(), self.newest);
        let live = self.live.entry(which).or_default();
        let currency = self.client.currency();
        let trail = live.trail.get_or_insert_with(|| Trail::new(promises, currency, from));
        let answered = trail.follow(&self.chain, newest).await.is_ok();
        let (seen, hops) = (trail.seen(), promises.len());
        // The last payout is the arrival, which is said by itself.
        if seen > std::mem::replace(&mut live.hops_shown, seen) && seen < hops {
            self.tell(which, Step::PaidOn(seen, hops));
        }
        answered
    }

    async fn end(&mut self, which: Which, end: End) -> Result<(), Error> {
        self.change_share(which, |share| share.end = Some(end)).await?;
        if end == End::Arrived {
            self.live.entry(which).or_default().arrived_at = Some(self.newest);
        }
        let step = match end {
            End::Arrived => Step::Arrived,
            End::Returned => Step::Returned,
        };
        self.tell(which, step);
        Ok(())
    }

    /// Counts with how many others a part has left each mixer, once the blocks beside it are final.
    async fn count_company(&mut self, which: Which) -> Result<(), Error> {
        let Some(id) = self.share(which).and_then(|share| share.part) else { return Ok(()) };
        self.follow(which, id).await;
        let newest = self.newest;
        let live = self.live.entry(which).or_default();
        let Some(trail) = &live.trail else { return Ok(()) };
        let last = trail.arrival().map(|arrival| arrival.place.block + TOGETHER);
        if last.is_none_or(|last| newest < last) {
            return Ok(());
        }
        let Ok(company) = trail.company(&self.chain).await else { return Ok(()) };
        self.change_share(which, |share| share.company = company.clone()).await?;
        self.tell(which, Step::Company(company));
        Ok(())
    }

    async fn change_share(
        &mut self,
        which: Which,
        change: impl FnOnce(&mut Share),
    ) -> Result<(), Error> {
        let Some(payment) = self.book.find_mut(which.payment) else { return Ok(()) };
        change(&mut payment.shares[which.share]);
        let change = payment.share_change(which.share);
        self.store.save(vec![change]).await
    }
}

/// The refusal of a mixer that has no such order, or has it no more.
const NO_ORDER: &str = "no_order";

/// Whether a share's time has come. Before its payer agreed, a payment has one part.
fn may_begin(payment: &Payment, index: usize, date: u64) -> bool {
    let share = &payment.shares[index];
    let first = payment.shares.iter().position(|share| share.end.is_none()) == Some(index);
    share.due <= date && (payment.fee_most.is_some() || first)
}

/// What a part needs that is being asked for.
fn waited(
    part: &Part,
    live: &Live,
    route: Option<&Vec<Signed<PeerInfo>>>,
    waited: Duration,
    patience: Duration,
) -> Turn {
    let Some((times, said)) = &live.silence else {
        return if waited >= patience { Turn::Look } else { Turn::Nothing };
    };
    match (part, said) {
        (Part::Waiting { .. }, Silence::Refused { word, .. }) if word == NO_ORDER => Turn::Look,
        (Part::Asking { .. }, Silence::Refused { .. }) if *times >= SILENCES_MAX => {
            Turn::SetBack(Setback::Refused { mixer: mixer(route, 0), why: said.clone() })
        }
        (Part::Asking { .. }, _) if *times >= SILENCES_MAX => Turn::Look,
        _ if waited >= patience => Turn::Look,
        _ => Turn::Nothing,
    }
}

/// A mixer on a route, by hop from 0; nobody if the records have lost the route.
fn mixer(route: Option<&Vec<Signed<PeerInfo>>>, hop: usize) -> Account {
    let info = route.and_then(|route| route.get(hop));
    info.map_or(Account::from_bytes([0; 32]), |info| info.content().pubkey)
}

fn stop(info: &PeerInfo) -> Stop {
    Stop {
        account: info.pubkey,
        host: info.host.clone(),
        fee: info.terms.fee,
        company: info.terms.company,
        wait_max_s: info.terms.wait_max_s,
    }
}
