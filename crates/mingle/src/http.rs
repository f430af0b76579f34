//! The page for the operator: `/metrics` for Prometheus, `/status` as JSON.
//!
//! It serves the published copy and nothing else, on loopback unless the operator says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Error;
use crate::config::Metrics;
use crate::figures::Published;

mod exposition;
mod status;

/// Opens the page's listeners.
///
/// # Errors
/// When an address is taken, or public without the operator's word.
pub async fn bind(metrics: &Metrics) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::new();
    for &address in &metrics.listen {
        if !address.ip().to_canonical().is_loopback() && !metrics.allow_public {
            return Err(Error::MetricsPublic { address });
        }
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|why| Error::bind("the metrics page", address, why))?);
    }
    Ok(listeners)
}

/// The pages of a node.
pub fn pages(published: Arc<Published>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(published)
}

/// Serves pages on one listener until its task ends.
pub async fn serve(listener: TcpListener, pages: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No handles left, most likely: those who are served give theirs back.
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let pages = TowerToHyperService::new(pages.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), pages);
            // A connection's error is that connection's.
            let _ = tokio::time::timeout(CONNECTION_LIFE, connection).await;
            drop(place);
        });
    }
}

/// Connections at one time; the next waits in the system's queue.
const CONNECTIONS_MAX: usize = 32;
/// A connection lives no longer, whatever it does.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(100);

async fn metrics(State(published): State<Arc<Published>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, exposition::CONTENT)], exposition::text(&published))
}

async fn status(State(published): State<Arc<Published>>) -> impl IntoResponse {
    axum::Json(status::json(&published))
}

/// The address of the status page at `listen`, for people.
pub fn status_address(listen: SocketAddr) -> String {
    format!("http://{listen}/status")
}
