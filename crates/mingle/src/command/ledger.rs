//! `mingle ledger faucet`: test money.

use clap::{Args, Subcommand};
use money::{Account, Amount};

use crate::Error;
use crate::payments::ledger;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make test money
    Faucet(Faucet),
}

#[derive(Args)]
pub(super) struct Faucet {
    /// Whose account
    #[arg(long, value_name = "ACCOUNT")]
    to: Account,
    /// How much, in the ledger's smallest unit
    #[arg(long)]
    amount: u64,
    /// Where the ledger answers
    #[arg(long, value_name = "URL", default_value_t = ledger::default_url())]
    ledger: String,
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    let Command::Faucet(faucet) = command;
    super::runtime()?.block_on(async {
        let failed = |why| Error::Ledger { url: faucet.ledger.clone(), why };
        let client = ::ledger::embedded::Client::connect(&faucet.ledger).await.map_err(failed)?;
        let amount = Amount::from_units(faucet.amount);
        client.faucet(&faucet.to, amount).await.map_err(failed)?;
        let currency = &client.about().currency;
        super::say(&format!(
            "{amount} units of {currency:?} come to {} with the next block.\n",
            faucet.to
        ));
        Ok(())
    })
}
