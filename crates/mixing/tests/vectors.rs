//! Published test vectors, for what can be reached from outside. (X-Wing's secrets and Ed25519
//! without a context are checked beside their code, with the vectors that lie here.)

use mixing::cipher::{Aead, Block, Forged};
use mixing::envelope::EnvelopeKey;

#[path = "vectors/read.rs"]
mod read;

#[test]
fn aegis_128l_gives_what_its_draft_says() {
    let vectors = read::read(include_str!("vectors/aegis128l.txt"));
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        let key = Aead::new(&sized(&vector["key"]));
        let (nonce, tag) = (sized(&vector["nonce"]), sized(&vector["tag"]));
        let mut body = vector["ct"].clone();
        let opened = key.open(&nonce, &vector["ad"], &mut body, &tag);
        let Some(message) = vector.get("msg") else {
            assert_eq!(opened, Err(Forged));
            continue;
        };
        assert_eq!((opened, &body), (Ok(()), message));
        assert_eq!(key.seal(&nonce, &vector["ad"], &mut body), tag);
        assert_eq!(body, vector["ct"]);
    }
}

#[test]
fn aes_128_gives_what_fips_197_says() {
    // FIPS 197, appendix C.1.
    let key: [u8; 16] = core::array::from_fn(|at| at as u8);
    let clear: [u8; 16] = core::array::from_fn(|at| at as u8 * 0x11);
    let mut block = clear;
    Block::new(&key).encipher(&mut block);
    assert_eq!(u128::from_be_bytes(block), 0x69c4e0d86a7b0430d8cdb78070b4c55a);
    Block::new(&key).decipher(&mut block);
    assert_eq!(block, clear);
}

#[test]
fn envelope_keys_are_those_of_the_x_wing_draft() {
    for vector in read::read(include_str!("vectors/xwing.txt")) {
        let key = EnvelopeKey::from_seed(sized(&vector["sk"]));
        assert_eq!(key.public().as_bytes()[..], vector["pk"]);
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the vector has the right size")
}
