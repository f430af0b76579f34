//! What a payer sees while he pays: lines, and where a person looks, how far each part is.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use money::Amount;
use payment::document::Promise;
use payment::effect::Notice;

use crate::command::{date, say};
use crate::log;
use crate::payments::book::{Book, Payment};
use crate::payments::payer::{Event, Step, Stop, Which};

/// Shows events.
pub(super) struct Show {
    /// For a program: nothing is shown.
    quiet: bool,
    bars: Option<MultiProgress>,
    parts: BTreeMap<Which, ProgressBar>,
    /// A question stands on the last line, where nothing else may be drawn.
    asking: bool,
}

impl Show {
    pub(super) fn new(quiet: bool) -> Self {
        let person = !quiet && std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        Self { quiet, bars: person.then(MultiProgress::new), parts: BTreeMap::new(), asking: false }
    }

    /// A line, above what is under way.
    pub(super) fn line(&self, text: &str) {
        match &self.bars {
            _ if self.quiet => {}
            Some(bars) => bars.suspend(|| say(&format!("{text}\n"))),
            None => say(&format!("{text}\n")),
        }
    }

    /// A question, on whose line the answer is typed.
    pub(super) fn question(&mut self, text: &str) {
        self.finish();
        self.asking = true;
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// The question was answered.
    pub(super) fn answered(&mut self) {
        self.asking = false;
    }

    /// Ends the line of a question that nobody answered.
    pub(super) fn unanswered(&self) {
        if self.asking {
            let _ = std::io::stderr().write_all(b"\n");
        }
    }

    /// Takes what is under way from the screen.
    pub(super) fn finish(&mut self) {
        self.parts.values().for_each(ProgressBar::finish_and_clear);
        self.parts.clear();
    }

    pub(super) fn event(&mut self, event: &Event, book: &Book) {
        match event {
            Event::Gathered { known, fit, sources } => self.line(&format!(
                "{known} mixers are known, of {sources} sources; {fit} proved their keys just now and may be \
                 asked."
            )),
            Event::LedgerSilent => log::warning("the ledger does not answer; still trying"),
            Event::LedgerBack => log::info("the ledger answers again"),
            Event::LedgerRefused(word) => {
                log::warning(format_args!("the ledger refused the deposit: {word}; trying again"));
            }
            Event::Quiet { blocks } => self.line(&format!(
                "A deposit made before may still land: nothing new is paid for up to {blocks} blocks."
            )),
            Event::Notice(notice) => log::warning(notice_line(*notice)),
            Event::Share(which, step) => {
                if let Some(payment) = book.find(which.payment) {
                    self.step(*which, step, payment);
                }
            }
        }
    }

    fn step(&mut self, which: Which, step: &Step, payment: &Payment) {
        let name = name(which, payment);
        match step {
            Step::Asked(stops) => {
                self.line(&format!("{name}: asking {} mixers for promises", stops.len()));
                for (i, stop) in stops.iter().enumerate() {
                    self.line(&stop_line(i + 1, stop));
                }
            }
            Step::Awaited => self.line(&format!("{name}: the first mixer asks the others")),
            Step::Promised(promises) => {
                for (i, promise) in promises.iter().enumerate() {
                    self.line(&promise_line(i + 1, promise));
                }
                self.line(&format!("{name}: all {} promises verified", promises.len()));
            }
            Step::Question(_) => {}
            Step::SetBack(why) => {
                self.line(&format!("{name}: {why}. No money has moved; trying another route."));
            }
            Step::GivenUp(why) => {
                log::warning(format_args!("{name}: {why}. No money of it has moved."));
            }
            Step::Depositing => self.progress(which, &name, payment, 0, "deposit on its way"),
            Step::Deposited => {
                self.progress(which, &name, payment, 1, "deposit final at the first mixer");
            }
            Step::PaidOn(seen, hops) => {
                let text = format!("{seen} of {hops} mixers have paid on");
                self.progress(which, &name, payment, 1 + *seen as u64, &text);
            }
            Step::Arrived => {
                self.end(which);
                self.line(&format!("{name}: arrived"));
            }
            Step::Returned => {
                self.end(which);
                self.line(&format!("{name}: sent back by the first mixer"));
            }
            Step::Company(company) => self.line(&format!("{name}: {}", company_line(company))),
        }
    }

    /// Shows how far a part is: a bar for a person, a line otherwise.
    fn progress(&mut self, which: Which, name: &str, payment: &Payment, at: u64, text: &str) {
        let bars = self.bars.as_ref().filter(|_| !self.asking);
        let Some(bars) = bars else { return self.line(&format!("{name}: {text}")) };
        let bar = self.parts.entry(which).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(payment.hops as u64 + 1));
            // A template that cannot be read leaves the bar as it was.
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:16}] {elapsed} {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(std::time::Duration::from_secs(1));
            bar
        });
        bar.set_prefix(name.to_owned());
        bar.set_message(text.to_owned());
        bar.set_position(at);
    }

    fn end(&mut self, which: Which) {
        if let Some(bar) = self.parts.remove(&which) {
            bar.finish_and_clear();
        }
    }

    /// What an interrupted payment is.
    pub(super) fn resumed(&self, payment: &Payment) {
        self.line(&format!(
            "Payment {}: {} units to {}, begun {}",
            payment.number,
            payment.amount,
            payment.to,
            date(payment.begun)
        ));
    }

    /// What a payment costs at most, before anybody agrees.
    pub(super) fn cost(&self, payment: &Payment, fee_most: Amount, ledger: Amount, most: Amount) {
        let parts = payment.shares.len();
        self.line(
            "Company is aimed at, not promised; dates are. What the ledger shows of this anyway: docs/paying.md.",
        );
        self.line(&format!(
            "{} gets {} units in {}. For each part the first mixer takes at most {fee_most}, the ledger \
             {ledger}: at most {most} units in all.",
            payment.to,
            payment.amount,
            match parts {
                1 => "one part".into(),
                _ => format!(
                    "{parts} parts over about {}",
                    humantime::format_duration(std::time::Duration::from_secs(payment.within_s))
                ),
            }
        ));
    }

    /// A payment that has arrived.
    pub(super) fn arrived(&self, payment: &Payment) {
        self.line(&format!(
            "Payment {}: {} units are with {}. `mingle receipt export {}` writes what proves it.",
            payment.number, payment.amount, payment.to, payment.number
        ));
    }
}

fn name(which: Which, payment: &Payment) -> String {
    let units = payment.shares.get(which.share).map(|share| share.amount).unwrap_or_default();
    match payment.shares.len() {
        1 => format!("Payment {}, {units}", which.payment),
        parts => format!("Payment {}, part {} of {parts}, {units}", which.payment, which.share + 1),
    }
}

fn stop_line(hop: usize, stop: &Stop) -> String {
    let fee = if hop == 1 { format!("fee {}, ", stop.fee) } else { String::new() };
    format!(
        "  hop {hop}  {} at {}:{}, {fee}company aimed at {}, waits at most {}",
        stop.account,
        stop.host.address,
        stop.host.port,
        stop.company,
        humantime::format_duration(std::time::Duration::from_secs(stop.wait_max_s)),
    )
}

fn promise_line(hop: usize, promise: &Promise) -> String {
    format!(
        "  hop {hop}  {} promises: if {} comes by {}, it pays {} on by {}",
        promise.node,
        promise.in_amount,
        date(promise.expire_date),
        promise.out_amount,
        date(promise.payout_date),
    )
}

fn notice_line(notice: Notice) -> &'static str {
    match notice {
        Notice::SlotsWentBack => {
            "the ledger counts this account's payments from the beginning again: it was emptied once, or \
             these records are another account's; nothing is paid any more"
        }
        Notice::ForeignSpend
        | Notice::Insolvent
        | Notice::Solvent
        | Notice::Unclaimed
        | Notice::Stuck => "the account did something that these records do not know",
    }
}

fn company_line(company: &[u64]) -> String {
    let counts: Vec<_> = company.iter().map(u64::to_string).collect();
    let alone = match company.iter().all(|count| *count < 2) {
        true => "; it was alone everywhere, and who watches the ledger can follow it",
        false => "",
    };
    format!(
        "equal payouts that left each mixer with it, itself included: {}{alone}",
        counts.join(", ")
    )
}
