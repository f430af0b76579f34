//! A payer at rest: what can be done with his records while no run goes on.

use mixing::Chance;
use money::AccountKey;
use payment::Payer as Core;
use payment::document::Currency;
use payment::effect::{Effect, OrderId, Refused};
use payment::route::Pace;

use crate::Error;
use crate::clock::Clock;
use crate::payments::book::{Book, Payment};
use crate::payments::payer::known;
use crate::payments::store::Store;
use crate::payments::wallet::Wallet;
use crate::payments::{chain, config};

/// The most parts that are kept, ended ones included.
const PARTS_KEPT_MAX: usize = 4096;

/// What a payer's core is told.
pub(super) fn core_config(
    settings: &config::Pay,
    currency: Currency,
    anew: bool,
) -> payment::payer::Config {
    payment::payer::Config {
        currency,
        pace: Pace {
            deposit: settings.deposit.as_secs(),
            margin: settings.margin.as_secs(),
            step: settings.step.as_secs(),
        },
        period: settings.period,
        poll: settings.poll,
        parts_max: PARTS_KEPT_MAX,
        anew,
    }
}

/// Forgets payments with their parts, routes and receipts: one of them, or all that have ended or that
/// nobody agreed to. What is under way stays, but for one whose mixers broke their word and whose money
/// the payer calls `lost`.
///
/// # Errors
/// When the records cannot be read or saved, and for one that is under way or does not exist.
pub async fn forget(wallet: &Wallet, number: Option<u64>, lost: bool) -> Result<Vec<u64>, Error> {
    let mut store = wallet.store().await?;
    let mut book = Book::open(&mut store).await?;
    let currency = chain::currency(&wallet.config().ledger)?;
    let gone: Vec<_> = match number {
        None => {
            let over = |payment: &&Payment| payment.has_ended() || payment.fee_most.is_none();
            book.payments().filter(over).map(|payment| payment.number).collect()
        }
        Some(number) if book.find(number).is_some() => vec![number],
        Some(number) => return Err(Error::Usage(format!("there is no payment {number}"))),
    };
    forget_those(&mut store, &mut book, &wallet.config().pay, &currency, &gone, lost).await?;
    store.settle().await?;
    store.close().await?;
    Ok(gone)
}

/// The signed promises of a part; none if it has none.
///
/// # Errors
/// When the records cannot be read.
pub async fn promises(
    store: &mut Store,
    wallet: &Wallet,
    part: &OrderId,
) -> Result<Vec<Vec<u8>>, Error> {
    let currency = chain::currency(&wallet.config().ledger)?;
    let core = at_rest(store, &wallet.config().pay, &currency).await?;
    let promises = core.parts().get(part).map_or(&[][..], |part| part.promises());
    Ok(promises.iter().map(|promise| promise.bytes().to_vec()).collect())
}

/// The signed infos of the mixers that a wallet knows: from its files, and from earlier runs.
///
/// # Errors
/// When a file or the records cannot be read.
pub async fn mixers(wallet: &Wallet) -> Result<Vec<Vec<u8>>, Error> {
    let mut store = wallet.store().await?;
    let known = known(wallet, &mut store).await?;
    store.close().await?;
    Ok(known)
}

/// The core, to be looked at: without a key, as nothing is signed.
async fn at_rest(
    store: &mut Store,
    settings: &config::Pay,
    currency: &Currency,
) -> Result<Core, Error> {
    let nobody = AccountKey::from_seed(crate::key::random()?);
    let chance = Chance::new(crate::key::random()?);
    let config = core_config(settings, currency.clone(), false);
    let now = Clock::start().now();
    let core = Core::resume(config, nobody, chance, store.core().await?, 0, now);
    core.map_err(|_| store.unreadable("parts"))
}

/// Forgets payments that nobody agreed to: none of their parts is paid.
pub(super) async fn forget_unagreed(
    store: &mut Store,
    book: &mut Book,
    settings: &config::Pay,
    currency: &Currency,
) -> Result<(), Error> {
    let unagreed = book.payments().filter(|payment| payment.fee_most.is_none());
    let unagreed: Vec<_> = unagreed.map(|payment| payment.number).collect();
    forget_those(store, book, settings, currency, &unagreed, false).await
}

async fn forget_those(
    store: &mut Store,
    book: &mut Book,
    settings: &config::Pay,
    currency: &Currency,
    numbers: &[u64],
    lost: bool,
) -> Result<(), Error> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut core = at_rest(store, settings, currency).await?;
    let mut changes = Vec::new();
    for number in numbers {
        let Some(payment) = book.find(*number) else { continue };
        for part in payment.shares.iter().filter_map(|share| share.part) {
            let mut out = Vec::new();
            let overdue = core.parts().get(&part).is_some_and(|part| part.is_overdue(core.date()));
            let done = match lost && overdue {
                true => core.give_up(part, &mut out),
                false => core.forget(part, &mut out),
            };
            match done {
                Ok(()) | Err(Refused::NoOrder) => {}
                Err(_) => return Err(Error::Usage(under_way(*number, overdue))),
            }
            changes.extend(out.into_iter().flat_map(|effect| match effect {
                Effect::Save(changes) => changes,
                _ => Vec::new(),
            }));
        }
        changes.extend(book.forget(*number));
    }
    store.save(changes).await
}

/// Why a payment is not forgotten, and what to do.
fn under_way(number: u64, overdue: bool) -> String {
    match overdue {
        true => format!(
            "money of payment {number} did not come: `mingle receipt export {number}` keeps the proof, then \
             `--payment {number} --lost` forgets it"
        ),
        false => format!("payment {number} is under way: `mingle pay --resume`"),
    }
}
