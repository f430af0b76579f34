//! Who signed what, and what secrets do not do.

use core::mem::needs_drop;

use mixing::Chance;
use mixing::cipher::{Aead, Block, Forged};
use mixing::envelope::{EnvelopeKey, Exporter};
use mixing::keys::{BadKey, Identity, IdentityKey, Secret, Signature};

#[test]
fn a_signature_holds_for_its_context_message_and_identity_only() {
    let key = IdentityKey::from_seed([1; 32]);
    let signature = key.sign("promise", b"message");
    let identity = key.identity();
    assert_eq!(identity.verify("promise", b"message", &signature), Ok(()));
    assert_eq!(identity.verify("request", b"message", &signature), Err(Forged));
    assert_eq!(identity.verify("promise", b"massage", &signature), Err(Forged));
    assert_eq!(identity.verify("promis", b"e\0message", &signature), Err(Forged));
    assert_eq!(identity.verify("promis", b"emessage", &signature), Err(Forged));
    let other = IdentityKey::from_seed([2; 32]).identity();
    assert_eq!(other.verify("promise", b"message", &signature), Err(Forged));
    for at in 0..64 {
        let mut changed = signature;
        changed.0[at] ^= 1;
        assert_eq!(identity.verify("promise", b"message", &changed), Err(Forged), "byte {at}");
    }
}

#[test]
fn bytes_that_are_no_key_verify_nothing() {
    let signature = IdentityKey::from_seed([1; 32]).sign("c", b"m");
    for byte in 0..=255 {
        assert_eq!(Identity::from_bytes([byte; 32]).verify("c", b"m", &signature), Err(Forged));
    }
    assert_eq!(Identity::from_bytes([0; 32]).verify("c", b"m", &Signature([0; 64])), Err(Forged));
}

#[test]
fn an_identity_is_shown_and_read_as_hexadecimal() {
    let identity = IdentityKey::generate(&mut Chance::new([3; 32])).identity();
    let text = identity.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(identity));
    assert_eq!(text.to_uppercase().parse(), Ok(identity));
    assert_eq!(format!("{identity:?}"), text);
    for bad in ["", "00", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..])] {
        assert_eq!(bad.parse::<Identity>(), Err(BadKey), "{bad}");
    }
    assert_eq!("é".repeat(32).parse::<Identity>(), Err(BadKey));
}

#[test]
fn a_saved_seed_gives_the_same_key() {
    let key = IdentityKey::generate(&mut Chance::new([4; 32]));
    assert_eq!(IdentityKey::from_seed(*key.seed()).identity(), key.identity());
}

#[test]
fn a_secret_prints_nothing_and_compares_by_value() {
    assert_eq!(format!("{:?}", Secret::new([7; 16])), "Secret(..)");
    assert_eq!(Secret::new([7; 16]), Secret::new([7; 16]));
    assert_ne!(Secret::new([7; 16]), Secret::new([8; 16]));
}

#[test]
fn secrets_are_wiped_when_dropped() {
    assert!(needs_drop::<Secret<16>>() && needs_drop::<IdentityKey>() && needs_drop::<Aead>());
    assert!(needs_drop::<Block>() && needs_drop::<EnvelopeKey>() && needs_drop::<Exporter>());
    assert!(needs_drop::<Chance>());
}

/// Does not compile if a type named in it is `Clone` or `Debug`: then two implementations fit.
#[test]
fn secrets_are_neither_cloned_nor_printed() {
    trait NotClone<Why> {
        fn holds() {}
    }
    trait NotDebug<Why> {
        fn holds() {}
    }
    struct ButItIs;
    impl<T> NotClone<()> for T {}
    impl<T: Clone> NotClone<ButItIs> for T {}
    impl<T> NotDebug<()> for T {}
    impl<T: core::fmt::Debug> NotDebug<ButItIs> for T {}

    <Secret<16> as NotClone<_>>::holds();
    <IdentityKey as NotClone<_>>::holds();
    <IdentityKey as NotDebug<_>>::holds();
    <EnvelopeKey as NotClone<_>>::holds();
    <EnvelopeKey as NotDebug<_>>::holds();
    <Exporter as NotClone<_>>::holds();
    <Exporter as NotDebug<_>>::holds();
    <Aead as NotClone<_>>::holds();
    <Aead as NotDebug<_>>::holds();
    <Block as NotClone<_>>::holds();
    <Block as NotDebug<_>>::holds();
    <Chance as NotClone<_>>::holds();
    <Chance as NotDebug<_>>::holds();
}
