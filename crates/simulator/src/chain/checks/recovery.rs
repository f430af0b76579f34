//! Check 2: after the last fault every application that keeps sending is served again within the
//! time that its profile states, and from then on nothing is lost.

use mixing::Time;

use crate::chain::checks::Broken;
use crate::chain::plan::Plan;
use crate::chain::users::Account;

/// Judges all applications when they have stopped and what was under way has arrived.
///
/// # Errors
/// The first that was not served.
pub fn verdict(plan: &Plan, accounts: &[Account]) -> Result<(), Broken> {
    let quiet = Time::ZERO + plan.quiet_from();
    let within = plan.profile.recovery();
    for (user, account) in accounts.iter().enumerate() {
        let sent = |from: Time| {
            let all = account.sent.iter().enumerate();
            all.filter(move |(_, (progress, at))| progress.taken && *at >= from)
        };
        let since = |from| sent(from).map(|(number, (progress, _))| (number, progress.answered));
        let tried = sent(quiet).any(|(_, (_, at))| *at < quiet + within);
        if tried && !since(quiet).take_while(|_| true).any(|(_, answered)| answered) {
            return Err(Broken::NotServed { user, within: within.as_secs() });
        }
        let lost: Vec<usize> =
            since(quiet + within).filter(|(_, answered)| !answered).map(|(n, _)| n).collect();
        if let Some(first) = lost.first() {
            let (number, lost) = (*first as u32, lost.len());
            return Err(Broken::LostInPeace { user, number, lost });
        }
    }
    Ok(())
}
