//! Sends the core's commands to other mixers, several at a time.

use std::sync::Arc;

use money::Account;
use payment::document::PeerInfo;
use payment::effect::{Command, Input, OrderId, Unheard};
use tokio::sync::Semaphore;

use super::client::Client;
use super::gossip::News;
use super::mixer::Handle;

/// Sends commands and gives their answers to the core.
pub(super) struct Asker {
    account: Account,
    client: Arc<Client>,
    handle: Handle,
    news: News,
    places: Arc<Semaphore>,
}

/// The most commands under way.
const ASKS_MAX: usize = 64;

impl Asker {
    pub(super) fn new(account: Account, client: Arc<Client>, handle: Handle, news: News) -> Self {
        Self { account, client, handle, news, places: Arc::new(Semaphore::new(ASKS_MAX)) }
    }

    /// Sends a command, unless as many are under way as may be: the core's timer asks again.
    pub(super) fn ask(&self, order: OrderId, to: Option<PeerInfo>, command: Command) {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let (account, client, handle) = (self.account, self.client.clone(), self.handle.clone());
        let news = self.news.clone();
        tokio::spawn(async move {
            let answer = match &to {
                Some(to) => client.ask(&account, to, &command).await,
                None => Err(Unheard::Unreachable),
            };
            if let (Err(Unheard::Unreachable), Some(to)) = (&answer, &to) {
                // Its key may have changed since we heard of it.
                news.look_at(to.pubkey);
            }
            handle.give(Input::Heard { order, answer }).await;
            drop(place);
        });
    }
}
