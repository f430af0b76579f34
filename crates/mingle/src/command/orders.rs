//! `mingle orders list|show|retry|return|looked`: what a mixer owes, and what only its operator may do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::Error;
use crate::payments::config::Role;
use crate::payments::folders;
use crate::payments::operator::Operator;
use crate::table::Table;

#[derive(Subcommand)]
pub(super) enum Command {
    /// All orders, payments on their way back, and payments that nobody claims
    List(List),
    /// One of them, with all that is known
    Show(One),
    /// Let a stuck order try its payout again
    Retry(One),
    /// Send the money of a stuck order, or an unclaimed payment, back to who sent it
    Return(One),
    /// Say that you have looked at what the account did that is not in the records: new promises again
    Looked(Mixer),
}

#[derive(Args)]
pub(super) struct Mixer {
    /// The mixer's folder [default: the only mixer where settings are kept]
    #[arg(long = "mixer", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// What the mixer says, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    mixer: Mixer,
}

#[derive(Args)]
pub(super) struct One {
    /// Its name in the list
    name: String,
    #[command(flatten)]
    mixer: Mixer,
}

impl Mixer {
    fn operator(&self) -> Result<Operator, Error> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => folders::only(Role::Mixer)?,
        };
        Operator::new(&folder)
    }
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    super::runtime()?.block_on(async {
        match command {
            Command::List(list) => {
                let orders = list.mixer.operator()?.get("/orders").await?;
                let text = if list.mixer.json { format!("{orders}\n") } else { table(&orders) };
                super::say(&text);
                Ok(())
            }
            Command::Show(one) => {
                let orders = one.mixer.operator()?.get("/orders").await?;
                let found = all(&orders).find(|order| order["name"] == one.name.as_str());
                let found = found.ok_or_else(|| no_such(&one.name))?;
                super::say(&if one.mixer.json { format!("{found}\n") } else { page(found) });
                Ok(())
            }
            Command::Retry(one) => act(one, "retry").await,
            Command::Return(one) => act(one, "return").await,
            Command::Looked(mixer) => {
                mixer.operator()?.post("/looked", Vec::new()).await?;
                super::say(
                    "Noted: the mixer makes promises again, if nothing else is in the way.\n",
                );
                Ok(())
            }
        }
    })
}

async fn act(one: &One, what: &str) -> Result<(), Error> {
    // It becomes part of a path.
    if !one.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(no_such(&one.name));
    }
    one.mixer.operator()?.post(&format!("/orders/{}/{what}", one.name), Vec::new()).await?;
    super::say("Done; it leaves with the next company.\n");
    Ok(())
}

fn no_such(name: &str) -> Error {
    Error::Usage(format!("there is no order {name:?}; `mingle orders list` names them"))
}

fn all(orders: &Value) -> impl Iterator<Item = &Value> {
    ["orders", "returning", "unclaimed"]
        .into_iter()
        .flat_map(|book| orders[book].as_array().into_iter().flatten())
}

fn table(orders: &Value) -> String {
    let mut table = Table::new(&["name", "state", "from", "in", "to", "out"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().map(|n| n.to_string()).unwrap_or_default();
    let mut count = 0;
    for order in all(orders) {
        // A payment without an order has one amount.
        let came = if order["in"].is_null() { &order["amount"] } else { &order["in"] };
        let (from, to) = (text(&order["from"]), text(&order["to"]));
        let (name, state) = (text(&order["name"]), text(&order["state"]));
        table.row([name, state, from, number(came), to, number(&order["out"])]);
        count += 1;
    }
    let foreign = match orders["foreign_spend"] == true {
        true => {
            "The account did something that is not in the records; see docs/operating.md, then \
             `mingle orders looked`.\n"
        }
        false => "",
    };
    match count {
        0 => format!("No orders.\n{foreign}"),
        _ => format!("{}{foreign}", table.text()),
    }
}

fn page(order: &Value) -> String {
    let Some(entries) = order.as_object() else { return String::new() };
    let line = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name:10} {text}\n"),
        value => format!("{name:10} {value}\n"),
    };
    let remedy = match order["state"].as_str() {
        Some("stuck") => {
            "Its payout failed again and again. See that the account holds enough, then\n  \
             mingle orders retry NAME, or mingle orders return NAME to send the deposit back.\n"
        }
        Some("unclaimed") => {
            "It fits no promise and was not sent back by itself. If it is nobody's promise that went\n\
             wrong: mingle orders return NAME.\n"
        }
        _ => "",
    };
    format!("{}{remedy}", entries.iter().map(line).collect::<String>())
}
