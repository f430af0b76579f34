//! An envelope opens only for whom, with what and as it was sealed.

use mixing::Chance;
use mixing::cipher::Forged;
use mixing::envelope::{self, BadKey, EnvelopeKey, EnvelopePublic, OVERHEAD};

const CONTEXT: &str = "mixing test: an envelope";

#[test]
fn what_was_sealed_is_opened_and_both_sides_share_a_secret() {
    let mut chance = Chance::new([1; 32]);
    let key = EnvelopeKey::generate(&mut chance);
    for size in [0, 1, 15, 16, 33, 1200, 40_000] {
        let message = vec![7; size];
        let (sealed, ours) = envelope::seal(key.public(), CONTEXT, b"with", &message, &mut chance);
        assert_eq!(sealed.len(), OVERHEAD + size);
        let (opened, theirs) = key.open(CONTEXT, b"with", &sealed).unwrap();
        assert_eq!(opened, message);
        let export = |exporter: &envelope::Exporter, context, extra: &[&[u8]]| {
            let mut out = [0; 48];
            exporter.export(context, extra, &mut out);
            out
        };
        let shared = export(&ours, "test: one", &[b"nonce"]);
        assert_eq!(shared, export(&theirs, "test: one", &[b"nonce"]));
        assert_ne!(shared, export(&theirs, "test: two", &[b"nonce"]));
        assert_ne!(shared, export(&theirs, "test: one", &[b"other"]));
        assert_ne!(shared, export(&theirs, "test: one", &[]));
    }
}

#[test]
fn a_change_of_any_byte_is_refused() {
    let (key, sealed) = sealed();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1 << (at % 7);
        assert!(key.open(CONTEXT, b"with", &changed).is_err(), "byte {at}");
    }
}

#[test]
fn an_envelope_cut_or_extended_is_refused() {
    let (key, sealed) = sealed();
    for size in [0, 1, 1119, 1120, OVERHEAD - 1, OVERHEAD, sealed.len() - 1] {
        assert_eq!(key.open(CONTEXT, b"with", &sealed[..size]).err(), Some(Forged), "{size} bytes");
    }
    assert!(key.open(CONTEXT, b"with", &[&sealed[..], &[0]].concat()).is_err());
}

#[test]
fn another_key_context_or_associated_data_is_refused() {
    let (key, sealed) = sealed();
    assert!(key.open(CONTEXT, b"with", &sealed).is_ok());
    assert!(EnvelopeKey::from_seed([9; 32]).open(CONTEXT, b"with", &sealed).is_err());
    assert!(key.open("mixing test: another", b"with", &sealed).is_err());
    assert!(key.open(CONTEXT, b"without", &sealed).is_err());
    assert!(key.open(CONTEXT, b"", &sealed).is_err());
}

#[test]
fn the_same_chance_makes_the_same_envelope_and_never_twice() {
    let key = EnvelopeKey::from_seed([2; 32]);
    let (mut one, mut two) = (Chance::new([3; 32]), Chance::new([3; 32]));
    let seal = |chance: &mut Chance| envelope::seal(key.public(), CONTEXT, b"", b"hi", chance).0;
    let first = seal(&mut one);
    assert_eq!(first, seal(&mut two));
    let second = seal(&mut one);
    let equal = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(equal < 30, "{equal} of 1138 bytes are equal, some 4 would be chance");
}

#[test]
fn a_fingerprint_is_of_the_part_that_a_changed_copy_shares() {
    let (_, sealed) = sealed();
    let mut changed = sealed.clone();
    changed[1120] ^= 1;
    assert_eq!(envelope::fingerprint(&sealed), envelope::fingerprint(&changed));
    changed[1119] ^= 1;
    assert_ne!(envelope::fingerprint(&sealed), envelope::fingerprint(&changed));
    assert_ne!(envelope::fingerprint(&[]), envelope::fingerprint(&[0]));
}

#[test]
fn an_envelope_half_made_knows_its_fingerprint_and_ends_as_the_whole_one() {
    let key = EnvelopeKey::from_seed([2; 32]);
    let (mut one, mut two) = (Chance::new([3; 32]), Chance::new([3; 32]));
    let half = envelope::Sealing::begin(key.public(), CONTEXT, &mut one);
    let fingerprint = half.fingerprint();
    let (sealed, exporter) = half.finish(b"with", b"hi");
    let (whole, whole_exporter) = envelope::seal(key.public(), CONTEXT, b"with", b"hi", &mut two);
    assert_eq!(sealed, whole);
    assert_eq!(fingerprint, envelope::fingerprint(&sealed));
    let (mut ours, mut theirs) = ([0; 32], [0; 32]);
    exporter.export("test: one", &[], &mut ours);
    whole_exporter.export("test: one", &[], &mut theirs);
    assert_eq!(ours, theirs);
}

#[test]
fn a_public_key_comes_back_from_its_bytes_and_a_bad_one_does_not() {
    let public = EnvelopeKey::from_seed([4; 32]).public().clone();
    assert_eq!(EnvelopePublic::from_bytes(public.as_bytes()), Ok(public));
    assert_eq!(EnvelopePublic::from_bytes(&[0xff; 1216]), Err(BadKey));
}

/// An envelope with a message of 40 bytes, and the key that opens it.
fn sealed() -> (EnvelopeKey, Vec<u8>) {
    let mut chance = Chance::new([5; 32]);
    let key = EnvelopeKey::generate(&mut chance);
    let sealed = envelope::seal(key.public(), CONTEXT, b"with", &[8; 40], &mut chance).0;
    (key, sealed)
}
