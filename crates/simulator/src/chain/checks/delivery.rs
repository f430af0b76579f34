//! Check 1: what a destination gets is what was sent to it, at most once per send; replies too.

use std::net::SocketAddr;

use crate::chain::checks::Broken;
use crate::chain::plan::Plan;
use crate::chain::users::{Account, Label, resolved};

const DATAGRAM: &str = "datagram";
const REPLY: &str = "reply";

/// Looks at a datagram that left an exit, and says whose it is.
///
/// # Errors
/// It is not one that was sent there, or comes a second time.
pub fn arrives(
    plan: &Plan,
    accounts: &mut [Account],
    to: SocketAddr,
    payload: &[u8],
) -> Result<Label, Broken> {
    let label = compared(plan, accounts, payload, false)?;
    let Label { user, number, .. } = label;
    let destinations = &plan.users[user].destinations;
    if resolved(&destinations[number as usize % destinations.len()]) != to {
        return Err(Broken::WrongPlace { what: DATAGRAM, user, number });
    }
    let (progress, _) = &mut accounts[user].sent[number as usize];
    if std::mem::replace(&mut progress.arrived, true) {
        return Err(Broken::Twice { what: DATAGRAM, user, number });
    }
    Ok(label)
}

/// Looks at a reply that an application got, and says whose it is.
///
/// # Errors
/// It is not one that its destination gave, or comes a second time, or to somebody else.
pub fn answers(
    plan: &Plan,
    accounts: &mut [Account],
    at: usize,
    from: SocketAddr,
    payload: &[u8],
) -> Result<Label, Broken> {
    let label = compared(plan, accounts, payload, true)?;
    let Label { user, number, .. } = label;
    let destinations = &plan.users[user].destinations;
    let source = resolved(&destinations[number as usize % destinations.len()]);
    let (progress, _) = &mut accounts[user].sent[number as usize];
    if at != user || from != source {
        return Err(Broken::WrongPlace { what: REPLY, user, number });
    }
    if !progress.replied {
        return Err(Broken::NeverSent { what: REPLY });
    }
    if std::mem::replace(&mut progress.answered, true) {
        return Err(Broken::Twice { what: REPLY, user, number });
    }
    Ok(label)
}

/// Reads a payload's label and compares the rest with what belongs to it.
fn compared(
    plan: &Plan,
    accounts: &[Account],
    payload: &[u8],
    reply: bool,
) -> Result<Label, Broken> {
    let what = if reply { REPLY } else { DATAGRAM };
    let label = Label::read(payload).filter(|label| {
        let account = accounts.get(label.user);
        let sent = account.and_then(|account| account.sent.get(label.number as usize));
        label.reply == reply && sent.is_some_and(|(progress, _)| progress.taken)
    });
    let label = label.ok_or(Broken::NeverSent { what })?;
    let Label { user, number, .. } = label;
    if label.payload(plan) == payload {
        Ok(label)
    } else {
        Err(Broken::Altered { what, user, number })
    }
}
