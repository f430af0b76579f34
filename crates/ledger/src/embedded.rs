//! The embedded ledger, reached over HTTP.
//!
//! What always holds: one connection speaks to one ledger; a server that shows another genesis than at
//! first is refused. Answers are read up to [`ANSWER_SIZE_MAX`] bytes and [`TIME_OUT`].
//! Absent: retries; the caller knows when asking again makes sense.

use std::time::Duration;

use money::embedded::{AccountState, Call, Era, PERIOD_MAX, Transaction};
use money::{Account, AccountKey, Amount, Reference};

use crate::http::{Bounds, Http};
use crate::wire::{self, Answered};
use crate::{About, AccountBlock, BlockName, Error, Order, SignedOrder};

/// A connection to an embedded ledger.
pub struct Client {
    http: Http,
    url: String,
    about: About,
}

/// The longest answer that is read, in bytes: a block full of transfers to one account.
pub const ANSWER_SIZE_MAX: usize = 16 * 1024 * 1024;

/// The longest that an answer may take.
pub const TIME_OUT: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to the ledger at `url`, such as `http://127.0.0.1:9950`, and learns its name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(Http::direct(), url).await
    }

    /// As [`Self::connect`], by the caller's way, which may go through a proxy.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect_with(http: Http, url: &str) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let answer = http.get(&format!("{url}/about"), within(TIME_OUT)).await?;
        let about = wire::about(&answer)?;
        Ok(Self { http, url, about })
    }

    /// What this ledger is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The newest final block.
    ///
    /// # Errors
    /// [`Error::OtherLedger`] if it is not this connection's ledger any more, and as below.
    pub async fn final_head(&self) -> Result<BlockName, Error> {
        wire::final_head(&self.get("/head").await?, &self.about.genesis)
    }

    /// An account at the newest final block.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn account(&self, account: &Account) -> Result<AccountState, Error> {
        Ok(self.says(account).await?.0)
    }

    /// Whether an account is a member at the newest final block.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn is_member(&self, account: &Account) -> Result<bool, Error> {
        Ok(self.says(account).await?.1)
    }

    async fn says(&self, account: &Account) -> Result<(AccountState, bool), Error> {
        wire::account(&self.get(&format!("/account/{account}")).await?)
    }

    /// What final blocks from a height on mean for an account, one by one; waits up to `wait` for the
    /// first, and gives none if none has become final by then.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn blocks(
        &self,
        from: u64,
        account: &Account,
        wait: Duration,
    ) -> Result<Vec<AccountBlock>, Error> {
        let path = format!("/blocks/{from}/{account}?wait={}", wait.as_millis());
        let answer = self.http.get(&format!("{}{path}", self.url), within(TIME_OUT + wait)).await?;
        wire::blocks(&answer, &self.about.genesis, from, account)
    }

    /// Signs a payment with its reference, or an empty remark, to live from the newest final block on.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Panics
    /// If the period is zero or longer than the ledger allows.
    pub async fn sign(&self, key: &AccountKey, order: &Order) -> Result<SignedOrder, Error> {
        assert!(
            (1..=PERIOD_MAX).contains(&order.period),
            "periods are checked where they are read"
        );
        let birth = self.final_head().await?;
        let calls = match &order.payment {
            Some((to, amount, reference)) => vec![
                Call::Transfer { to: *to, amount: *amount, keep_alive: true },
                Call::Remark(reference.clone()),
            ],
            None => vec![Call::Remark(Reference::new(b"").expect("nothing is short enough"))],
        };
        let era = Era::Mortal { birth: birth.height, hash: birth.hash, period: order.period };
        let (genesis, sender) = (self.about.genesis, key.account());
        let transaction = Transaction { genesis, sender, slot: order.slot, era, calls };
        let last = birth.height + u64::from(order.period);
        Ok(SignedOrder { bytes: transaction.sign(key), last })
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// [`Error::Refused`] with the ledger's word, and the others.
    pub async fn submit(&self, bytes: &[u8]) -> Result<(), Error> {
        self.post("/transaction", bytes.to_vec()).await
    }

    /// Asks for test money.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn faucet(&self, to: &Account, amount: Amount) -> Result<(), Error> {
        self.post(&format!("/faucet/{to}/{amount}"), Vec::new()).await
    }

    async fn get(&self, path: &str) -> Result<Answered, Error> {
        self.http.get(&format!("{}{path}", self.url), within(TIME_OUT)).await
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<(), Error> {
        let url = format!("{}{path}", self.url);
        wire::taken(&self.http.post(&url, body, within(TIME_OUT)).await?)
    }
}

fn within(time: Duration) -> Bounds {
    Bounds { time, size: ANSWER_SIZE_MAX }
}
