//! The embedded ledger behind HTTP.
//!
//! ```text
//! GET  /about                     what the ledger is, once and for all
//! GET  /head                      genesis, newest block, newest final block
//! GET  /account/ADDRESS           free, slot, member: at the newest final block
//! GET  /blocks/FROM/ADDRESS       what final blocks from a height on mean for an account, at most 256 of them;
//!      [?wait=MS]                 none if none is final yet, after waiting for one
//! POST /transaction               a signed transaction in bytes; 200 and its hash, or 422
//! POST /faucet/ADDRESS/AMOUNT     new money, for tests
//! ```
//! What always holds: a body is at most as long as a transaction may be; every refusal has a status and
//! {error, message}. Absent: who may use the faucet. This is a ledger for demonstrations and tests.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use money::embedded::{Block, Inherent, Refused, transaction};
use money::{Account, Amount, Ledger, LedgerTime, Transfer};
use tokio::sync::watch;

use crate::file::BlockFile;
use crate::wire::{
    AboutSays, AccountSays, BlockSays, BlocksSay, Head, Name, RefusalSays, Taken, Wait, hex,
};
use crate::{AccountBlock, SpentSlot};

/// A ledger that several connections share.
#[derive(Clone)]
pub struct Shared {
    ledger: Arc<Mutex<Ledger>>,
    /// Height of the newest final block, for those who wait for the next.
    settled: watch::Sender<u64>,
    block_time: Duration,
}

/// The most blocks in one answer.
pub const BLOCKS_MAX: usize = 256;

/// The longest that anyone may wait for a block.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

type Answer<T> = Result<Json<T>, (StatusCode, Json<RefusalSays>)>;

impl Shared {
    /// Shares a ledger that has a block every `block_time`.
    pub fn new(ledger: Ledger, block_time: Duration) -> Self {
        let settled = watch::Sender::new(ledger.final_head().height);
        Self { ledger: Arc::new(Mutex::new(ledger)), settled, block_time }
    }

    /// The ledger itself.
    ///
    /// # Panics
    /// If a thread that had it panicked: its money can no longer be trusted.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("a ledger that panicked is not used again")
    }

    /// Builds the next block and tells those who wait for it.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn build(&self, time: LedgerTime, file: Option<&mut BlockFile>) -> std::io::Result<()> {
        let mut ledger = self.lock();
        ledger.build(time);
        if let Some(file) = file {
            file.append(&ledger)?;
        }
        self.settled.send_replace(ledger.final_head().height);
        Ok(())
    }

    /// Builds a block at its time, again and again, until the file fails.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub async fn run(
        &self,
        mut file: Option<BlockFile>,
        now: impl Fn() -> LedgerTime,
    ) -> std::io::Result<()> {
        let mut timer = tokio::time::interval(self.block_time);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            self.build(now(), file.as_mut())?;
        }
    }
}

/// The HTTP side.
pub fn router(ledger: Shared) -> Router {
    Router::new()
        .route("/about", get(about))
        .route("/head", get(head))
        .route("/account/{address}", get(account))
        .route("/blocks/{from}/{address}", get(blocks))
        .route("/transaction", post(submit))
        .route("/faucet/{address}/{amount}", post(faucet))
        .layer(DefaultBodyLimit::max(transaction::SIZE_MAX))
        .with_state(ledger)
}

fn refuse<T>(status: StatusCode, error: &str, message: String) -> Answer<T> {
    Err((status, Json(RefusalSays { error: error.into(), message })))
}

fn address(text: &str) -> Result<Account, (StatusCode, Json<RefusalSays>)> {
    text.parse().map_err(|why| {
        let error = "bad_address".into();
        let says = RefusalSays { error, message: format!("{why}") };
        (StatusCode::BAD_REQUEST, Json(says))
    })
}

fn name(block: &Block) -> Name {
    Name { height: block.height, hash: hex(&block.hash), time: block.time.as_millis() }
}

async fn about(State(ledger): State<Shared>) -> Json<AboutSays> {
    let block_time_ms = u64::try_from(ledger.block_time.as_millis()).unwrap_or(u64::MAX);
    let ledger = ledger.lock();
    let genesis = ledger.genesis();
    Json(AboutSays {
        genesis: hex(&genesis.hash()),
        currency: genesis.currency.clone(),
        existential_deposit: genesis.existential_deposit.units(),
        fee: genesis.fee.units(),
        finality_lag: genesis.finality_lag,
        block_time_ms,
    })
}

async fn head(State(ledger): State<Shared>) -> Json<Head> {
    let ledger = ledger.lock();
    let genesis = hex(&ledger.genesis().hash());
    Json(Head { genesis, head: name(ledger.head()), settled: name(ledger.final_head()) })
}

async fn account(State(ledger): State<Shared>, Path(text): Path<String>) -> Answer<AccountSays> {
    let account = address(&text)?;
    let ledger = ledger.lock();
    let state = ledger.final_account(&account);
    let member = ledger.final_member(&account);
    Ok(Json(AccountSays { free: state.free.units(), slot: state.slot.0, member }))
}

async fn blocks(
    State(ledger): State<Shared>,
    Path((from, text)): Path<(u64, String)>,
    Query(Wait { wait }): Query<Wait>,
) -> Answer<BlocksSay> {
    let account = address(&text)?;
    let mut settled = ledger.settled.subscribe();
    let wait = Duration::from_millis(wait).min(WAIT_MAX);
    // What comes too late, or never as the ledger ends, is an empty answer.
    let _ = tokio::time::timeout(wait, settled.wait_for(|height| *height >= from)).await;
    let ledger = ledger.lock();
    let blocks = (from..).take(BLOCKS_MAX).map_while(|at| account_block(&ledger, at, &account));
    let blocks = blocks.map(|block| BlockSays::of(&block)).collect();
    Ok(Json(BlocksSay { genesis: hex(&ledger.genesis().hash()), blocks }))
}

/// What a final block means for an account.
pub fn account_block(ledger: &Ledger, height: u64, account: &Account) -> Option<AccountBlock> {
    let newest = ledger.final_head().height;
    let block = ledger.block(height).filter(|block| block.height <= newest)?;
    let made_by = |at: usize| {
        let own = move |t: &&Transfer| t.from == *account && t.place.extrinsic as usize == at;
        block.transfers.iter().filter(own).cloned().collect()
    };
    let own = block.included.iter().enumerate().filter(|(_, i)| i.sender == *account);
    let spent = own.map(|(at, included)| SpentSlot {
        slot: included.slot,
        done: included.outcome.is_ok(),
        transfers: made_by(at),
    });
    let to_us = block.transfers.iter().filter(|t| t.to == *account && t.from != *account);
    let state = ledger.final_account(account);
    Some(AccountBlock {
        height,
        time: block.time,
        newest,
        received: to_us.cloned().collect(),
        spent: spent.collect(),
        free: state.free,
        slot: state.slot,
    })
}

async fn submit(State(ledger): State<Shared>, body: Bytes) -> Answer<Taken> {
    taken(ledger.lock().submit(&body).map(Some))
}

async fn faucet(
    State(ledger): State<Shared>,
    Path((text, amount)): Path<(String, u64)>,
) -> Answer<Taken> {
    let to = address(&text)?;
    let order = Inherent::Faucet { to, amount: Amount::from_units(amount) };
    taken(ledger.lock().order(order).map(|()| None))
}

fn taken(result: Result<Option<[u8; 32]>, Refused>) -> Answer<Taken> {
    match result {
        Ok(hash) => Ok(Json(Taken { hash: hash.map(|hash| hex(&hash)) })),
        Err(why @ (Refused::QueueFull | Refused::SenderQueueFull)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("{why:?}"), why.to_string())
        }
        Err(why) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &format!("{why:?}"), why.to_string()),
    }
}
