//! HTTP as our programs ask it of others: a request, the status, an answer up to a limit; directly, or
//! through a SOCKS5 proxy.
//!
//! What always holds: through a proxy no name is resolved here; redirects are not followed; a question
//! has a time and its answer a size. Absent: TLS; what must stay secret is sealed.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::legacy::{Client, Error as Failed};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::Error;

/// A way to ask.
#[derive(Clone)]
pub struct Http(Way);

#[derive(Clone)]
enum Way {
    Direct(Client<HttpConnector, Full<Bytes>>),
    Proxied(Client<SocksV5<HttpConnector>, Full<Bytes>>),
}

/// What a question may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest that it may take, in all.
    pub time: Duration,
    /// The longest answer, in bytes.
    pub size: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self::direct()
    }
}

impl Http {
    /// Directly.
    pub fn direct() -> Self {
        Self(Way::Direct(builder().build(connector())))
    }

    /// Through the SOCKS5 proxy at an address such as `127.0.0.1:9050`; nothing if that is none. The
    /// proxy resolves the names.
    pub fn through(proxy: &str) -> Option<Self> {
        let proxy: Uri = format!("http://{proxy}").parse().ok()?;
        proxy.port_u16().filter(|port| *port != 0)?;
        let is_bare = proxy.path() == "/" && proxy.query().is_none();
        let socks = SocksV5::new(proxy, connector()).local_dns(false);
        is_bare.then(|| Self(Way::Proxied(builder().build(socks))))
    }

    /// Asks with `GET`.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Unreadable`] for an answer that is too long.
    pub async fn get(&self, url: &str, bounds: Bounds) -> Result<(u16, Vec<u8>), Error> {
        self.ask(Method::GET, url, Vec::new(), bounds).await
    }

    /// Asks with `POST`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        bounds: Bounds,
    ) -> Result<(u16, Vec<u8>), Error> {
        self.ask(Method::POST, url, body, bounds).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Vec<u8>,
        bounds: Bounds,
    ) -> Result<(u16, Vec<u8>), Error> {
        let request = Request::builder().method(method).uri(url).body(Full::from(body));
        let request = request.map_err(|_| Error::Unreachable)?;
        let answered = tokio::time::timeout(bounds.time, self.answered(request, bounds.size));
        answered.await.map_err(|_| Error::Unreachable)?
    }

    async fn answered(
        &self,
        request: Request<Full<Bytes>>,
        size: usize,
    ) -> Result<(u16, Vec<u8>), Error> {
        let response = match &self.0 {
            Way::Direct(client) => client.request(request).await,
            Way::Proxied(client) => client.request(request).await,
        };
        let response = response.map_err(|_: Failed| Error::Unreachable)?;
        let status = response.status().as_u16();
        match Limited::new(response.into_body(), size).collect().await {
            Ok(body) => Ok((status, body.to_bytes().to_vec())),
            Err(why) if why.is::<http_body_util::LengthLimitError>() => Err(Error::Unreadable),
            Err(_) => Err(Error::Unreachable),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(IDLE_MAX);
    builder
}

/// How long a connection stays open without a question. The other side may close it before.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_and_a_port() {
        for fine in ["127.0.0.1:9050", "[::1]:9050", "localhost:9050"] {
            assert!(Http::through(fine).is_some(), "{fine}");
        }
        for odd in ["", "127.0.0.1", "127.0.0.1:0", "a b:1", "127.0.0.1:9050/x", "host:99999"] {
            assert!(Http::through(odd).is_none(), "{odd}");
        }
    }
}
