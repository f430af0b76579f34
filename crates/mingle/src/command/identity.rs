//! `mingle identity sign`: a member's word for one mixer.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use money::Account;
use payment::document::{Currency, IdentitySignature};

use super::account_key::AccountKeyArguments;
use crate::Error;
use crate::clock::Clock;
use crate::config::span;
use crate::payments::{config, identity, ledger};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Answer for a mixer with a member's key; the newest such word of a member counts
    Sign(Sign),
}

#[derive(Args)]
pub(super) struct Sign {
    /// The mixer's account
    #[arg(long, value_name = "ACCOUNT")]
    mixer: Account,
    /// For how long, at most 366days
    #[arg(long, default_value = "365days", value_parser = span::parse)]
    lasts: Duration,
    /// Where the ledger answers, which says which currency it is
    #[arg(long, value_name = "URL", default_value_t = ledger::default_url())]
    ledger: String,
    /// Where the signature is written: the mixer's operator names it in peers.identity
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    key: AccountKeyArguments,
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    let Command::Sign(sign) = command;
    super::runtime()?.block_on(async {
        let key = sign.key.given()?;
        let about = ledger::about(&sign.ledger, &config::Client::default()).await?;
        let sigtime = Clock::start().now().date.as_millis() / 1000;
        let lasts = sign.lasts.as_secs();
        if lasts == 0 || lasts > identity::LASTS_MAX_S {
            return Err(Error::Usage("--lasts is more than nothing and at most 366days".into()));
        }
        let content = IdentitySignature { pubkey: sign.mixer, sigtime, expiry: sigtime + lasts };
        let bytes = identity::sign(&key, content, &Currency::Genesis(about.genesis));
        std::fs::write(&sign.out, bytes).map_err(|why| Error::write(&sign.out, why))?;
        super::say(&format!(
            "{} answers for the mixer {} in {:?}: give its operator {}.\n",
            key.account(),
            sign.mixer,
            about.currency,
            sign.out.display()
        ));
        Ok(())
    })
}
