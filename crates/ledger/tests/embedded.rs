//! The embedded ledger over real HTTP, and its file.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use ledger::embedded::Client;
use ledger::file::BlockFile;
use ledger::http::{Bounds, Http};
use ledger::server::{BLOCKS_MAX, Shared, router};
use ledger::{Connection, Error, Order};
use money::embedded::{Genesis, Inherent};
use money::{AccountKey, Amount, Ledger, LedgerTime, Reference, Slot};

fn key(name: u8) -> AccountKey {
    AccountKey::from_seed([name; 32])
}

fn units(units: u64) -> Amount {
    Amount::from_units(units)
}

fn genesis() -> Genesis {
    Genesis {
        currency: "test".into(),
        time: LedgerTime::from_secs(1_000),
        existential_deposit: units(100),
        fee: units(2),
        finality_lag: 2,
        accounts: [(key(1).account(), units(10_000))].into(),
        members: vec![key(1).account()],
    }
}

async fn serve(ledger: Ledger) -> (Shared, String) {
    let shared = Shared::new(ledger, Duration::from_secs(1));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(shared.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (shared, url)
}

fn build(shared: &Shared, blocks: usize) {
    for _ in 0..blocks {
        let time = shared.lock().head().time.as_millis() + 1_000;
        shared.build(LedgerTime::from_millis(time), None).unwrap();
    }
}

#[tokio::test]
async fn a_payment_is_signed_sent_and_read_back_when_it_is_final() {
    let (shared, url) = serve(Ledger::new(genesis()).unwrap()).await;
    let client = Client::connect(&url).await.unwrap();
    assert_eq!(client.about().genesis, genesis().hash());
    assert_eq!((client.about().fee, client.about().finality_lag), (units(2), 2));
    client.faucet(&key(2).account(), units(500)).await.unwrap();
    let connection = Connection::Embedded(client);
    build(&shared, 3);
    let reference = Reference::new(b"\xffa reference need not be text").unwrap();
    let payment = Some((key(2).account(), units(300), reference.clone()));
    let order = Order { slot: Slot(0), payment, period: 8 };
    let signed = connection.sign(&key(1), &order).await.unwrap();
    assert_eq!(signed.last, 9);
    connection.submit(&signed.bytes).await.unwrap();
    build(&shared, 1);
    let blocks = async |name| connection.blocks(4, &key(name).account(), Duration::ZERO).await;
    assert_eq!(blocks(2).await, Ok(vec![]), "not final yet");
    build(&shared, 2);
    let seen = blocks(2).await.unwrap().remove(0);
    assert_eq!(seen.received[0].reference, Some(reference));
    assert_eq!((seen.free, seen.newest), (units(800), 4));
    let own = blocks(1).await.unwrap().remove(0);
    assert_eq!((own.spent[0].slot, own.spent[0].done), (Slot(0), true));
    assert_eq!(own.spent[0].transfers, seen.received);
    assert_eq!(connection.account(&key(1).account()).await.unwrap().slot, Slot(1));
    assert_eq!(connection.is_member(&key(1).account()).await, Ok(true));
    let refused = connection.submit(&signed.bytes).await;
    assert_eq!(refused, Err(Error::Refused("StaleSlot".into())));
}

#[tokio::test]
async fn who_waits_for_a_block_gets_it_when_it_is_final_and_many_at_once() {
    let (shared, url) = serve(Ledger::new(genesis()).unwrap()).await;
    let client = Client::connect(&url).await.unwrap();
    let account = key(1).account();
    let waits = client.blocks(1, &account, Duration::from_secs(20));
    let builds = async { build(&shared, 3) };
    let (blocks, ()) = tokio::join!(waits, builds);
    assert_eq!(blocks.unwrap().len(), 1, "it did not wait until its time was over");
    build(&shared, 300);
    let blocks = client.blocks(1, &account, Duration::ZERO).await.unwrap();
    assert_eq!((blocks.len(), blocks[0].height), (BLOCKS_MAX, 1));
    let blocks = client.blocks(257, &account, Duration::ZERO).await.unwrap();
    assert_eq!(blocks.last().unwrap().height, 301);
}

#[tokio::test]
async fn odd_requests_get_a_status_and_a_word() {
    let (_shared, url) = serve(Ledger::new(genesis()).unwrap()).await;
    let http = Http::direct();
    let bounds = Bounds { time: Duration::from_secs(10), size: 10_000 };
    let status = async |path: &str| http.get(&format!("{url}{path}"), bounds).await.unwrap().0;
    assert_eq!(status("/head").await, 200);
    assert_eq!(status("/account/nobody").await, 400);
    assert_eq!(status("/blocks/-1/x").await, 400);
    assert_eq!(status("/blocks/1/nobody").await, 400);
    assert_eq!(status("/nothing").await, 404);
    assert_eq!(status("/transaction").await, 405);
    let post = async |body: Vec<u8>| {
        http.post(&format!("{url}/transaction"), body, bounds).await.unwrap().0
    };
    assert_eq!(post(vec![]).await, 422);
    assert_eq!(post(vec![1; 1_000]).await, 422);
    assert_eq!(post(vec![1; 1_000_000]).await, 413);
}

#[tokio::test]
async fn another_ledger_at_the_same_place_is_noticed() {
    let (shared, url) = serve(Ledger::new(genesis()).unwrap()).await;
    let client = Client::connect(&url).await.unwrap();
    let mut other = genesis();
    other.currency = "other".into();
    *shared.lock() = Ledger::new(other).unwrap();
    assert_eq!(client.final_head().await, Err(Error::OtherLedger));
    let blocks = client.blocks(0, &key(1).account(), Duration::ZERO).await;
    assert_eq!(blocks, Err(Error::OtherLedger));
    let nobody = Client::connect("http://127.0.0.1:1").await.err();
    assert_eq!(nobody, Some(Error::Unreachable));
}

#[tokio::test]
async fn the_timer_builds_blocks() {
    let shared = Shared::new(Ledger::new(genesis()).unwrap(), Duration::from_millis(20));
    let running = shared.clone();
    let time = || LedgerTime::from_secs(2_000);
    let run = async move { running.run(None, time).await };
    let timed = tokio::time::timeout(Duration::from_millis(300), run).await;
    assert!(timed.is_err(), "it runs until it is stopped");
    assert!(shared.lock().head().height >= 5);
}

#[test]
fn final_blocks_outlive_the_process_and_a_torn_one_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks");
    let (mut file, mut ledger) = BlockFile::open(&path, genesis()).unwrap();
    ledger.order(Inherent::Faucet { to: key(5).account(), amount: units(700) }).unwrap();
    for second in 0..6 {
        ledger.build(LedgerTime::from_secs(1_100 + second));
        file.append(&ledger).unwrap();
    }
    assert!(BlockFile::open(&path, genesis()).is_err(), "locked");
    drop(file);
    let (file, again) = BlockFile::open(&path, genesis()).unwrap();
    assert_eq!(again.head(), ledger.block(4).unwrap());
    assert_eq!(again.final_head(), ledger.final_head(), "what was final does not go away");
    assert_eq!(again.final_account(&key(5).account()), ledger.final_account(&key(5).account()));
    assert_eq!(again.account(&key(5).account()).free, units(700));
    drop(file);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let (mut file, mut torn) = BlockFile::open(&path, genesis()).unwrap();
    assert_eq!(torn.head().height, 3);
    for second in 0..3 {
        torn.build(LedgerTime::from_secs(1_200 + second));
    }
    file.append(&torn).unwrap();
    drop(file);
    assert!(BlockFile::open(&path, genesis()).is_ok());
    let mut other = genesis();
    other.fee = units(3);
    assert!(BlockFile::open(&path, other).is_err(), "another ledger's");
}
