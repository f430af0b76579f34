//! Every signed document, as it comes and signed anew: so what is inside is read although nobody could
//! have signed it by chance.

use money::Account;
use payment::document::{
    Confirm, DOCUMENT_SIZE_MAX, Document, GetConfirm, IdentitySignature, PeerInfo, Promise,
    Request, Signed, Unverified,
};
use payment::ubjson::Value;

use super::here;
use crate::money::key;

/// A member's word for a mixer: see `any`.
pub fn identity_signatures(bytes: &[u8]) {
    any::<IdentitySignature>(bytes);
}

/// What a mixer says of itself: see `any`.
pub fn peer_infos(bytes: &[u8]) {
    any::<PeerInfo>(bytes);
}

/// A mixer's promise: see `any`.
pub fn promises(bytes: &[u8]) {
    any::<Promise>(bytes);
}

/// The body of `/mix`: see `any`.
pub fn requests(bytes: &[u8]) {
    any::<Request>(bytes);
}

/// The body of `/confirm`: see `any`.
pub fn confirms(bytes: &[u8]) {
    any::<Confirm>(bytes);
}

/// The body of `/getconfirm`: see `any`.
pub fn get_confirms(bytes: &[u8]) {
    any::<GetConfirm>(bytes);
}

/// The input is the object of a document. What is read is in stated order, is kept with the bytes it
/// came in, and made anew it is read as the same; nobody but its signer is believed to have signed it.
fn any<T: Document + Clone + PartialEq + std::fmt::Debug>(object: &[u8]) {
    let (key, currency) = (key(1), here());
    let signature = match object.first() {
        Some(b'{') => key.sign_document(object),
        Some(_) | None => [0; 64],
    };
    let bytes = [&signature[..], object].concat();
    let signer = |_: &T| Some(key.account());
    let read = Signed::<T>::read(&bytes, &currency, signer);
    assert_eq!(read.is_ok(), Unverified::<T>::parse(&bytes, &currency).is_ok());
    let Ok(read) = read else { return };
    assert!(bytes.len() <= DOCUMENT_SIZE_MAX && read.bytes() == bytes);

    let by_another = Signed::<T>::read(&bytes, &currency, |_| Some(Account::from_bytes([9; 32])));
    assert!(by_another.is_err());
    let Ok(Value::Map(entries)) = Value::from_bytes(object) else { panic!("an object is a map") };
    let said = |at: usize| entries.get(at).map(|(name, value)| (name.as_str(), value.clone()));
    assert_eq!(said(0), Some(("doctype", Value::from(T::DOCTYPE))));
    assert_eq!(said(1), Some(("docver", Value::from(T::DOCVER))));
    assert_eq!(said(2), Some(("currency", currency.to_value())));
    let names: Vec<&str> = entries[3..].iter().map(|(name, _)| name.as_str()).collect();
    let stated = read.content().entries();
    assert_eq!(names, stated.iter().map(|(name, _)| *name).collect::<Vec<_>>());

    let object = Value::Map(entries).to_bytes();
    let again = [&key.sign_document(&object)[..], &object].concat();
    if again.len() <= DOCUMENT_SIZE_MAX {
        let again = Signed::<T>::read(&again, &currency, signer).expect("its one form");
        assert_eq!(again.content(), read.content());
        let made = Signed::make(again.content().clone(), &currency, key);
        assert_eq!(made.bytes(), again.bytes(), "written as it is made here");
    }
}

/// One honest object of each kind, in the order of the functions above.
#[cfg(test)]
pub(crate) fn examples() -> [Vec<u8>; 6] {
    use mixing::envelope::EnvelopeKey;
    use money::Amount;

    use crate::money::account;
    use payment::document::{Host, KnownPeer, Terms};

    let units = Amount::from_units;
    let identity =
        IdentitySignature { pubkey: account(1), sigtime: 1_700_000_000, expiry: 1_710_000_000 };
    let vouched = Signed::make(identity.clone(), &here(), key(2)).bytes().to_vec();
    let info = PeerInfo {
        pubkey: account(1),
        sigtime: 1_700_000_000,
        host: Host { address: "mixer.example".into(), port: 10_951 },
        idty: Some((account(2), vouched)),
        enckey: EnvelopeKey::from_seed([1; 32]).public().clone(),
        terms: Terms {
            least: units(100),
            fee: units(5),
            return_cost: units(2),
            company: 3,
            wait_max_s: 600,
            keep_s: 86_400,
        },
        peers: vec![KnownPeer { hash: [8; 32], up_in: true, up_out: false }],
    };
    let promise = Promise {
        node: account(1),
        sender: account(2),
        receiver: account(3),
        in_amount: units(505),
        in_seeds: [[4; 32], [5; 32]],
        out_amount: units(500),
        out_seeds: [[6; 32], [7; 32]],
        req_date: 1_700_000_000,
        expire_date: 1_700_000_600,
        payout_date: 1_700_001_200,
    };
    let request = Request {
        to: account(2),
        sender: *account(1).as_bytes(),
        amount: units(505),
        client: true,
        req_date: 1_700_000_000,
        onion: vec![3; 40],
    };
    let confirm = Confirm { to: account(2), out_seed: [3; 32], promises: vec![4; 40] };
    let question =
        GetConfirm { to: account(2), sender: account(1), in_seed: [3; 32], date: 1_700_000_000 };
    [
        object(identity),
        object(info),
        object(promise),
        object(request),
        object(confirm),
        object(question),
    ]
}

#[cfg(test)]
fn object<T: Document>(content: T) -> Vec<u8> {
    Signed::make(content, &here(), key(1)).bytes()[64..].to_vec()
}
