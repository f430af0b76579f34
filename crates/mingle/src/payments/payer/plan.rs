//! What is to be paid and when, and whether its payer agreed.

use money::{Account, Amount};
use tokio::sync::oneshot;

use super::Payer;
use crate::Error;
use crate::payments::book::{Payment, Share};

/// What a payer is asked to agree to.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// Which payment.
    pub number: u64,
    /// What the first mixer of each part takes at most.
    pub fee_most: Amount,
}

impl Payer {
    /// Waits for the payer's word.
    pub fn await_agreement(&mut self, agreement: Agreement, word: oneshot::Receiver<bool>) {
        self.agreement = Some((agreement, word));
    }

    /// Whether the payer was asked and has not answered.
    pub fn is_asking(&self) -> bool {
        self.agreement.is_some()
    }

    pub(super) async fn on_agreement(
        &mut self,
        (to, agreed): (Agreement, bool),
    ) -> Result<(), Error> {
        match agreed {
            true => self.agree(to).await,
            false => {
                self.declined = true;
                Ok(())
            }
        }
    }

    /// Whether the payer said no.
    pub fn is_declined(&self) -> bool {
        self.declined
    }

    /// The payer agrees: money may move.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub async fn agree(&mut self, to: Agreement) -> Result<(), Error> {
        let Some(payment) = self.book.find_mut(to.number) else { return Ok(()) };
        payment.fee_most = Some(to.fee_most);
        let change = payment.change();
        self.store.save(vec![change]).await
    }

    /// Writes a new payment down; its number. Its first share begins at once, the others at times drawn
    /// from `within_s`.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub async fn plan(
        &mut self,
        to: Account,
        mut shares: Vec<Amount>,
        hops: usize,
        within_s: u64,
    ) -> Result<u64, Error> {
        let begun = self.core.date();
        let amount = shares.iter().copied().sum();
        // The order would tell which denominations belong together.
        self.chance.shuffle(&mut shares);
        let mut due: Vec<_> =
            shares.iter().map(|_| begun + self.chance.below(within_s + 1)).collect();
        due.sort_unstable();
        due[0] = begun;
        let shares = shares.into_iter().zip(due);
        let shares = shares.map(|(amount, due)| Share::new(amount, due)).collect();
        let number = self.book.next();
        let payment = Payment { number, to, amount, hops, begun, within_s, fee_most: None, shares };
        let changes = self.book.add(payment);
        self.store.save(changes).await?;
        Ok(number)
    }

    /// Draws new times for shares whose time passed while nobody was there.
    ///
    /// # Errors
    /// When they cannot be saved.
    pub async fn spread_anew(&mut self, number: u64) -> Result<(), Error> {
        let date = self.core.date();
        let Some(payment) = self.book.find_mut(number) else { return Ok(()) };
        let mut changes = Vec::new();
        let waiting = payment.shares.iter_mut().enumerate();
        let waiting = waiting.filter(|(_, share)| share.part.is_none() && share.end.is_none());
        let overdue: Vec<_> = waiting.filter(|(_, share)| share.due < date).collect();
        let mut indices = Vec::new();
        for (nth, (index, share)) in overdue.into_iter().enumerate() {
            let later = if nth == 0 { 0 } else { self.chance.below(payment.within_s + 1) };
            share.due = date + later;
            indices.push(index);
        }
        changes.extend(indices.into_iter().map(|index| payment.share_change(index)));
        self.store.save(changes).await
    }

    /// Forgets a payment that nobody agreed to.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub async fn drop_unagreed(&mut self, number: u64) -> Result<(), Error> {
        let Some(payment) = self.book.find(number) else { return Ok(()) };
        if payment.fee_most.is_some() {
            return Ok(());
        }
        let mut out = Vec::new();
        for part in payment.shares.iter().filter_map(|share| share.part) {
            // Not paid, so nothing stands in the way.
            let _ = self.core.forget(part, &mut out);
        }
        let changes = self.book.forget(number);
        self.perform(out, changes).await
    }
}

/// Waits for the payer's word, if he was asked.
pub(super) async fn answered(
    agreement: &mut Option<(Agreement, oneshot::Receiver<bool>)>,
) -> (Agreement, bool) {
    let Some((to, word)) = agreement else { return std::future::pending().await };
    let to = *to;
    // Who went away without a word does not agree.
    let agreed = word.await.unwrap_or(false);
    *agreement = None;
    (to, agreed)
}
