//! `mingle pay`: asks for promises, shows them, asks the payer, pays, and watches it arrive.

mod show;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use money::amount::Unsplittable;
use money::{Account, Amount};
use payment::onion::HOPS_MAX;
use payment::route::HOPS_MIN;
use serde_json::json;
use tokio::sync::oneshot;

use super::say;
use super::signals::Signals;
use crate::Error;
use crate::config::span;
use crate::payments::book::{End, Payment};
use crate::payments::config::WITHIN_MAX;
use crate::payments::payer::{Agreement, Event, Payer, Step};
use crate::payments::settings;
use crate::payments::wallet::Wallet;
use show::Show;

#[derive(Args)]
pub(super) struct Arguments {
    /// The receiver's account, base58 or SS58
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "resume")]
    to: Option<Account>,
    /// What he gets, in the ledger's smallest unit: a sum of at most 32 of 1, 2 and 5 times powers of ten
    #[arg(long, value_name = "UNITS", required_unless_present = "resume")]
    amount: Option<u64>,
    /// Mixers on each route, 2 to 5 [default: what the wallet says, 3]
    #[arg(long, value_parser = hops)]
    hops: Option<usize>,
    /// Over how long the parts are spread [default: what the wallet says, 1h]
    #[arg(long, value_name = "TIME", value_parser = within)]
    within: Option<Duration>,
    /// Take the nearest amount that is a sum of denominations
    #[arg(long)]
    round: Option<Round>,
    /// Do not ask before money moves: for programs
    #[arg(long)]
    yes: bool,
    /// Go on with what was interrupted
    #[arg(long, conflicts_with_all = ["to", "amount", "hops", "within", "round"])]
    resume: bool,
    /// The wallet [default: the only one where settings are kept]
    #[arg(long, value_name = "DIR")]
    wallet: Option<PathBuf>,
    /// Print one JSON object at the end and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Round {
    Up,
    Down,
}

fn hops(text: &str) -> Result<usize, String> {
    let hops = text.parse().map_err(|_| "not a number".to_owned())?;
    match (HOPS_MIN..=HOPS_MAX).contains(&hops) {
        true => Ok(hops),
        false => Err("a route has 2 to 5 mixers: one alone would know both ends".into()),
    }
}

fn within(text: &str) -> Result<Duration, String> {
    let within = span::parse(text)?;
    if within <= WITHIN_MAX { Ok(within) } else { Err("at most 30days".into()) }
}

/// The most parts of one payment.
const PARTS_MAX: usize = 32;

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let runtime = super::runtime()?;
    let paid = runtime.block_on(run(arguments));
    // The thread that waits for an answer at the terminal must not hold up the end.
    runtime.shutdown_background();
    paid
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let can_ask = std::io::stdin().is_terminal();
    if !(arguments.yes || can_ask || arguments.resume) {
        return Err(Error::Usage(UNASKED.into()));
    }
    let wallet = Wallet::find(arguments.wallet.as_deref())?;
    let mut signals = Signals::watch()?;
    let payer = tokio::select! {
        payer = Payer::open(&wallet, arguments.resume) => payer?,
        why = signals.first() => return Err(Error::Failed(format!("{why}: nothing was done"))),
    };
    let mut errand = Errand {
        payer,
        wallet: &wallet,
        show: Show::new(arguments.json),
        numbers: Vec::new(),
        yes: arguments.yes,
        can_ask,
    };
    let done = tokio::select! {
        done = errand.perform(arguments) => done,
        why = signals.first() => Err(Error::Failed(why.into())),
    };
    errand.end(done, arguments.json).await
}

const UNASKED: &str = "money moves only after you agreed, and there is no terminal to ask at: --yes agrees beforehand";

/// One run of the command.
struct Errand<'a> {
    payer: Payer,
    wallet: &'a Wallet,
    show: Show,
    /// The payments that it is about.
    numbers: Vec<u64>,
    yes: bool,
    can_ask: bool,
}

impl Errand<'_> {
    async fn perform(&mut self, arguments: &Arguments) -> Result<(), Error> {
        while !self.payer.is_caught_up() {
            self.step().await?;
        }
        match (arguments.to, arguments.amount) {
            (Some(to), Some(units)) => {
                let number = self.begin(arguments, to, Amount::from_units(units)).await?;
                self.numbers.push(number);
            }
            _ => self.resume().await?,
        }
        while !self.numbers.iter().all(|number| self.payer.is_done(*number)) {
            self.step().await?;
            if self.payer.is_declined() {
                return Err(Error::Failed("you did not agree".into()));
            }
        }
        self.show_events().await
    }

    async fn step(&mut self) -> Result<(), Error> {
        self.payer.step().await?;
        if !self.payer.is_asking() {
            self.show.answered();
        }
        self.show_events().await
    }

    /// Checks what is wanted and writes it down; its number.
    async fn begin(
        &mut self,
        arguments: &Arguments,
        to: Account,
        amount: Amount,
    ) -> Result<u64, Error> {
        if let Some(open) = self.payer.book().payments().find(|p| self.payer.is_unpaid(p)) {
            return Err(Error::Usage(format!(
                "payment {0} is not paid yet: `mingle pay --resume` goes on with it, `mingle wallet forget \
                 --payment {0}` gives it up",
                open.number
            )));
        }
        if to == self.wallet.account() {
            return Err(Error::Usage("this is the wallet's own account".into()));
        }
        let parts = self.split(amount, arguments.round)?;
        let amount: Amount = parts.iter().copied().sum();
        let pay = &self.wallet.config().pay;
        let hops = arguments.hops.unwrap_or(pay.hops);
        let within = arguments.within.unwrap_or(pay.within);
        self.payer.gather().await?;
        self.show_events().await?;
        if self.payer.fit_count() < hops {
            let mut why =
                format!("{} mixers can be asked, and a route needs {hops}", self.payer.fit_count());
            if !pay.unvouched {
                why.push_str("; only such are asked for whom a member answers (pay.unvouched)");
            }
            if self.payer.knows_nobody() {
                why.push_str(
                    "; this wallet knows none: `mingle peers import` takes a peer info file",
                );
            }
            return Err(Error::Failed(why));
        }
        let cost = self.cost_most(amount, parts.len(), self.payer.fee_most())?;
        let least = self.payer.chain().about().existential_deposit;
        let free = self.payer.balance().await?;
        if cost.plus(least).is_none_or(|needed| needed > free) {
            return Err(Error::Failed(format!(
                "the account holds {free} units, and may need {cost} with fees, and {least} that stay in it"
            )));
        }
        self.payer.plan(to, parts, hops, within.as_secs()).await
    }

    /// The denominations of an amount, or of one beside it if that is wanted.
    fn split(&self, amount: Amount, round: Option<Round>) -> Result<Vec<Amount>, Error> {
        let series = settings::series(self.payer.chain().about())?;
        let Unsplittable { below, above } = match series.split(amount, PARTS_MAX) {
            Ok(parts) => return Ok(parts),
            Err(near) => near,
        };
        let near = match round {
            Some(Round::Up) => above,
            Some(Round::Down) => below,
            None => None,
        };
        if let Some(parts) = near.and_then(|near| series.split(near, PARTS_MAX).ok()) {
            return Ok(parts);
        }
        let name =
            |near: Option<Amount>, way: &str| near.map(|near| format!("{near} (--round {way})"));
        let near = [name(below, "down"), name(above, "up")].into_iter().flatten();
        Err(Error::Usage(format!(
            "{amount} is no sum of at most {PARTS_MAX} denominations, the least of which is {}; nearest: {}",
            series.least(),
            near.collect::<Vec<_>>().join(", ")
        )))
    }

    /// What a payment costs at most: the amount, the first mixers' fees, the ledger's.
    fn cost_most(&self, amount: Amount, parts: usize, fee_most: Amount) -> Result<Amount, Error> {
        let each = fee_most.units().checked_add(self.payer.chain().about().fee.units());
        let fees = each.and_then(|each| each.checked_mul(parts as u64));
        let cost = fees.and_then(|fees| amount.plus(Amount::from_units(fees)));
        cost.ok_or_else(|| Error::Failed("no account holds as much as this may cost".into()))
    }

    async fn resume(&mut self) -> Result<(), Error> {
        let open = self.payer.book().payments().filter(|payment| !payment.has_ended());
        let open: Vec<_> = open.map(|p| (p.number, p.fee_most.is_some())).collect();
        if open.is_empty() {
            self.show.line("Nothing is to be resumed.");
        }
        if !(self.yes || self.can_ask) && open.iter().any(|(_, agreed)| !agreed) {
            return Err(Error::Usage(UNASKED.into()));
        }
        for (number, _) in open {
            self.payer.spread_anew(number).await?;
            if let Some(payment) = self.payer.book().find(number) {
                self.show.resumed(payment);
            }
            self.numbers.push(number);
        }
        Ok(())
    }

    async fn show_events(&mut self) -> Result<(), Error> {
        let events: Vec<_> = self.payer.take_events().collect();
        for event in events {
            if let Event::Share(which, Step::Question(agreement)) = event {
                if self.numbers.contains(&which.payment) || self.numbers.is_empty() {
                    self.ask(agreement).await?;
                }
                continue;
            }
            self.show.event(&event, self.payer.book());
        }
        Ok(())
    }

    /// Says what it will cost, and asks whether money may move.
    async fn ask(&mut self, agreement: Agreement) -> Result<(), Error> {
        let Some(payment) = self.payer.book().find(agreement.number).cloned() else {
            return Ok(());
        };
        let parts = payment.shares.len();
        let most = self.cost_most(payment.amount, parts, agreement.fee_most)?;
        self.show.cost(&payment, agreement.fee_most, self.payer.chain().about().fee, most);
        if self.yes {
            return self.payer.agree(agreement).await;
        }
        // The old question still stands.
        if self.payer.is_asking() {
            return Ok(());
        }
        self.show.question("Pay? [y/N] ");
        let (word, answered) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            let agreed = ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str());
            // Nobody waits for it if the command has ended.
            let _ = word.send(read.is_ok() && agreed);
        });
        self.payer.await_agreement(agreement, answered);
        Ok(())
    }

    /// Ends the run, however it ended, and says what is left to do.
    async fn end(mut self, done: Result<(), Error>, json: bool) -> Result<(), Error> {
        self.show.finish();
        self.show.unanswered();
        let numbers = match self.numbers.is_empty() {
            true => self.payer.book().payments().map(|payment| payment.number).collect(),
            false => self.numbers.clone(),
        };
        // Nobody agreed, so no money moved and nothing is left of it.
        for number in numbers {
            self.payer.drop_unagreed(number).await?;
        }
        let payments: Vec<Payment> = self
            .numbers
            .iter()
            .filter_map(|number| self.payer.book().find(*number))
            .cloned()
            .collect();
        let was_asked = !self.numbers.is_empty();
        let unpaid = payments.iter().any(|payment| self.payer.is_unpaid(payment));
        self.payer.close().await?;
        if json {
            let payments: Vec<_> = payments.iter().map(super::wallet::payment_json).collect();
            say(&format!("{:#}\n", json!({ "payments": payments })));
        }
        let open = payments.iter().any(|payment| !payment.has_ended());
        let rest = match (unpaid, open) {
            (true, _) => "what is not paid yet is paid when you say `mingle pay --resume`",
            (false, true) => {
                "what is paid arrives without you; `mingle pay --resume` watches it arrive"
            }
            (false, false) if payments.is_empty() => "no money has moved",
            (false, false) => "nothing is left to do",
        };
        match done {
            Err(Error::Failed(why)) => Err(Error::Failed(format!("{why}: {rest}"))),
            Err(why) => Err(why),
            Ok(()) if open => Err(Error::Failed(format!("not all was paid: {rest}"))),
            Ok(()) if payments.is_empty() && was_asked => {
                Err(Error::Failed("no route would do: no money has moved".into()))
            }
            Ok(()) => {
                payments.iter().for_each(|payment| self.show.arrived(payment));
                let all = payments.iter().flat_map(|payment| &payment.shares);
                match all.filter(|share| share.end == Some(End::Returned)).count() {
                    0 => Ok(()),
                    count => {
                        Err(Error::Failed(format!("{count} parts were sent back by a first mixer")))
                    }
                }
            }
        }
    }
}
