//! Every model with a mistake in it: the body must notice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{changed, seeds};
use crate::TARGETS;
use crate::datagram::{IdRules, id_tables_with};
use crate::mixing::{PoolRules, WindowRules, pool_with, window_with};
use crate::money::{LedgerRules, ledger_with};

/// Whether a body notices its mistaken model on some input of a target.
fn notices(name: &str, body: impl Fn(&[u8])) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name).expect("in the list");
    let mut inputs = seeds(target).into_iter().chain(changed(target, target.mutations));
    inputs.any(|bytes| catch_unwind(AssertUnwindSafe(|| body(&bytes))).is_err())
}

#[test]
fn a_window_that_is_one_wider_or_forgets_what_it_gave_up_is_noticed() {
    for rules in [
        WindowRules { width: 65, ..WindowRules::TRUE },
        WindowRules { width: 63, ..WindowRules::TRUE },
        WindowRules { rest_gives_up: false, ..WindowRules::TRUE },
    ] {
        assert!(notices("window", |bytes| window_with(bytes, &rules)));
    }
}

#[test]
fn a_pool_in_another_order_with_more_room_or_less_patience_is_noticed() {
    for rules in [
        PoolRules { in_order: false, ..PoolRules::TRUE },
        PoolRules { limit: 25, ..PoolRules::TRUE },
        PoolRules { patience: 0, ..PoolRules::TRUE },
    ] {
        assert!(notices("pool", |bytes| pool_with(bytes, &rules)));
    }
}

#[test]
fn a_table_with_more_room_or_with_ids_that_live_on_is_noticed() {
    for rules in
        [IdRules { limit: 6, ..IdRules::TRUE }, IdRules { ids_end: false, ..IdRules::TRUE }]
    {
        assert!(notices("id_tables", |bytes| id_tables_with(bytes, &rules)));
    }
}

#[test]
fn a_ledger_with_another_fee_a_nonce_that_stays_or_half_a_transaction_is_noticed() {
    for rules in [
        LedgerRules { fee: 2, ..LedgerRules::TRUE },
        LedgerRules { forgets: false, ..LedgerRules::TRUE },
        LedgerRules { all_or_nothing: false, ..LedgerRules::TRUE },
    ] {
        assert!(notices("ledger", |bytes| ledger_with(bytes, &rules)));
    }
}
