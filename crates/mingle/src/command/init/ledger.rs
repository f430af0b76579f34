//! `mingle init ledger DIR`: a currency of one's own, for trying.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use data_encoding::HEXLOWER;
use money::Account;

use super::node;
use crate::clock::Clock;
use crate::config::{FILE, span};
use crate::payments::config::{Config, GenesisConfig, LedgerConfig, LedgerServer, Node, Role};
use crate::payments::ledger;
use crate::{Error, folder};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// A folder that does not exist yet
    folder: PathBuf,
    /// What the currency is called
    #[arg(long, default_value = "test")]
    currency: String,
    /// The address it listens at; whoever reaches it can make test money
    #[arg(long, default_value = "127.0.0.1")]
    bind_host: IpAddr,
    /// The port it listens at
    #[arg(long, default_value_t = ledger::PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The time between blocks, at least 20ms
    #[arg(long, default_value = "6s", value_parser = block_time)]
    block_time: Duration,
    /// How many blocks lie above the newest final one
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(..=100))]
    finality_lag: u64,
    /// No account holds less and lives
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    existential_deposit: u64,
    /// What a transaction costs its sender
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    fee: u64,
    /// A member of the web of trust; may be given again
    #[arg(long = "member", value_name = "ACCOUNT")]
    members: Vec<Account>,
}

fn block_time(text: &str) -> Result<Duration, String> {
    let time = span::parse(text)?;
    match time >= ledger::BLOCK_TIME_LEAST {
        true => Ok(time),
        false => Err("the least is 20ms".into()),
    }
}

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let Arguments { folder, currency, bind_host, port, block_time, finality_lag, fee, .. } =
        arguments;
    let config = LedgerConfig {
        node: Node { role: Role::Ledger, name: node::name_of(folder, None) },
        server: LedgerServer { bind_host: *bind_host, bind_port: *port, block_time: *block_time },
        genesis: GenesisConfig {
            currency: currency.clone(),
            time: Clock::start().now().date.as_millis() / 1000,
            existential_deposit: arguments.existential_deposit,
            fee: *fee,
            finality_lag: *finality_lag,
            members: arguments.members.iter().map(Account::to_string).collect(),
        },
    };
    let genesis = ledger::genesis(&config)?;
    folder::make(folder)?;
    folder::write(&folder.join(FILE), &Config::Ledger(config).page())?;
    let shown = folder.display();
    let url = ledger::url(*bind_host, *port);
    crate::command::say(&format!(
        "A ledger of {currency:?} is in {shown}. Its genesis hash is {}.\nNext:\n  \
           1. mingle run {shown}\n  \
           2. mingle init mixer DIR --ledger {url}      for each mixer, or\n     \
              mingle wallet new DIR --ledger {url}      for each payer\n  \
           3. mingle ledger faucet --ledger {url} --to ACCOUNT --amount 1000000\n",
        HEXLOWER.encode(&genesis.hash()),
    ));
    Ok(())
}
