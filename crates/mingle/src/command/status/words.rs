//! A plain word for each reason to drop something, and what an operator may do about it.

/// What a reason means to a person.
pub(super) struct Word {
    /// What happened.
    pub(super) means: &'static str,
    /// What to do, where there is something to do.
    pub(super) look: Option<&'static str>,
}

/// The word for the label of a reason.
pub(super) fn word(label: &str) -> Option<Word> {
    let entry = WORDS.iter().chain(APPLICATIONS).find(|(known, ..)| *known == label);
    entry.map(|&(_, means, look)| Word { means, look: (!look.is_empty()).then_some(look) })
}

const FULL: &str = "a limit was reached: raise it under [limits], or leave it as it is";
const WHERE: &str = "see docs/operating.md, Buffers";

/// What comes over links.
const WORDS: &[(&str, &str, &str)] = &[
    ("too_short", "noise: too short for anything", ""),
    ("wrong_size", "noise: of no size that a cell has here", ""),
    ("unknown_link", "cells of a link that is not there, as after a restart; or noise", ""),
    ("forged_header", "noise, or cells of a link whose keys have gone", ""),
    ("unknown_channel", "cells of a channel that has ended here", ""),
    ("wrong_class", "a neighbour sent a cell of the wrong class", ""),
    ("repeated_cell", "copies of cells; many: somebody repeats", ""),
    ("late_cell", "cells that came much too late", ""),
    ("forged_layer", "cells changed on their way, or invented", ""),
    ("unconfirmed", "data before its channel stood", ""),
    ("forged_control", "changed or invented words of a neighbour", ""),
    (
        "bad_control",
        "words of a neighbour that make no sense",
        "a neighbour may run another version",
    ),
    ("unknown_kind", "noise: of no kind that exists", ""),
    ("unknown_version", "somebody speaks another version", ""),
    ("bad_check", "noise: knocks without knowing who lives here", ""),
    ("needs_cookie", "openings under load, asked to prove their address", ""),
    ("too_many_openings", "a crowd or a flood of openings; service goes on", ""),
    ("too_many_key_requests", "a crowd or a flood of questions for the key", ""),
    ("unknown_key", "openings to a key from before a restart", ""),
    ("repeated_opening", "copies of openings", ""),
    ("forged_opening", "openings changed on their way, or invented", ""),
    ("unproved_opening", "links asked for by who may not have one", "compare your network list"),
    ("links_full", "no room for another link", FULL),
    ("unexpected", "answers that nobody waited for", ""),
    ("forged_answer", "answers changed on their way, or invented", ""),
    ("bad_key_list", "keys that were refused", "a clock is far off, or network lists differ"),
    ("too_many_key_lists", "a node that renews its key far too often", ""),
    ("parcels_full", "no room for another unfinished set-up", FULL),
    ("parcel_expired", "set-ups that were not finished in time: loss on the path", ""),
    ("repeated_set_up", "copies of set-ups", ""),
    ("forged_set_up", "set-ups to a key from before a restart, or invented", ""),
    ("bad_set_up", "set-ups that ask for what this node does not do", "compare your network list"),
    ("too_many_set_ups", "a crowd or a flood of set-ups; service goes on", ""),
    ("channels_full", "no room for another channel", FULL),
    ("memory_full", "so many set-ups that a new key was taken early", ""),
    ("pool_full", "no room in the pool", FULL),
    ("orphaned", "waiting while their link or channel ended", ""),
    ("bad_fragment", "pieces that contradict each other", ""),
    ("fragments_full", "no room for more unfinished datagrams", FULL),
    ("fragment_expired", "datagrams of which a piece was lost", ""),
    ("bad_datagram", "datagrams without a destination", ""),
    ("too_long", "datagrams longer than fits", ""),
    ("forbidden_destination", "to destinations that the policy refuses", ""),
    ("unknown_name", "to names that do not resolve", ""),
    ("names_full", "too many names asked for at once", FULL),
    ("sockets_full", "no socket left for a channel", "raise outside.sockets_max and LimitNOFILE"),
    ("unknown_source", "from strangers whom no user wrote to", ""),
    ("too_fast", "above the rate that a channel may have", ""),
    ("unknown_flow", "replies to channels that have ended", ""),
    ("queue_full", "an application sent more than may wait for its channel", ""),
    ("associations_full", "no room for another application", FULL),
    ("unknown_association", "for an application that has gone", ""),
    ("no_chain", "waited too long for a chain", "`mingle network check` says which nodes answer"),
];

/// What the program itself loses: at doors, at destinations, in the kernel.
const APPLICATIONS: &[(&str, &str, &str)] = &[
    (
        "send_refused",
        "the system did not take a cell",
        "full buffers, a narrow path or no route: \
      `mingle network check` says which",
    ),
    ("link_buffer_full", "came faster than they were read", WHERE),
    ("no_route", "to an address of a family that is not served", "node.listen could have both"),
    ("bad_raw", "raw datagrams without a destination", ""),
    ("bad_socks", "SOCKS datagrams that make no sense", ""),
    ("fragmented_socks", "pieces of SOCKS datagrams, which are not served", ""),
    ("wrong_sender", "from another than the association's client", ""),
    ("sources_full", "no room for another source or destination", FULL),
    ("nobody_behind", "replies to an application that has gone", ""),
    ("delivery_refused", "the system did not take a reply to an application", ""),
    ("outside_refused", "the system did not take a datagram to a destination", ""),
    ("names_waiting", "too many names wait to be looked up", FULL),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Lost;

    #[test]
    fn every_reason_has_a_word() {
        let core = datagram::Dropped::ALL.iter().map(|reason| reason.label());
        let all: Vec<_> = core.chain(Lost::ALL.iter().map(|reason| reason.label())).collect();
        for label in &all {
            assert!(word(label).is_some(), "{label}");
        }
        assert_eq!(all.len(), WORDS.len() + APPLICATIONS.len(), "words that no reason needs");
    }
}
