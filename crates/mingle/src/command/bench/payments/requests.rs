//! Promises asked of one mixer, its only hop's last mixer, by many payers at the same time.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use mixing::Chance;
use mixing::keys::Secret;
use money::{Account, AccountKey, Amount};
use payment::document::{Currency, PeerInfo, Request, Signed};
use payment::effect::{Answer, Command};
use payment::onion::{self, Layer};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Error;
use crate::clock::Clock;
use crate::local::running::Running;
use crate::payments::client::Client;
use crate::payments::config;
use crate::payments::local::LocalPayments;

/// What came of it.
pub(super) struct Asked {
    pub(super) asked: usize,
    pub(super) promised: usize,
    seconds: f64,
    core_seconds: f64,
}

impl Asked {
    pub(super) fn per_second(&self) -> f64 {
        self.promised as f64 / self.seconds
    }

    /// Time of one core that a request costs the mixer, in milliseconds.
    pub(super) fn core_ms(&self) -> f64 {
        self.core_seconds * 1000.0 / self.promised as f64
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "asked": self.asked,
            "promised": self.promised,
            "per_second": self.per_second(),
            "core_ms_each": self.core_ms(),
        })
    }
}

const AMOUNT: u64 = 100;

/// Asks for `each` promises for every sender; a sender asks one after the other.
pub(super) async fn measure(
    progress: &ProgressBar,
    town: &LocalPayments,
    senders: usize,
    each: usize,
) -> Result<Asked, Error> {
    progress.set_message(format!("{senders} payers get money"));
    let mut chance = Chance::new(crate::key::random()?);
    let keys: Vec<_> = (0..senders).map(|_| AccountKey::from_seed(chance.bytes())).collect();
    let mixer = town.infos()[0].content().clone();
    let amount = Amount::from_units(AMOUNT).plus(mixer.terms.fee).expect("small numbers");
    fund(town, &keys, amount.units() * each as u64).await?;
    progress.set_message(format!("{} requests are written", senders * each));
    let mut plans = Vec::new();
    for key in keys {
        let requests = (0..each).map(|_| request(&key, &mixer, amount, town, &mut chance));
        plans.push((key.account(), requests.collect::<Vec<_>>()));
    }
    progress.set_message(format!("{senders} payers ask for {each} promises each"));
    let client = Arc::new(Client::new(&config::Client::default(), town.currency())?);
    let core_before = core_time(&town.mixers[0])?;
    let (clock, began) = Clock::started();
    let mut asking = JoinSet::new();
    for (sender, requests) in plans {
        let (client, mixer) = (client.clone(), mixer.clone());
        asking.spawn(async move {
            let mut promised = 0;
            for request in requests {
                let answer = client.ask(&sender, &mixer, &request).await;
                promised += usize::from(matches!(answer, Ok(Answer::Seed(_))));
            }
            promised
        });
    }
    let promised = asking.join_all().await.into_iter().sum();
    let seconds = (clock.now().time - began).as_secs_f64();
    let core_seconds = (core_time(&town.mixers[0])? - core_before).as_secs_f64();
    Ok(Asked { asked: senders * each, promised, seconds, core_seconds })
}

/// Gives everybody what their orders need, and waits until the last one has it.
async fn fund(town: &LocalPayments, keys: &[AccountKey], amount: u64) -> Result<(), Error> {
    let failed = |why| Error::Ledger { url: town.url().to_owned(), why };
    let ledger = ledger::embedded::Client::connect(town.url()).await.map_err(failed)?;
    let Some((last, others)) = keys.split_last() else { return Ok(()) };
    for key in others {
        ledger.faucet(&key.account(), Amount::from_units(amount)).await.map_err(failed)?;
    }
    town.faucet(&last.account(), amount).await
}

/// A request for a promise of which this mixer is the last hop.
fn request(
    key: &AccountKey,
    mixer: &PeerInfo,
    amount: Amount,
    town: &LocalPayments,
    chance: &mut Chance,
) -> Command {
    let currency: Currency = town.currency();
    let sender = key.account();
    // Long enough for all that is measured.
    let expire = mixer.sigtime + 3600;
    let layer = Layer {
        sender,
        in_amount: amount,
        in_seed: chance.bytes(),
        next: Account::from_bytes(chance.bytes()),
        next_is_mixer: false,
        out_amount: Amount::from_units(AMOUNT),
        out_seed: chance.bytes(),
        expire_date: expire,
        payout_date: expire + 3600,
        one_time: Secret::new(chance.bytes()),
        hop_key: Secret::new(chance.bytes()),
    };
    let request = Request {
        to: mixer.pubkey,
        sender: *sender.as_bytes(),
        amount,
        client: true,
        req_date: mixer.sigtime,
        onion: onion::build(&[(&mixer.enckey, &layer)], &currency, chance),
    };
    Command::Mix(Signed::make(request, &currency, key).bytes().to_vec())
}

/// The time that a process has spent on cores.
fn core_time(process: &Running) -> Result<Duration, Error> {
    let path = format!("/proc/{}/stat", process.id());
    let text = std::fs::read_to_string(&path).map_err(|why| Error::system("/proc", why))?;
    // The name in parentheses may hold anything; after it the eleventh and twelfth are the times.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}
