//! Confirmations that are said again until the channel is used.
//!
//! A set-up's pieces are acknowledged, its confirmation is not: the first cell that comes over the
//! channel shows that it arrived. Until then it is said a few times more, so that one lost cell on
//! the way back does not cost the whole set-up.

use std::collections::BTreeMap;
use std::time::Duration;

use mixing::time::Time;

use crate::message::Message;
use crate::slots::Id;

/// The pause before a confirmation is said again; doubled each time.
const REPEAT_AFTER: Duration = Duration::from_millis(300);
/// How often it is said again.
const REPEATS: u32 = 3;

/// What may have to be said again, by when.
#[derive(Default)]
pub(crate) struct Repeats {
    due: BTreeMap<(Time, Id), (Message<'static>, u32)>,
}

impl Repeats {
    /// A confirmation was said for the first time.
    pub(crate) fn said(&mut self, now: Time, channel: Id, message: Message<'static>) {
        self.due.insert((now + REPEAT_AFTER, channel), (message, 1));
    }

    /// The confirmations that are to be said again now, unless their channel was used or ended:
    /// `needed` says so.
    pub(crate) fn due(
        &mut self,
        now: Time,
        needed: impl Fn(Id) -> bool,
    ) -> Vec<(Id, Message<'static>)> {
        let later = self.due.split_off(&(now + Duration::from_nanos(1), Id::ZERO));
        let due = std::mem::replace(&mut self.due, later);
        let mut again = Vec::new();
        for ((_, channel), (message, said)) in due {
            if !needed(channel) {
                continue;
            }
            again.push((channel, message.clone()));
            if said < REPEATS {
                let next = now + REPEAT_AFTER * 2u32.pow(said);
                self.due.insert((next, channel), (message, said + 1));
            }
        }
        again
    }

    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_said_again_three_times_at_the_most_and_only_while_it_is_needed() {
        let (mut repeats, used) = (Repeats::default(), Id::from_wire(0x101));
        let unused = Id::from_wire(0x201);
        for channel in [used, unused] {
            repeats.said(Time::ZERO, channel, Message::Close { channel });
        }
        let mut again = Vec::new();
        while let Some(at) = repeats.wake_at() {
            again.extend(
                repeats.due(at, |channel| channel == unused).into_iter().map(|(id, _)| (at, id)),
            );
        }
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        assert_eq!(again, [(at(300), unused), (at(900), unused), (at(2100), unused)]);
    }
}
