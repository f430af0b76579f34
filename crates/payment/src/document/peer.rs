//! What a mixer says of itself: where it is, who answers for it, under which key and on what terms.
//!
//! What always holds: what was read names at most [`PEERS_MAX`] others and a key that can be sealed
//! to. Absent: whether it is true; `peers` believes only whom it reached.

use mixing::cipher;
use mixing::envelope::EnvelopePublic;
use money::{Account, Amount};

use super::{Currency, Document};
use crate::ubjson::{Fields, Malformed, Value, map};

/// A mixer's own description. Lives 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The mixer's account, and who signs this.
    pub pubkey: Account,
    /// When it was signed, seconds since 1970.
    pub sigtime: u64,
    /// Where it answers.
    pub host: Host,
    /// The identity that answers for it, with its signed [`IdentitySignature`](super::IdentitySignature).
    pub idty: Option<(Account, Vec<u8>)>,
    /// The key that envelopes to it are sealed to.
    pub enckey: EnvelopePublic,
    /// What it asks and promises.
    pub terms: Terms,
    /// Whom it knows. Shown, never acted on.
    pub peers: Vec<KnownPeer>,
}

/// A name or number on the network, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// A host name, an IP address or an onion service, at most [`ADDRESS_MAX`] bytes.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

/// What a mixer asks and promises, the same for everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The smallest denomination it moves.
    pub least: Amount,
    /// What it takes from a payer, on top of the denomination, when it is the first mixer.
    pub fee: Amount,
    /// What it keeps back when it returns a payment: what the ledger takes for it.
    pub return_cost: Amount,
    /// The company it aims at.
    pub company: u64,
    /// The longest that a deposit waits for company, in seconds.
    pub wait_max_s: u64,
    /// How long past `expire_date` a late deposit is still forwarded, in seconds.
    pub keep_s: u64,
}

/// Another mixer, as seen by this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its [`peer_hash`].
    pub hash: [u8; 32],
    /// Whether it reached this one lately.
    pub up_in: bool,
    /// Whether this one reached it lately.
    pub up_out: bool,
}

/// The most peers in one info.
pub const PEERS_MAX: usize = 200;

/// The longest address, in bytes.
pub const ADDRESS_MAX: usize = 255;

/// How long an info lives after `sigtime`, in seconds.
pub const LIFE_S: u64 = 86_400;

/// Names a mixer where its key would be too plain: BLAKE3 derive-key "mingle peer v1" over currency
/// and account.
pub fn peer_hash(currency: &Currency, pubkey: &Account) -> [u8; 32] {
    cipher::hash("mingle peer v1", &[&currency.to_value().to_bytes(), pubkey.as_bytes()])
}

impl Document for PeerInfo {
    const DOCTYPE: &'static str = "gmixer/peer";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        let (idty, idtysig) = match &self.idty {
            Some((idty, signature)) => {
                (Value::from(&idty.as_bytes()[..]), Value::from(&signature[..]))
            }
            None => (Value::Null, Value::Null),
        };
        let port = Value::from(u64::from(self.host.port));
        vec![
            ("pubkey", Value::from(&self.pubkey.as_bytes()[..])),
            ("sigtime", Value::from(self.sigtime)),
            ("host", Value::List(vec![Value::from(self.host.address.as_str()), port])),
            ("idty", idty),
            ("idtysig", idtysig),
            ("enckey", Value::from(&self.enckey.as_bytes()[..])),
            ("terms", self.terms.to_value()),
            ("peers", Value::List(self.peers.iter().map(KnownPeer::to_value).collect())),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        Ok(Self {
            pubkey: Account::from_bytes(fields.array("pubkey")?),
            sigtime: fields.number("sigtime")?,
            host: Host::read(fields.list("host")?)?,
            idty: read_identity(fields.take("idty")?, fields.take("idtysig")?)?,
            enckey: EnvelopePublic::from_bytes(&fields.array("enckey")?)
                .map_err(|_| Malformed::WrongValue("enckey"))?,
            terms: Terms::read(fields.take("terms")?)?,
            peers: read_peers(fields.list("peers")?)?,
        })
    }
}

fn read_identity(idty: Value, sig: Value) -> Result<Option<(Account, Vec<u8>)>, Malformed> {
    match (idty, sig) {
        (Value::Null, Value::Null) => Ok(None),
        (Value::Bytes(idty), Value::Bytes(signature)) => {
            let idty = idty.try_into().map_err(|_| Malformed::WrongValue("idty"))?;
            Ok(Some((Account::from_bytes(idty), signature)))
        }
        _ => Err(Malformed::WrongValue("idtysig")),
    }
}

fn read_peers(list: Vec<Value>) -> Result<Vec<KnownPeer>, Malformed> {
    match list.len() <= PEERS_MAX {
        true => list.into_iter().map(KnownPeer::read).collect(),
        false => Err(Malformed::WrongValue("peers")),
    }
}

impl Host {
    /// An address that can be written into a URL, with a port; nothing for one that would end the URL
    /// early.
    pub fn new(address: String, port: u16) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        let fits = (1..=ADDRESS_MAX).contains(&address.len()) && address.chars().all(plain);
        fits.then_some(Self { address, port })
    }

    fn read(list: Vec<Value>) -> Result<Self, Malformed> {
        let wrong = Malformed::WrongValue("host");
        let [Value::Text(address), Value::Int(port)] =
            <[Value; 2]>::try_from(list).map_err(|_| wrong)?
        else {
            return Err(wrong);
        };
        Self::new(address, u16::try_from(port).map_err(|_| wrong)?).ok_or(wrong)
    }
}

impl Terms {
    fn to_value(&self) -> Value {
        map([
            ("least", Value::from(self.least.units())),
            ("fee", Value::from(self.fee.units())),
            ("return_cost", Value::from(self.return_cost.units())),
            ("company", Value::from(self.company)),
            ("wait_max", Value::from(self.wait_max_s)),
            ("keep", Value::from(self.keep_s)),
        ])
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let mut fields = Fields::new(value)?;
        let terms = Self {
            least: Amount::from_units(fields.number("least")?),
            fee: Amount::from_units(fields.number("fee")?),
            return_cost: Amount::from_units(fields.number("return_cost")?),
            company: fields.number("company")?,
            wait_max_s: fields.number("wait_max")?,
            keep_s: fields.number("keep")?,
        };
        fields.end()?;
        Ok(terms)
    }
}

impl KnownPeer {
    fn to_value(&self) -> Value {
        map([
            ("hash", Value::from(&self.hash[..])),
            ("up_in", Value::Bool(self.up_in)),
            ("up_out", Value::Bool(self.up_out)),
        ])
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let mut fields = Fields::new(value)?;
        let hash = fields.array("hash")?;
        let peer = Self { hash, up_in: fields.flag("up_in")?, up_out: fields.flag("up_out")? };
        fields.end()?;
        Ok(peer)
    }
}
