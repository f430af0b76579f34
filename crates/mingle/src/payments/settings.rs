//! From a folder's settings to a core's.

use std::time::Duration;

use money::Amount;
use money::amount::Series;
use payment::document::{Currency, Host, Terms};
use payment::mixer;

use super::config::{Limits, MixerConfig, Mixing, Pay, Payouts, TermsConfig};
use crate::Error;

/// What a mixer's core is told.
///
/// # Errors
/// A sentence about what cannot be kept.
pub fn mixer(config: &MixerConfig, about: &ledger::About) -> Result<mixer::Config, Error> {
    let strategy = crate::network::strategy(&config.mixing.strategy).map_err(Error::Usage)?;
    let Limits { orders_max, client_orders_max, peer_orders_max, vouched_orders_max, returns_max } =
        config.limits;
    let made = mixer::Config {
        currency: Currency::Genesis(about.genesis),
        terms: terms(&config.terms),
        series: series(about)?,
        existential_deposit: about.existential_deposit,
        float: Amount::from_units(config.payouts.float),
        strategy,
        block_time: about.block_time,
        margin_s: config.payouts.margin.as_secs(),
        horizon_s: config.payouts.horizon.as_secs(),
        delay: config.mixing.delay,
        period: config.payouts.period,
        orders_max,
        client_orders_max,
        peer_orders_max,
        vouched_orders_max,
        returns_max,
        inside: config.peers.inside,
    };
    made.check().map_err(|why| Error::Usage(unfit(why).into()))?;
    Ok(made)
}

/// The denominations of a ledger's network.
///
/// # Errors
/// When its existential deposit is zero.
pub fn series(about: &ledger::About) -> Result<Series, Error> {
    Series::new(about.existential_deposit)
        .map_err(|_| Error::Usage("the ledger's existential deposit gives no denominations".into()))
}

fn unfit(why: mixer::Unfit) -> &'static str {
    match why {
        mixer::Unfit::Strategy => "mixing.strategy: its numbers make no sense together",
        mixer::Unfit::WaitMax => {
            "mixing.strategy may hold a payment longer than terms.wait_max promises: lengthen the one or \
             shorten the other"
        }
        mixer::Unfit::Least => {
            "terms.least is no denomination: 1, 2 or 5 times a power of ten, not below the ledger's \
             existential deposit"
        }
        mixer::Unfit::Keep => "terms.keep is shorter than \"1day\"",
    }
}

fn terms(terms: &TermsConfig) -> Terms {
    Terms {
        least: Amount::from_units(terms.least),
        fee: Amount::from_units(terms.fee),
        return_cost: Amount::from_units(terms.return_cost),
        company: terms.company,
        wait_max_s: terms.wait_max.as_secs(),
        keep_s: terms.keep.as_secs(),
    }
}

/// What `mingle init mixer` proposes for a ledger: dates in hours and waits of minutes where blocks take
/// seconds, and correspondingly less where they take less.
pub fn proposed(about: &ledger::About) -> Result<(TermsConfig, Payouts, Mixing), Error> {
    let is_quick = about.block_time < Duration::from_secs(1);
    let wait = if is_quick { Duration::from_secs(2) } else { Duration::from_secs(3600) };
    let fee = about.fee.units();
    let least = series(about)?.least();
    let terms = TermsConfig {
        least: least.units(),
        fee: fee.saturating_mul(5).max(1),
        return_cost: fee,
        company: 3,
        wait_max: wait,
        keep: Duration::from_secs(86_400),
    };
    let payouts = Payouts {
        float: fee.saturating_mul(1000).max(1),
        margin: if is_quick { Duration::from_secs(30) } else { Duration::from_secs(900) },
        horizon: Duration::from_secs(7 * 86_400),
        period: 64,
    };
    let mixing = match is_quick {
        true => Mixing { strategy: "timed:1s".into(), delay: Duration::ZERO },
        false => Mixing::default(),
    };
    Ok((terms, payouts, mixing))
}

/// How `mingle wallet new` proposes to pay, as quickly as [`proposed`] mixers allow.
pub fn pay(about: &ledger::About) -> Pay {
    let usual = Pay::default();
    match about.block_time < Duration::from_secs(1) {
        true => Pay {
            within: Duration::from_secs(60),
            deposit: Duration::from_secs(60),
            margin: Duration::from_secs(60),
            step: Duration::from_secs(10),
            poll: Duration::from_millis(200),
            patience: Duration::from_secs(20),
            ..usual
        },
        false => usual,
    }
}

/// Where a mixer says that it is.
pub fn host(config: &MixerConfig) -> Host {
    Host { address: config.server.public_host.clone(), port: config.server.public_port }
}
