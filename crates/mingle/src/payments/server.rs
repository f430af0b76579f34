//! A mixer's HTTP side.
//!
//! ```text
//! connection: limits ─► path: a line of commands ─► what it asks for: one map, in UBJSON or JSON
//!                       POST /sealed ─► open ─► the line inside, answered under the reply key
//! ```
//! What always holds: connections, bodies and times have limits, and so has what one source may hold; a
//! refusal has a status, a word and a sentence; who is asked for a balance is asked once per final
//! block; nothing is logged unless the operator says so.

mod answer;
mod gate;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use money::{Account, Amount};
use payment::command::{Act, Line, Question, REPLY_SIZE, SEALED_SIZE};
use payment::document::{Currency, DOCUMENT_SIZE_MAX, PEERS_MAX, Unverified};
use payment::effect::{Command, Input, Refused};
use payment::ubjson::{Value, map};
use tokio::net::{TcpListener, TcpStream};

use super::chain::Chain;
use super::config;
use super::gossip::News;
use super::mixer::Handle;
use crate::{Error, log};
use answer::{Answered, Said};
use gate::Gate;

/// What every request may use.
pub(super) struct State {
    handle: Handle,
    chain: Arc<Chain>,
    account: Account,
    currency: Currency,
    news: News,
    access_log: bool,
    request_time: Duration,
    owned: Mutex<Owned>,
}

/// Balances at one final block.
#[derive(Default)]
struct Owned {
    height: u64,
    of: BTreeMap<Account, Amount>,
}

/// The most balances that are remembered.
const OWNED_MAX: usize = 10_000;
/// The longest body: a document, or a sealed command.
const BODY_MAX: usize =
    if DOCUMENT_SIZE_MAX > SEALED_SIZE { DOCUMENT_SIZE_MAX } else { SEALED_SIZE };
/// A connection lives no longer, however diligent it is.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// The most bytes of an answer's body that fit into a sealed reply.
const SEALED_BODY_MAX: usize = REPLY_SIZE - 20;

impl State {
    pub(super) fn new(
        handle: Handle,
        chain: Arc<Chain>,
        account: Account,
        currency: Currency,
        news: News,
        settings: &config::Server,
    ) -> Self {
        let config::Server { access_log, request_time, .. } = *settings;
        let owned = Mutex::default();
        Self { handle, chain, account, currency, news, access_log, request_time, owned }
    }
}

/// Opens the listener.
///
/// # Errors
/// When the address is taken.
pub(super) async fn bind(settings: &config::Server) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((settings.bind_host, settings.bind_port));
    let listener = TcpListener::bind(address).await;
    listener.map_err(|why| Error::bind("the mixer's server", address, why))
}

/// Serves until its task ends.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, settings: config::Server) {
    let gate = Gate::new(settings.connections_max, settings.source_connections_max);
    loop {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            // No handles left, most likely: those who are served give theirs back.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let source = source.ip().to_canonical();
        // Who is refused here learns it from the closed connection; an answer would cost more.
        let Some(pass) = gate.enter(source) else { continue };
        let state = state.clone();
        tokio::spawn(async move {
            connection(stream, source, state).await;
            drop(pass);
        });
    }
}

async fn connection(stream: TcpStream, source: IpAddr, state: Arc<State>) {
    let time = state.request_time;
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(respond(&state, source, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(time)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong on a connection is that connection's.
    let _ = tokio::time::timeout(CONNECTION_LIFE, serving).await;
}

/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;

async fn respond(
    state: &State,
    source: IpAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let taken = tokio::time::timeout(state.request_time, take(state, source, &path, request)).await;
    let answered = taken.unwrap_or_else(|_| Answered::slow());
    if state.access_log {
        log::info(format_args!("{source} {path} {}", answered.status));
    }
    let mut response = Response::new(Full::new(Bytes::from(answered.body)));
    *response.status_mut() =
        StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = hyper::header::HeaderValue::from_static(answered.kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn take(state: &State, source: IpAddr, path: &str, request: Request<Incoming>) -> Answered {
    let line = match Line::read(path) {
        Ok(line) => line,
        Err(why) => return Answered::refused(false, why.into()),
    };
    let body = match Limited::new(request.into_body(), BODY_MAX).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(_) => return Answered::refused(line.json, Said::TOO_LONG),
    };
    if line.act != Some(Act::Sealed) {
        return Answered::of(line.json, perform(state, source, line, body).await);
    }
    if !line.questions.is_empty() || line.json {
        return Answered::refused(line.json, Refused::NoCommand.into());
    }
    let opened = state.handle.with(move |core, _, _| core.open_sealed(&body).ok()).await.flatten();
    let Some((path, body, key)) = opened else { return Answered::refused(false, Said::UNOPENED) };
    let answered = match Line::read(&path) {
        Ok(line) if line.act == Some(Act::Sealed) => {
            Answered::refused(false, Refused::NoCommand.into())
        }
        Ok(line) => Answered::of(line.json, perform(state, source, line, body).await),
        Err(why) => Answered::refused(false, why.into()),
    };
    let Answered { status, body, .. } = match answered.body.len() > SEALED_BODY_MAX {
        true => Answered::refused(false, Said::TOO_MUCH),
        false => answered,
    };
    Answered::sealed(key.seal(status, &body))
}

/// Answers questions and does the one act.
async fn perform(state: &State, source: IpAddr, line: Line, body: Vec<u8>) -> Result<Value, Said> {
    let mut entries = Vec::new();
    for question in line.questions {
        let value = answer_question(state, source, question).await?;
        entries.push((question.word().to_owned(), value));
    }
    if let Some(act) = line.act {
        let (name, value) = do_act(state, act, body).await?;
        entries.push((name.to_owned(), value));
    }
    Ok(Value::Map(entries))
}

async fn answer_question(state: &State, source: IpAddr, question: Question) -> Result<Value, Said> {
    Ok(match question {
        Question::Peers => {
            state.handle.with(|core, _, _| peers(core.peers())).await.ok_or(Said::ENDING)?
        }
        Question::Info => Value::Bytes(state.news.own().ok_or(Said::STARTING)?),
        Question::Pubkey => Value::from(state.account.to_string().as_str()),
        Question::Version => Value::from(concat!("mingle ", env!("CARGO_PKG_VERSION"))),
        Question::Address => Value::from(source.to_string().as_str()),
    })
}

/// Those who were reached, as many as an info may name.
fn peers(peers: &payment::peers::Peers) -> Value {
    let reached = peers.iter().filter(|peer| peer.is_reached()).take(PEERS_MAX);
    let entry = |peer: &payment::peers::Peer| {
        map([
            ("raw", Value::from(peer.bytes())),
            ("up_in", Value::Bool(false)),
            ("up_out", Value::Bool(true)),
        ])
    };
    Value::List(reached.map(entry).collect())
}

async fn do_act(state: &State, act: Act, body: Vec<u8>) -> Result<(&'static str, Value), Said> {
    match act {
        Act::New => {
            let offered = state.handle.with(move |core, _, _| {
                let date = core.date();
                core.peers_mut().offer(&body, date)
            });
            let account = offered.await.ok_or(Said::ENDING)?.map_err(Said::from)?;
            state.news.look_at(account);
            Ok(("new_ok", Value::Bool(true)))
        }
        Act::Order(path) => {
            let input = match Command::read(&path, body, &state.currency)? {
                Command::Mix(body) => {
                    let owned = owned(state, &body).await?;
                    Input::Request { body, owned }
                }
                Command::Confirm(body) => Input::Confirm { body },
                Command::GetConfirm(body) => Input::GetConfirm { body },
            };
            Ok(state.handle.ask(input).await?.entry())
        }
        // Taken apart before: an envelope holds no other.
        Act::Sealed => Err(Refused::NoCommand.into()),
    }
}

/// What a payer's account holds. Only a signed request of this payer's is worth the question.
async fn owned(state: &State, body: &[u8]) -> Result<Amount, Said> {
    let request = Unverified::<payment::document::Request>::parse(body, &state.currency)?;
    if !request.content().client {
        return Ok(Amount::ZERO);
    }
    let account = Account::from_bytes(request.content().sender);
    request.verify(account)?;
    let height = state.handle.with(|core, _, _| core.next_block()).await.ok_or(Said::ENDING)?;
    let known = |owned: &Owned| (owned.height == height).then(|| owned.of.get(&account).copied());
    let lock = || state.owned.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Some(amount)) = known(&lock()) {
        return Ok(amount);
    }
    let asked = state.chain.connection().account(&account).await;
    let amount = asked.map_err(|_| Said::from(Refused::NoPromises))?.free;
    let mut owned = lock();
    if owned.height != height || owned.of.len() >= OWNED_MAX {
        *owned = Owned { height, of: BTreeMap::new() };
    }
    owned.of.insert(account, amount);
    Ok(amount)
}
