//! Every model with a mistake in it: the body must notice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{changed, seeds};
use crate::TARGETS;
use crate::datagram::models::*;
use crate::mixing::{PoolRules, WindowRules, pool_with, window_with};
use crate::money::{AnswerRules, LedgerRules, ledger_answers_with, ledger_with};
use crate::payment::models::*;

/// Each of these models must be noticed on some input of the target.
fn notices<R>(name: &str, body: fn(&[u8], &R), models: &[R]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("in the list");
    for (number, model) in models.iter().enumerate() {
        let mut inputs = seeds(target).into_iter().chain(changed(target, target.mutations));
        let fails =
            |bytes: Vec<u8>| catch_unwind(AssertUnwindSafe(|| body(&bytes, model))).is_err();
        assert!(inputs.any(fails), "{name} does not notice its wrong model {number}");
    }
}

#[test]
fn a_window_that_is_one_wider_or_forgets_what_it_gave_up_is_noticed() {
    notices(
        "window",
        window_with,
        &[
            WindowRules { width: 65, ..WindowRules::TRUE },
            WindowRules { width: 63, ..WindowRules::TRUE },
            WindowRules { rest_gives_up: false, ..WindowRules::TRUE },
        ],
    );
}

#[test]
fn a_pool_in_another_order_with_more_room_or_less_patience_is_noticed() {
    notices(
        "pool",
        pool_with,
        &[
            PoolRules { in_order: false, ..PoolRules::TRUE },
            PoolRules { limit: 25, ..PoolRules::TRUE },
            PoolRules { patience: 0, ..PoolRules::TRUE },
        ],
    );
}

#[test]
fn a_table_with_more_room_or_with_ids_that_live_on_is_noticed() {
    notices(
        "id_tables",
        id_tables_with,
        &[IdRules { limit: 6, ..IdRules::TRUE }, IdRules { ids_end: false, ..IdRules::TRUE }],
    );
}

#[test]
fn a_ledger_with_another_fee_a_nonce_that_stays_or_half_a_transaction_is_noticed() {
    notices(
        "ledger",
        ledger_with,
        &[
            LedgerRules { fee: 2, ..LedgerRules::TRUE },
            LedgerRules { forgets: false, ..LedgerRules::TRUE },
            LedgerRules { all_or_nothing: false, ..LedgerRules::TRUE },
        ],
    );
}

#[test]
fn an_opening_that_serves_twice_or_a_mix_that_takes_everybody_is_noticed() {
    notices(
        "openings",
        openings_with,
        &[
            OpeningRules { once: false, ..OpeningRules::TRUE },
            OpeningRules { mix_takes_listed: true, ..OpeningRules::TRUE },
        ],
    );
}

#[test]
fn a_parcel_of_nine_pieces_or_an_acknowledgement_that_is_missing_is_noticed() {
    notices(
        "messages",
        messages_with,
        &[
            MessageRules { pieces_max: 9, ..MessageRules::TRUE },
            MessageRules { says_again: false, ..MessageRules::TRUE },
        ],
    );
}

#[test]
fn a_set_up_with_a_fourth_lifetime_or_a_fifth_channel_is_noticed() {
    notices(
        "set_ups",
        set_ups_with,
        &[
            SetUpRules { lifetimes: 4, ..SetUpRules::TRUE },
            SetUpRules { channels: 5, ..SetUpRules::TRUE },
        ],
    );
}

#[test]
fn a_list_a_second_too_far_or_one_too_many_is_noticed() {
    notices(
        "key_lists",
        key_lists_with,
        &[
            ListRules { apart: ListRules::TRUE.apart + 64, ..ListRules::TRUE },
            ListRules { per_hour: 3, ..ListRules::TRUE },
        ],
    );
}

#[test]
fn fragments_with_more_room_or_more_time_are_noticed() {
    notices(
        "fragments",
        fragments_with,
        &[
            FragmentRules { incomplete_max: 17, ..FragmentRules::TRUE },
            FragmentRules { kept_for: Duration::from_secs(6), ..FragmentRules::TRUE },
            FragmentRules { room: FragmentRules::TRUE.room * 2, ..FragmentRules::TRUE },
        ],
    );
}

#[test]
fn a_lane_with_a_wider_window_or_a_fuller_pool_or_where_forgers_use_numbers_up_is_noticed() {
    notices(
        "lanes",
        lanes_with,
        &[
            LaneRules { wider: 1, ..LaneRules::TRUE },
            LaneRules { wider: -1, ..LaneRules::TRUE },
            LaneRules { forged_uses_up: true, ..LaneRules::TRUE },
            LaneRules { pool: 4, ..LaneRules::TRUE },
        ],
    );
}

#[test]
fn an_exit_that_waits_longer_holds_more_or_lets_anybody_answer_is_noticed() {
    notices(
        "exits",
        exits_with,
        &[
            ExitRules { window: Duration::from_secs(4), ..ExitRules::TRUE },
            ExitRules { waiting_max: 2, ..ExitRules::TRUE },
            ExitRules { filters: false, ..ExitRules::TRUE },
        ],
    );
}

#[test]
fn an_entry_that_believes_anybody_or_delivers_twice_is_noticed() {
    notices(
        "entries",
        entries_with,
        &[
            EntryRules { needs_proof: false, ..EntryRules::TRUE },
            EntryRules { once: false, ..EntryRules::TRUE },
        ],
    );
}

#[test]
fn a_link_by_an_old_answer_or_without_its_cookie_is_noticed() {
    notices(
        "links",
        links_with,
        &[
            LinkRules { fresh: false, ..LinkRules::TRUE },
            LinkRules { uses_cookies: false, ..LinkRules::TRUE },
        ],
    );
}

#[test]
fn an_order_that_tries_longer_or_waits_for_a_word_is_noticed() {
    notices(
        "orders",
        orders_with,
        &[
            OrderRules { failures_max: 9, ..OrderRules::TRUE },
            OrderRules { early_deposit: false, ..OrderRules::TRUE },
        ],
    );
}

#[test]
fn slots_that_are_not_saved_or_not_shown_are_noticed() {
    notices(
        "slots",
        slots_with,
        &[
            SlotRules { saves_first: false, ..SlotRules::TRUE },
            SlotRules { shows_spent: false, ..SlotRules::TRUE },
        ],
    );
}

#[test]
fn a_payer_that_is_patient_with_dates_or_amounts_is_noticed() {
    notices(
        "payers",
        payers_with,
        &[
            PayerRules { dates_apart: 7_250, ..PayerRules::TRUE },
            PayerRules { amounts: false, ..PayerRules::TRUE },
        ],
    );
}

#[test]
fn a_mixer_with_a_longer_margin_or_that_keeps_copies_is_noticed() {
    notices(
        "mixers",
        mixers_with,
        &[
            MixerRules { margin: 40, ..MixerRules::TRUE },
            MixerRules { returns_copies: false, ..MixerRules::TRUE },
        ],
    );
}

#[test]
fn an_answer_with_larger_numbers_or_payments_of_others_or_twice_is_noticed() {
    notices(
        "ledger_answers",
        ledger_answers_with,
        &[
            AnswerRules { number_max: u64::MAX, ..AnswerRules::TRUE },
            AnswerRules { ours: false, ..AnswerRules::TRUE },
            AnswerRules { once: false, ..AnswerRules::TRUE },
        ],
    );
}

#[test]
fn a_verdict_a_second_too_patient_or_by_half_the_evidence_is_noticed() {
    notices(
        "verdicts",
        verdicts_with,
        &[
            VerdictRules { patience: VerdictRules::TRUE.patience + 60, ..VerdictRules::TRUE },
            VerdictRules { all_back: false, ..VerdictRules::TRUE },
            VerdictRules { after: false, ..VerdictRules::TRUE },
        ],
    );
}

#[test]
fn a_path_of_which_only_the_first_layer_counts_or_money_that_stays_is_noticed() {
    notices(
        "paths",
        paths_with,
        &[
            PathRules { margin: 40, ..PathRules::TRUE },
            PathRules { all_layers: false, ..PathRules::TRUE },
            PathRules { returns: false, ..PathRules::TRUE },
        ],
    );
}
