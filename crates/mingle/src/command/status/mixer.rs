//! What a mixer of payments does, asked over its operator's socket.

use serde_json::Value;

use super::Arguments;
use crate::Error;
use crate::payments::operator::Operator;
use crate::table::Table;

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let runtime = crate::command::runtime()?;
    let operator = Operator::new(&arguments.folder)?;
    let asked = || runtime.block_on(operator.get("/status"));
    if arguments.json {
        crate::command::say(&format!("{}\n", asked()?));
        return Ok(());
    }
    let shown = || asked().map(|status| text(&status));
    match arguments.watch {
        true => super::watch(shown),
        false => {
            crate::command::say(&shown()?);
            Ok(())
        }
    }
}

fn text(status: &Value) -> String {
    let mut table = Table::new(&["mixer", status["account"].as_str().unwrap_or_default()]);
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let (block, newest) = (number("block"), number("newest_block"));
    table.row(["ledger".into(), format!("block {block} of {newest} final ones")]);
    table.row(["promises".into(), promises(status).into()]);
    table.row(["must hold".into(), format!("{} units", number("needed"))]);
    let (reached, peers) = (number("peers_reached"), number("peers"));
    table.row(["mixers".into(), format!("{reached} reached of {peers} known")]);
    for (state, count) in status["orders"].as_object().into_iter().flatten() {
        table.row([state.clone(), count.to_string()]);
    }
    table.row(["returning".into(), number("returning").to_string()]);
    table.row(["unclaimed".into(), number("unclaimed").to_string()]);
    table.text()
}

fn promises(status: &Value) -> &'static str {
    let is = |name: &str| status[name] == true;
    if is("makes_promises") {
        "made"
    } else if is("foreign_spend") {
        "none: the account did something that is not in the records (mingle orders list)"
    } else if !is("solvent") {
        "none: the account holds less than it must: top it up"
    } else {
        "none until the ledger's newest final block is read"
    }
}
