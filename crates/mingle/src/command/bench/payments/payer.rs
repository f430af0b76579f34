//! A payer of one part at a time, whose deposit is timed.

use std::collections::VecDeque;
use std::time::Duration;

use mixing::{Chance, Time};
use money::{Account, AccountKey, Amount};
use payment::document::PeerInfo;
use payment::effect::{Effect, OrderId};
use payment::payer::{self, Payer as Core};
use payment::route::Pace;

use super::PERIOD;
use crate::Error;
use crate::clock::Clock;
use crate::payments::chain::Chain;
use crate::payments::client::Client;
use crate::payments::config;
use crate::payments::local::LocalPayments;

pub(super) struct Payer {
    core: Core,
    key: AccountKey,
    client: Client,
    chain: Chain,
    route: Vec<PeerInfo>,
    clock: Clock,
    chance: Chance,
}

const AMOUNT: u64 = 100;

impl Payer {
    pub(super) async fn new(town: &LocalPayments) -> Result<Self, Error> {
        let seed = crate::key::random()?;
        let key = AccountKey::from_seed(seed);
        town.faucet(&key.account(), 1_000 * AMOUNT).await?;
        let client = Client::new(&config::Client::default(), town.currency())?;
        let chain = Chain::connect(&town.link(), &client).await?;
        let config = payer::Config {
            currency: town.currency(),
            pace: Pace { deposit: 120, margin: 30, step: 1 },
            period: PERIOD,
            poll: Duration::from_millis(50),
            parts_max: 16,
            anew: true,
        };
        let (clock, mut chance) = (Clock::start(), Chance::new(crate::key::random()?));
        let (copy, fork) = (AccountKey::from_seed(seed), chance.fork());
        let height = chain.height().await?;
        let core = Core::resume(config, copy, fork, [], height, clock.now());
        let core = core.expect("there are no records that could be wrong");
        let route = town.infos().iter().map(|info| info.content().clone()).collect();
        Ok(Self { core, key, client, chain, route, clock, chance })
    }

    /// Pays once; from the deposit to the arrival.
    pub(super) async fn pay(&mut self) -> Result<Duration, Error> {
        let receiver = Account::from_bytes(self.chance.bytes());
        let (mut part, mut paid_at) = (None, None);
        while part.is_none_or(|part| self.state(part) != "arrived") {
            self.read_blocks(&receiver).await?;
            let mut out = Vec::new();
            match part {
                None => part = self.begin(receiver, &mut out),
                Some(part) if self.state(part) == "ready" => {
                    paid_at = Some(self.clock.now().time);
                    let paid = self.core.pay(part, &mut out);
                    paid.map_err(|why| Error::Failed(why.to_string()))?;
                }
                Some(part) if self.state(part) == "failed" => {
                    return Err(Error::Failed("a mixer made no promise".into()));
                }
                Some(_) => self.core.tick(self.clock.now(), &mut out),
            }
            self.perform(out).await?;
        }
        let now: Time = self.clock.now().time;
        Ok(paid_at.map_or(Duration::ZERO, |paid_at| now - paid_at))
    }

    fn state(&self, part: OrderId) -> &'static str {
        self.core.parts().get(&part).map_or("lost", |part| part.name())
    }

    fn begin(&mut self, receiver: Account, out: &mut Vec<Effect>) -> Option<OrderId> {
        let route: Vec<_> = self.route.iter().collect();
        let amount = Amount::from_units(AMOUNT);
        self.core.begin(self.clock.now(), &route, receiver, amount, out).ok()
    }

    /// Waits for the next final block and takes it.
    async fn read_blocks(&mut self, receiver: &Account) -> Result<(), Error> {
        let from = self.core.next_block();
        let blocks = self.chain.blocks(from, &self.key.account()).await?;
        let arrivals = self.chain.blocks(from, receiver).await?;
        for (block, arrived) in blocks.iter().zip(arrivals) {
            let mut out = Vec::new();
            let taken = self.core.on_block(block, &arrived.received, &mut out);
            taken.map_err(|why| Error::Failed(why.to_string()))?;
            self.perform(out).await?;
        }
        Ok(())
    }

    /// Does what the core wants, and what follows from that.
    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Error> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let mut out = Vec::new();
            // What is refused is a repetition.
            let _ = match effect {
                Effect::Ask { order, to, command } => {
                    let mixer = self.route.iter().find(|info| info.pubkey == to);
                    let mixer = mixer.expect("the core asks mixers of its route");
                    let answer = self.client.ask(&self.key.account(), mixer, &command).await;
                    self.core.on_heard(self.clock.now(), order, answer, &mut out)
                }
                Effect::Sign { slot, payment, period } => {
                    let (bytes, last) = self.chain.sign(&self.key, slot, payment, period).await?;
                    self.core.on_signed(slot, bytes, last, &mut out)
                }
                Effect::Broadcast(bytes) => {
                    let _ = self.chain.submit(&bytes).await;
                    Ok(())
                }
                Effect::Save(_) | Effect::Reply(_) | Effect::Tell(_) => Ok(()),
            };
            effects.extend(out);
        }
        Ok(())
    }
}
