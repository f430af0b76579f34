//! How the operator speaks to a running mixer: a socket in its folder that only its owner may use, and
//! the page of figures.
//!
//! ```text
//! DIR/control.sock   GET /status · GET /orders · GET /peers
//!                    POST /peers        takes the mixers of a peer info file
//!                    POST /orders/NAME/retry · POST /orders/NAME/return
//!                    POST /looked       the operator has looked at a foreign spend
//! metrics.listen     GET /status
//! ```

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::Router;
use axum::extract::{Path as Words, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use money::Place;
use payment::effect::OrderId;
use payment::mixer::Mixer as Core;
use payment::order::Order;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};

use super::mixer::Handle;
use super::peer_file;
use crate::config::FIGURES_EVERY;
use crate::{Error, http};

/// The socket in a folder.
pub const FILE: &str = "control.sock";

/// The open socket. Dropped, it is gone from the folder too.
pub(super) struct Socket {
    listener: UnixListener,
    _gone: Gone,
}

struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Opens the socket of a folder; the folder's lock is held, so an old one is nobody's.
pub(super) fn bind(folder: &Path) -> Result<Socket, Error> {
    let path: PathBuf = folder.join(FILE);
    match std::fs::remove_file(&path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::write(&path, why));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(|why| Error::write(&path, why))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).map_err(|why| Error::write(&path, why))?;
    Ok(Socket { listener, _gone: Gone(path) })
}

/// Serves the socket until its task ends.
pub(super) async fn serve(socket: Socket, handle: Handle) {
    let Socket { listener, _gone: _held } = socket;
    let pages = Router::new()
        .route("/status", get(status))
        .route("/orders", get(orders))
        .route("/peers", get(peers).post(meet))
        .route("/orders/{name}/{act}", post(act))
        .route("/looked", post(looked))
        .with_state(handle);
    let _ = axum::serve(listener, pages).await;
}

/// Serves the page of figures until its task ends. They change once a minute, so that nobody reads
/// from them what came in with what went out.
pub(super) async fn serve_page(listener: TcpListener, handle: Handle) {
    let (sender, figures) = tokio::sync::watch::channel(json!({}));
    let page = async move |State(figures): State<tokio::sync::watch::Receiver<Value>>| {
        Json(figures.borrow().clone())
    };
    let pages = Router::new().route("/status", get(page)).with_state(figures);
    let refresh = async {
        while let Some(new) = handle.with(|core, now, _| figures_of(core, now)).await {
            sender.send_replace(new);
            tokio::time::sleep(FIGURES_EVERY).await;
        }
    };
    tokio::join!(refresh, http::serve(listener, pages));
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

fn ending() -> (StatusCode, Json<Value>) {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "error": "ending", "message": "the mixer ends" })),
    )
}

async fn status(State(handle): State<Handle>) -> Answer {
    handle.with(|core, now, _| figures_of(core, now)).await.map(Json).ok_or_else(ending)
}

fn figures_of(core: &Core, now: mixing::Now) -> Value {
    let standing = core.standing(now);
    let count = |state: &str| core.orders().values().filter(|o| o.name() == state).count();
    let states = Order::NAMES.map(|state| (state.to_owned(), count(state).into()));
    json!({
        "role": "mixer",
        "account": core.account().to_string(),
        "block": standing.height,
        "newest_block": standing.newest,
        "makes_promises": standing.promises,
        "solvent": standing.solvent,
        "foreign_spend": standing.foreign,
        "needed": standing.needed.units(),
        "orders": serde_json::Map::from_iter(states),
        "returning": core.returns().len(),
        "unclaimed": core.unclaimed().len(),
        "unclaimed_beyond": standing.beyond.units(),
        "peers": core.peers().iter().count(),
        "peers_reached": core.peers().iter().filter(|peer| peer.is_reached()).count(),
    })
}

async fn orders(State(handle): State<Handle>) -> Answer {
    let listed = handle.with(|core, now, _| {
        let orders = core.orders().iter().map(|(id, order)| order_says(id, order));
        let book = |book: &std::collections::BTreeMap<Place, payment::mixer::Return>, state| {
            let says = book.iter().map(|(place, back)| {
                json!({
                    "name": Named::Place(*place).to_string(),
                    "state": state,
                    "from": back.to.to_string(),
                    "amount": back.amount.units(),
                    "reference": String::from_utf8_lossy(back.reference.as_bytes()),
                })
            });
            says.collect::<Vec<_>>()
        };
        json!({
            "orders": orders.collect::<Vec<_>>(),
            "returning": book(core.returns(), "returning"),
            "unclaimed": book(core.unclaimed(), "unclaimed"),
            "foreign_spend": core.standing(now).foreign,
        })
    });
    listed.await.map(Json).ok_or_else(ending)
}

fn order_says(id: &OrderId, order: &Order) -> Value {
    let deal = order.deal();
    json!({
        "name": Named::Order(*id).to_string(),
        "state": order.name(),
        "from": deal.sender.to_string(),
        "in": deal.in_amount.units(),
        "to": deal.next.to_string(),
        "out": deal.out_amount.units(),
        "expires": deal.expire_date,
        "due": deal.payout_date,
    })
}

async fn peers(State(handle): State<Handle>) -> Answer {
    let listed = handle.with(|core, _, _| {
        let one = |peer: &payment::peers::Peer| {
            let info = peer.info();
            json!({
                "account": info.pubkey.to_string(),
                "host": info.host.address,
                "port": info.host.port,
                "reached": peer.is_reached(),
                "vouched": peer.vouched().map(|member| member.to_string()),
                "signed": info.sigtime,
                "least": info.terms.least.units(),
                "fee": info.terms.fee.units(),
                "company": info.terms.company,
                "wait_max_s": info.terms.wait_max_s,
                "raw": BASE64URL_NOPAD.encode(peer.bytes()),
            })
        };
        json!({ "peers": core.peers().iter().map(one).collect::<Vec<_>>() })
    });
    listed.await.map(Json).ok_or_else(ending)
}

/// Takes the mixers of a peer info file; they are believed once they were reached.
async fn meet(State(handle): State<Handle>, body: axum::body::Bytes) -> Answer {
    let infos = peer_file::infos(&body).unwrap_or_default();
    let taken = handle.with(move |core, _, _| {
        let date = core.date();
        infos.iter().filter(|info| core.peers_mut().offer(info, date).is_ok()).count()
    });
    taken.await.map(|count| Json(json!({ "taken": count }))).ok_or_else(ending)
}

async fn act(State(handle): State<Handle>, Words((name, act)): Words<(String, String)>) -> Answer {
    let done = handle.with(move |core, now, out| match (act.as_str(), Named::read(&name)?) {
        ("retry", Named::Order(id)) => Some(core.retry(now, id, out)),
        ("return", Named::Order(id)) => Some(core.give_back_order(now, id, out)),
        ("return", Named::Place(place)) => Some(core.give_back(now, place, out)),
        _ => None,
    });
    match done.await.ok_or_else(ending)? {
        Some(Ok(())) => Ok(Json(json!({ "done": true }))),
        Some(Err(why)) => {
            let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::CONFLICT);
            Err((status, Json(json!({ "error": why.word(), "message": why.to_string() }))))
        }
        None => {
            let message =
                "there is no order of that name, or nothing of the kind can be done with it";
            Err((StatusCode::NOT_FOUND, Json(json!({ "error": "no_order", "message": message }))))
        }
    }
}

async fn looked(State(handle): State<Handle>) -> Answer {
    let done = handle.with(|core, _, out| core.looked(out)).await;
    done.map(|()| Json(json!({ "done": true }))).ok_or_else(ending)
}

/// What the operator may name: an order by its id, a payment by its place on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// An order.
    Order(OrderId),
    /// A payment that came in.
    Place(Place),
}

impl Named {
    /// Reads a name as the list shows it.
    pub fn read(name: &str) -> Option<Self> {
        let words: Vec<_> = name.split('-').collect();
        let named = match words[..] {
            [block, extrinsic, event] => Self::Place(Place {
                block: block.parse().ok()?,
                extrinsic: extrinsic.parse().ok()?,
                event: event.parse().ok()?,
            }),
            _ => Self::Order(HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok()?),
        };
        // A name has one form.
        (named.to_string() == name).then_some(named)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(id) => f.write_str(&HEXLOWER.encode(id)),
            Self::Place(Place { block, extrinsic, event }) => {
                write!(f, "{block}-{extrinsic}-{event}")
            }
        }
    }
}
