//! What goes back over HTTP: a map, or a refusal, in UBJSON or JSON.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use payment::document::BadDocument;
use payment::effect::Refused;
use payment::peers::Unwanted;
use payment::ubjson::{Value, map};

/// A whole answer.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

/// A refusal: status, word, sentence.
#[derive(Clone, Debug)]
pub(super) struct Said {
    status: u16,
    word: &'static str,
    message: Cow<'static, str>,
}

const UBJSON: &str = "application/ubjson";
const JSON: &str = "application/json";

impl Answered {
    /// A map, or a refusal.
    pub(super) fn of(json: bool, answered: Result<Value, Said>) -> Self {
        match answered {
            Ok(value) => Self::written(json, 200, &value),
            Err(said) => Self::refused(json, said),
        }
    }

    /// A refusal.
    pub(super) fn refused(json: bool, said: Said) -> Self {
        let Said { status, word, message } = said;
        let value = map([("error", Value::from(word)), ("message", Value::from(&*message))]);
        Self::written(json, status, &value)
    }

    /// A sealed reply: its status is inside.
    pub(super) fn sealed(body: Vec<u8>) -> Self {
        Self { status: 200, kind: "application/octet-stream", body }
    }

    /// The request took too long to come.
    pub(super) fn slow() -> Self {
        Self::refused(false, Said::fixed(408, "slow", "the request took too long"))
    }

    fn written(json: bool, status: u16, value: &Value) -> Self {
        match json {
            true => Self { status, kind: JSON, body: to_json(value).to_string().into_bytes() },
            false => Self { status, kind: UBJSON, body: value.to_bytes() },
        }
    }
}

impl Said {
    pub(super) const TOO_LONG: Self = Self::fixed(413, "too_long", "the body is too long");
    pub(super) const TOO_MUCH: Self =
        Self::fixed(413, "too_much", "the answer does not fit into a sealed one; ask in the clear");
    pub(super) const UNOPENED: Self = Self::fixed(
        400,
        "unopened",
        "the envelope cannot be opened here; the key may be a newer one, see /info",
    );
    pub(super) const STARTING: Self =
        Self::fixed(503, "starting", "the mixer has not heard of its ledger yet; ask later");
    pub(super) const ENDING: Self = Self::fixed(503, "ending", "the mixer ends; ask later");

    const fn fixed(status: u16, word: &'static str, message: &'static str) -> Self {
        Self { status, word, message: Cow::Borrowed(message) }
    }
}

impl From<Refused> for Said {
    fn from(why: Refused) -> Self {
        Self { status: why.status(), word: why.word(), message: why.to_string().into() }
    }
}

impl From<BadDocument> for Said {
    fn from(why: BadDocument) -> Self {
        Refused::from(why).into()
    }
}

impl From<Unwanted> for Said {
    fn from(why: Unwanted) -> Self {
        let status = match why {
            Unwanted::Document(_) => 400,
            Unwanted::Full => 503,
            Unwanted::Ourselves
            | Unwanted::FromTheFuture
            | Unwanted::Expired
            | Unwanted::NotNewer
            | Unwanted::InsideAddress
            | Unwanted::HostTaken
            | Unwanted::NotVouched => 422,
        };
        Self { status, word: "unwanted", message: why.to_string().into() }
    }
}

/// Bytes as base64url, the rest as it is.
fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(is) => (*is).into(),
        Value::Int(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => BASE64URL_NOPAD.encode(bytes).into(),
        Value::List(list) => list.iter().map(to_json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
        }
    }
}
